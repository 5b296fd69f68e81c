//! Values after `=` and `:`, if the name before them is that of a password.

use std::ops::Range;

use super::Form;
use super::ends::End;
use super::key::{MAX_KEY, is_authorization, is_header, is_key, is_key_byte, is_token};
use super::place::is_code;
use super::scan::{Reader, Scan};
use super::value::{default, is_literal, references};
use super::words;

impl Scan<'_, '_> {
    /// Finds the value after `=` or `:`, if the name before it is that of a password.
    pub(super) fn assignment(&mut self, at: usize) {
        let bytes = self.text.as_bytes();
        let (sign, next) = (bytes[at], bytes.get(at + 1));
        let Some(key) = (!is_other(bytes, at)).then(|| self.key(at)).flatten() else {
            return;
        };
        let name = &self.text[key.clone()];
        let start = at + 1 + usize::from(sign == b'=' && next == Some(&b'>'));
        let before = &self.text[..key.start];
        let form = || Form::named(name);
        // `PWD` is a shell's working directory, but in ODBC a password.
        let is_key = is_key(name) || name == "PWD" && before.ends_with(';');
        if before.ends_with("${") && is_key {
            return self.fallback(key, form());
        }
        let is_call = sign == b'(';
        if !is_call && self.pair(&key, start) {
            return;
        }
        let below = if sign == b':' {
            self.below(key.start, start)
        } else {
            start
        };
        if sign == b'=' && before.ends_with(['?', '&']) && is_token(name) {
            self.value(start, Form::Token);
        } else if is_authorization(name) {
            self.header(start);
        } else if sign == b':' && is_header(name) {
            self.value(start, Form::Header);
        } else if is_key
            && !before.ends_with('$')
            && (!is_call
                || name
                    .trim_start_matches('.')
                    .eq_ignore_ascii_case("password"))
            && !(sign == b':' && (is_source(name, &self.text[start..]) || self.is_prose(below)))
        {
            self.value(below, form());
        }
    }

    /// The name that ends before `at`, with or without quotes.
    pub(super) fn key(&self, at: usize) -> Option<Range<usize>> {
        const BETWEEN: usize = 8;
        let bytes = self.text.as_bytes();
        let back = |end: usize, is: fn(u8) -> bool, most: usize| {
            end - bytes[..end]
                .iter()
                .rev()
                .take(most)
                .take_while(|byte| is(**byte))
                .count()
        };
        let sign = if bytes[at] == b'=' {
            back(at, |byte| byte == b':', 1)
        } else {
            at
        };
        let blank = back(sign, |byte| matches!(byte, b' ' | b'\t'), BETWEEN);
        let end = back(blank, |byte| matches!(byte, b'"' | b'\'' | b'\\'), BETWEEN);
        // `password : x` is not an assignment, `"password" : x` is.
        if bytes[at] == b':' && blank < sign && end == blank {
            return None;
        }
        let start = back(end, is_key_byte, MAX_KEY);
        (start < end).then_some(start..end)
    }

    /// Records the value that begins after `from` as a credential, unless it is a reference or a switch.
    pub(super) fn value(&mut self, from: usize, form: Form) {
        let Some((range, is_quoted)) = self.extent(from) else {
            return;
        };
        let value = &self.text[range.clone()];
        // JavaScript's `const {PASSWORD: password} = process.env`.
        let is_pattern = value.ends_with('}') && self.text[range.end..].starts_with(" = ");
        let rest = &self.text[range.start..];
        // SQL Server's `password={x}`.
        let brace = usize::from(rest.starts_with("{$"));
        let length = references(&rest[brace..], self.reader) + brace;
        let next = rest[length..].bytes().next();
        let is_over = next
            .is_none_or(|next| next.is_ascii_whitespace() || b"&;,)}'\"\\@/?|<>#".contains(&next));
        // `$cfg['password']`, `$this->password`, Perl's `$ENV{PASSWORD}`.
        let is_member = ["['", "[\"", "->"]
            .iter()
            .any(|start| rest[length..].starts_with(start))
            || rest.starts_with("$ENV{");
        let is_reference = length > brace && (is_over || is_member);
        let is_code = !is_quoted && (is_pattern || is_code(value));
        if !is_reference && !is_code && is_literal(value) {
            self.read = self.read.max(range.end);
            self.hits.push((range, form));
        }
    }

