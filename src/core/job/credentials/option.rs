//! Passwords that are separate words: after an option of a program, or in a statement.

use std::ops::Range;

use super::command::{self, Place, Takes};
use super::ends::End;
use super::key::is_key;
use super::scan::{Reader, Scan};
use super::value::is_secret;
use super::{Form, location, words};

impl Scan<'_, '_> {
    pub(super) fn command(&mut self, word: Range<usize>) {
        const AROUND: [char; 7] = ['\'', '(', ')', ';', '[', ']', ','];
        let raw = &self.text[word.clone()];
        let opened = raw.trim_start_matches(AROUND);
        let start = word.end - opened.len();
        let written = opened.trim_end_matches(AROUND);
        if self.context.reads(written) {
            return;
        }
        if matches!(self.context.takes, Some(Takes::Login(_))) {
            self.login(start, written);
        }
        if written.starts_with('-') {
            self.option(start, written);
        } else {
            if let Some(takes) = command::program(written) {
                if written.ends_with("printf") {
                    self.format(start + written.len());
                }
                self.runs(takes, word.start);
            } else {
                self.word_of_program(start, written);
            }
            self.statement(start + written.len(), written);
        }
        if raw.ends_with([';', '|', '&']) {
            self.context.ended();
        } else {
            self.context.has_begun = true;
        }
    }

    /// An operand, or a word of the language that a program reads.
    fn word_of_program(&mut self, start: usize, written: &str) {
        match self.context.takes {
            Some(Takes::Operand) => self.slashed(start, written),
            Some(Takes::Connect) if !self.context.has_begun => {
                if words::is("connect conn", written) {
                    self.context.takes = Some(Takes::Operand);
                } else if written.contains('@') {
                    self.slashed(start, written);
                }
            }
            Some(takes @ Takes::Next(_)) if command::place(takes, written).is_some() => {
                let end = start + written.len();
                let form = Form::named(written);
                let second = self
                    .second(end)
                    .filter(|_| written.eq_ignore_ascii_case("auth"));
                match second {
                    Some(at) => self.value(at, form),
                    None => self.await_operand(end, form, false),
                }
            }
            _ => {}
        }
    }

    fn runs(&mut self, takes: Takes, at: usize) {
        match takes {
            Takes::Prints => {}
            Takes::Searches => {
                self.context.is_quiet = self.reader == Reader::Shell;
                return;
            }
            _ => {
                self.context.takes = Some(takes);
                return;
            }
        }
        let line = self.ends.next(End::Line, at);
        let goes = self
            .ends
            .next(End::Redirect, at)
            .min(self.ends.next(End::Pipe, at));
        let is_shown = goes >= line || self.text[goes..].starts_with(">&");
        self.context.is_quiet = is_shown && self.reader == Reader::Shell;
    }

    fn option(&mut self, start: usize, written: &str) {
        let end = start + written.len();
        let form = || Form::named(written);
        let place = self
            .context
            .takes
            .and_then(|takes| command::place(takes, written));
        let bytes = self.text.as_bytes();
        let is_blank = |at: usize| match &bytes[at..] {
            [] | [b'\'' | b';' | b')'] => true,
            [first, next, ..] if b"';)".contains(first) => next.is_ascii_whitespace(),
            [first, ..] => first.is_ascii_whitespace(),
        };
        let short = |at: usize| Form::named(written[..at].trim_end_matches('='));
        // `-p$MYSQL_PWD` is not an option of that name, and `-pOurPwd` may not be one.
        if is_name(written) && is_key(written) {
            self.await_operand(end, form(), false);
            if !matches!(place, Some(Place::Here(_))) {
                return;
            }
        }
        match place {
            // The option alone makes the program prompt for one, unless a quoted value follows at once.
            Some(Place::Here(at) | Place::NextOrHere(at)) if !is_blank(start + at) => {
                self.value(start + at, short(at));
            }
            Some(Place::User(at)) => self.operand(start + at, short(at), true),
            Some(Place::Next | Place::NextOrHere(_)) => self.await_operand(end, form(), false),
            Some(Place::NextUser) => self.await_operand(end, form(), true),
            Some(Place::Here(_)) | None => {}
        }
    }

