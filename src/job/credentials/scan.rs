//! Finds credentials in text, in time linear in its length.
//!
//! Anyone who may create a Job chooses this text, a megabyte of it, and every review waits for the
//! scan: after each candidate that is none the scan goes on behind what it has read. Regular
//! expressions would read the rest of a word again for each.

use std::ops::Range;

use super::Form;

/// Who resolves references in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A shell, which knows `$NAME`, too.
    Shell,
    /// Kubernetes, which only knows `$(NAME)`: masking takes any other `$` for a password's.
    Kubernetes,
}

/// Longest reference that is recognised: a variable's name, or a short command of a shell.
const MAX_REFERENCE: usize = 512;
/// Longest key that is recognised.
const MAX_KEY: usize = 64;

/// A cheap look first: a URL or DSN with a password has an `@`, and every key that is looked for has
/// `pas` or `pwd`.
pub(in crate::job) fn may_hold_any(text: &str) -> bool {
    let bytes = text.as_bytes();
    let [second, third] = [1, 2].map(|from| bytes.get(from..).unwrap_or_default());
    let begins = |a: u8, b: u8, c: u8| {
        let [a, b, c] = [a, b, c].map(|byte| byte | 0x20);
        a == b'p' && (b == b'a' && c == b's' || b == b'w' && c == b'd')
    };
    // Without a way out in the middle, so that the compiler can look at many bytes at once: most
    // texts are short, and most hold none.
    let found = bytes
        .iter()
        .zip(second)
        .zip(third)
        .fold(false, |found, ((&a, &b), &c)| found | begins(a, b, c));
    found || memchr::memchr(b'@', bytes).is_some()
}

/// Every credential in `text` with where it stands. Ranges may overlap.
pub(super) fn secrets(text: &str, reader: Reader) -> impl Iterator<Item = (Range<usize>, Form)> {
    let worth_it = may_hold_any(text);
    let text = if worth_it { text } else { "" };
    words(text)
        .filter_map(move |word| location(text, word, reader))
        .chain(assignments(text, reader))
}

/// The words of a text, by white space and double quotes. Single quotes may be in a password.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, '"' | '`');
    let mut from = 0;
    text.split(is_end).map(move |word| {
        let range = from..from + word.len();
        from = range.end + 1;
        range
    })
}

/// The password in a word that is a URL or a data source name: all up to the last `@`.
fn location(text: &str, word: Range<usize>, reader: Reader) -> Option<(Range<usize>, Form)> {
    let bytes = &text.as_bytes()[word.clone()];
    let end = memchr::memrchr(b'@', bytes)?;
    let found = |start: usize| (word.start + start..word.start + end, Form::Url);
    let mut from = 0;
    let mut is_url = false;
    while let Some(scheme) = memchr::memmem::find(&bytes[from..end], b"://") {
        is_url = true;
        let user = from + scheme + 3;
        let Some(colon) = memchr::memchr(b':', &bytes[user..end]).map(|at| user + at) else {
            break;
        };
        // The colon of the next URL.
        if bytes[colon..].starts_with(b"://") {
            from = user;
            continue;
        }
        let start = colon + 1;
        let rest = text.get(word.start + start..word.start + end)?;
        match reference(rest, reader)
            .filter(|length| matches!(rest.as_bytes().get(*length), None | Some(b'@')))
        {
            Some(length) => from = start + length,
            None if is_port(rest) || !is_literal(rest) => from = start,
            None => return Some(found(start)),
        }
    }
    if is_url {
        return None;
    }
    let host = &bytes[end + 1..];
    let nets: [&[u8]; 5] = [b"tcp6", b"tcp", b"udp", b"unix", b""];
    let net = nets.iter().find_map(|net| host.strip_prefix(*net))?;
    let start = memchr::memchr(b':', &bytes[..end]).filter(|&at| at > 0)? + 1;
    let secret = text.get(word.start + start..word.start + end)?;
    (matches!(net.first(), Some(b'(' | b'/')) && is_secret(secret, reader)).then(|| found(start))
}

/// Values of options, variables and parameters with the name of a password.
fn assignments(text: &str, reader: Reader) -> impl Iterator<Item = (Range<usize>, Form)> {
    let bytes = text.as_bytes();
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + memchr::memchr2(b'p', b'P', bytes.get(from..)?)?;
            from = at + 1;
            let Some(end) = key_end(bytes, at) else {
                continue;
            };
            from = end;
            let start = key_start(bytes, at);
            let Some(key) = text.get(start..end).filter(|key| is_key(key)) else {
                continue;
            };
            let Some(value) = value(text, end, key.starts_with('-')) else {
                continue;
            };
            let found = &text[value.clone()];
            if let Some(length) = reference(found, reader).filter(|&length| ends(found, length)) {
                from = value.start + length;
            } else if is_literal(found) {
                from = value.end;
                return Some((value, Form::Assignment(key.to_owned())));
            }
        }
    })
}