    /// The range of the value after `from`, and whether it is in quotes.
    pub(super) fn extent(&mut self, from: usize) -> Option<(Range<usize>, bool)> {
        let bytes = self.text.as_bytes();
        let skip = |from: usize, is: fn(u8) -> bool| {
            from + bytes[from..].iter().take_while(|byte| is(**byte)).count()
        };
        let start = skip(from, |byte| matches!(byte, b' ' | b'\t'));
        // Also in JSON within JSON.
        let open = skip(start, |byte| byte == b'\\');
        let Some(&first @ (b'"' | b'\'')) = bytes.get(open) else {
            let end = self.ends.next(End::Word, start);
            return (end > start).then_some((start..end, false));
        };
        // `'"$PASSWORD"'` leaves one kind of quotes for the other.
        let (open, quote) = match bytes.get(open + 1) {
            Some(&other @ (b'"' | b'\'')) if other != first => (open + 1, other),
            _ => (open, first),
        };
        let run = bytes[open..]
            .iter()
            .take_while(|byte| **byte == quote)
            .count();
        let inner = open + run;
        let next = bytes.get(skip(inner, |byte| byte == b'\\'));
        // Two quotes are an empty value; a single one before a blank closes a quote from before the name.
        let is_closing = run == 1
            && next.is_none_or(|next| next.is_ascii_whitespace() || b");|&,+".contains(next));
        // Inside a quoted text, `''x''` is a value.
        let is_empty = run == 2 && !next.is_some_and(u8::is_ascii_alphanumeric);
        let is_quote = quote != first && next == Some(&first);
        if is_empty || is_quote || is_closing || run == 1 && open < inner && next == Some(&quote) {
            return None;
        }
        let end = self.ends.next(
            if quote == b'"' {
                End::Double
            } else {
                End::Single
            },
            inner,
        );
        Some((inner..end, true))
    }

    /// The token in an `Authorization` header, after the name of its scheme.
    pub(super) fn header(&mut self, from: usize) {
        let Some((range, _)) = self.extent(from) else {
            return;
        };
        let rest = &self.text[range.start..];
        let word = rest
            .bytes()
            .take(32)
            .take_while(u8::is_ascii_alphanumeric)
            .count();
        let is_scheme = words::is("bearer basic token digest apikey splunk", &rest[..word]);
        let after = &rest[word..];
        let blank = if after.starts_with("%20") {
            3
        } else {
            usize::from(after.starts_with(' '))
        };
        if is_scheme && blank > 0 {
            self.value(range.start + word + blank, Form::Header);
        }
    }

    /// Finds the default of `${NAME:-default}`.
    fn fallback(&mut self, name: Range<usize>, form: Form) {
        let end = self.ends.next(End::Brace, name.end);
        let inner = &self.text[name.start..end];
        let Some((start, written)) = default(inner) else {
            return;
        };
        if is_literal(written) {
            let range = name.start + start..end;
            self.read = self.read.max(range.end);
            self.hits.push((range, form));
        }
    }

    /// Whether a sentence follows `password:`, as in a script's output.
    fn is_prose(&mut self, from: usize) -> bool {
        if self.reader == Reader::Kubernetes || !self.text[from..].starts_with([' ', '\t']) {
            return false;
        }
        if self.context.is_quiet {
            return true;
        }
        let Some((range, false)) = self.extent(from) else {
            return false;
        };
        let value = &self.text[range.clone()];
        let is_item = value.ends_with([',', '}', ']']) || value.starts_with(['$', '{', '`']);
        let line = self
            .ends
            .next(End::Line, range.end)
            .min(self.ends.next(End::Double, range.end));
        let after = self.text[range.end..line].trim_start();
        !is_item && !after.is_empty() && !after.starts_with('#')
    }
}

/// Whether the sign at `at` assigns nothing: it is a part of an operator or of a URL, or no text in quotes follows.
fn is_other(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map(|at| bytes[at]);
    let next = bytes.get(at + 1);
    match bytes[at] {
        b'=' => {
            matches!(before, Some(b'=' | b'!' | b'<' | b'>' | b'~'))
                || matches!(next, Some(b'=' | b'~'))
        }
        b':' => {
            matches!(before, Some(b':'))
                || matches!(next, Some(b':' | b'='))
                || bytes[at + 1..].starts_with(b"//")
        }
        _ => !matches!(next, Some(b'"' | b'\'')),
    }
}

/// Whether the name has a modifier of Java's keytool, such as `-storepass:env`: then the value only says where the
/// password is.
fn is_source(name: &str, rest: &str) -> bool {
    let after = rest.strip_prefix("env").or(rest.strip_prefix("file"));
    name.starts_with('-')
        && after.is_some_and(|after| after.is_empty() || after.starts_with([' ', '\n', '\'', '"']))
}