    /// Finds the value of an option that ends here: the next word, possibly in the next text.
    fn await_operand(&mut self, from: usize, form: Form, is_user: bool) {
        let rest = self.text[from..].trim_start_matches(['"', '\'']);
        let after = rest.trim_start_matches([' ', '\t', ',']);
        let next = after
            .trim_start_matches("\\\n")
            .trim_start_matches([' ', '\t']);
        if next.is_empty() {
            self.context.waiting = Some((form, is_user));
        } else if next.len() < rest.len()
            && !next.starts_with(['-', '|', '&', ';', '<', '>', ')', '\n'])
        {
            self.operand(self.text.len() - next.len(), form, is_user);
        }
    }

    /// Where the second operand after `from` begins, in the same line: `AUTH user password`.
    fn second(&mut self, from: usize) -> Option<usize> {
        let (first, _) = self.extent(from)?;
        let rest = self.text[first.end..].trim_start_matches(['"', '\'']);
        let next = rest.trim_start_matches([' ', '\t']);
        let is_operand = |first: char| first.is_ascii_alphanumeric() || "$\"'*".contains(first);
        (next.len() < rest.len() && next.starts_with(is_operand))
            .then(|| self.text.len() - next.len())
    }

    fn operand(&mut self, from: usize, form: Form, is_user: bool) {
        if !is_user {
            return self.value(from, form);
        }
        let Some((range, _)) = self.extent(from) else {
            return;
        };
        if let Some((user, secret)) = self.text[range.clone()].split_once(':')
            && !user.contains('/')
            && is_secret(secret, self.reader)
        {
            self.hits.push((range.end - secret.len()..range.end, form));
        }
    }

    /// `user/password@…` of Oracle's programs.
    fn slashed(&mut self, start: usize, written: &str) {
        let from = written.find('=').map_or(0, |at| at + 1);
        let end = memchr::memrchr(b'@', written.as_bytes()).unwrap_or(written.len());
        let found = location::slashed(written, from, end, self.reader);
        self.record(start, found, Form::named("user/password"));
    }

    /// `user:password@host` of MySQL's shell.
    fn login(&mut self, start: usize, written: &str) {
        let from = match written.find('=') {
            Some(at) if written.starts_with('-') => at + 1,
            _ => 0,
        };
        let found = location::login(written, from, self.reader);
        self.record(start, found, Form::Url);
    }

    /// Records what was found in a word that begins at `start`.
    fn record(&mut self, start: usize, found: Option<Range<usize>>, form: Form) {
        let hit = found.map(|range| (start + range.start..start + range.end, form));
        self.hits.extend(hit);
    }

    /// SQL's `PASSWORD 'x'` and `IDENTIFIED BY 'x'`, and `login x password y` of `.netrc`.
    fn statement(&mut self, end: usize, written: &str) {
        // The part after the `\n` of a format.
        let written = written.rsplit("\\n").next().unwrap_or(written);
        let is = |word: &str| written.eq_ignore_ascii_case(word);
        let context = &mut *self.context;
        let (identified, login) = (context.identified, context.login);
        context.identified = if is("identified") {
            4
        } else {
            identified.saturating_sub(1)
        };
        context.login = if is("login") {
            3
        } else {
            login.saturating_sub(1)
        };
        let after = self.text[end..].trim_start_matches([' ', '\t']);
        let is_quoted = after.starts_with('\'') && after.len() < self.text.len() - end;
        let form = || Form::named(written);
        let is_random =
            words::begins("random", after) && words::begins("password", after[6..].trim_start());
        if identified > 0 && is("by") && !is_random {
            self.await_operand(end, Form::named("IDENTIFIED BY"), false);
        } else if login > 0 && is("password") || is("requirepass") {
            self.await_operand(end, form(), false);
        } else if is_quoted && is("password") && !self.context.is_quiet {
            self.value(end, form());
        }
    }
}

/// Whether an option may have this name.
fn is_name(written: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    written.bytes().all(is_byte)
}