/// The end of a key whose last word begins at `at`.
fn key_end(bytes: &[u8], at: usize) -> Option<usize> {
    let words: [&[u8]; 4] = [b"password", b"passwd", b"pass", b"pwd"];
    let ends = |end: usize| !bytes.get(end).is_some_and(|&byte| is_key_byte(byte));
    words
        .iter()
        .map(|word| (at + word.len(), word))
        .find_map(|(end, word)| {
            let is_word = bytes.get(at..end)?.eq_ignore_ascii_case(word);
            (is_word && ends(end)).then_some(end)
        })
}

fn key_start(bytes: &[u8], at: usize) -> usize {
    let before = bytes[..at].iter().rev().take(MAX_KEY);
    at - before.take_while(|&&byte| is_key_byte(byte)).count()
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The value after a key that ends at `end`: behind `=` or `:`, or behind a space for an option.
fn value(text: &str, end: usize, is_option: bool) -> Option<Range<usize>> {
    let quotes: &[char] = &['\\', '"', '\''];
    let blanks: &[char] = &[' ', '\t'];
    // `"password":`, also as JSON within JSON
    let rest = text[end..].trim_start_matches(quotes);
    let after = rest.trim_start_matches(blanks);
    let rest = match after.strip_prefix(['=', ':']) {
        Some(value) if value.starts_with("//") => return None,
        Some(value) => value.trim_start_matches(blanks),
        None if is_option && after.len() < rest.len() && !after.starts_with('-') => after,
        None => return None,
    };
    let inner = rest.trim_start_matches(quotes);
    let start = text.len() - inner.len();
    // A quoted value may hold white space, and the other quote.
    let quote = rest[..rest.len() - inner.len()]
        .chars()
        .next_back()
        .filter(|&c| c != '\\');
    let length = match quote {
        Some(quote) => inner.find(quote),
        None => inner.find(|c: char| c.is_whitespace() || c == '"'),
    };
    Some(start..start + length.unwrap_or(inner.len()))
}

/// Whether a value that begins with a reference of this length holds nothing else.
fn ends(value: &str, length: usize) -> bool {
    value[length..]
        .chars()
        .next()
        .is_none_or(|next| "&;,)}'\"\\@/?".contains(next))
}

/// The length of the reference that `text` begins with: `$(…)`, `${…}`, `{{…}}`, `$NAME`, `` `…` ``.
fn reference(text: &str, reader: Reader) -> Option<usize> {
    let closed = |close: &str| {
        let end = super::super::name::cut(text, MAX_REFERENCE)
            .get(1..)?
            .find(close)?;
        Some(1 + end + close.len())
    };
    let dollar = text.strip_prefix('$');
    match dollar.and_then(|rest| rest.bytes().next()) {
        Some(b'(') => {
            return closed(")").or_else(|| (reader == Reader::Shell).then_some(text.len()));
        }
        Some(b'{') => return closed("}"),
        _ => {}
    }
    if text.starts_with("{{") {
        return closed("}}");
    }
    if reader == Reader::Kubernetes {
        return None;
    }
    if text.starts_with('`') {
        return Some(text.len());
    }
    let name = dollar?
        .bytes()
        .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
        .count();
    (name > 0).then_some(1 + name)
}

/// Whether `host:8080/path@x` was taken for a user and password.
fn is_port(password: &str) -> bool {
    const DIGITS: usize = 5;
    let digits = password
        .bytes()
        .take(DIGITS + 1)
        .take_while(u8::is_ascii_digit)
        .count();
    let next = password.as_bytes().get(digits);
    (1..=DIGITS).contains(&digits) && matches!(next, Some(b'/' | b'?' | b','))
}

/// Whether a variable or option of this name holds a password.
pub(in crate::job) fn is_key(name: &str) -> bool {
    // Most names end otherwise, and need not be copied.
    let may_be = matches!(name.as_bytes(), [.., b'd' | b'D' | b's' | b'S']);
    if !may_be || matches!(name, "PWD" | "OLDPWD") {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    // `compass` and `bypass` are none.
    let last_word = lower.rsplit(['_', '-', '.']).next();
    let is_password = ["password", "passwd", "pwd"]
        .iter()
        .any(|end| lower.ends_with(end));
    (is_password || last_word == Some("pass")) && !lower.contains("no-pass")
}

pub(super) fn is_option(word: &str) -> bool {
    word.starts_with('-') && !word.contains(['=', ' ']) && is_key(word)
}

/// Whether a whole value is a secret rather than a reference to one, a switch, or nothing.
pub(super) fn is_secret(value: &str, reader: Reader) -> bool {
    let value = value.trim_matches(['"', '\'']);
    let is_reference = reference(value, reader).is_some_and(|length| length == value.len());
    !is_reference && is_literal(value)
}

/// Whether a value says something: it is no switch, no blank to be filled in, and not masked yet.
fn is_literal(value: &str) -> bool {
    let is_switch = ["", "true", "false", "yes", "no", "null", "none"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word));
    let is_blank = value.starts_with('<') && value.ends_with('>');
    let is_masked = value.bytes().all(|byte| byte == b'*');
    !(is_switch || is_blank || is_masked)
}
