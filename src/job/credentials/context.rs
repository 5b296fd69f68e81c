//! What the words of a command say about those that follow.

use std::ops::Range;

use super::Form;
use super::command::Takes;
use super::scan::Reader;
use super::value::is_secret;

/// What the words before say about the next: the program that runs, an option that waits for its value.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) takes: Option<Takes>,
    /// The option that the text before ended with, and whether a user stands before its password.
    pub(super) waiting: Option<(Form, bool)>,
    /// A command begins here.
    pub(super) is_start: bool,
    pub(super) is_quiet: bool,
    pub(super) is_comment: bool,
    /// Words for which `IDENTIFIED` of SQL, and `login` of `.netrc`, mean something.
    pub(super) identified: u8,
    pub(super) login: u8,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            takes: None,
            waiting: None,
            is_start: true,
            is_quiet: false,
            is_comment: false,
            identified: 0,
            login: 0,
        }
    }
}

impl Context {
    /// Options alone: what runs is not known, and `-P` is a password in many programs.
    pub(super) fn of_unknown_program() -> Self {
        Self {
            takes: Some(Takes::Next("-P")),
            ..Self::default()
        }
    }

    /// The password in a text as a whole, if the one before ended with an option that takes it.
    pub(super) fn awaited(&mut self, text: &str) -> Option<(Range<usize>, Form)> {
        let (form, is_user) = self.waiting.take()?;
        let start = if is_user { text.find(':')? + 1 } else { 0 };
        // `-P 5432` of an unknown program is a port.
        let is_port =
            self.takes == Some(Takes::Next("-P")) && text.bytes().all(|b| b.is_ascii_digit());
        let is_found =
            !text.starts_with('-') && !is_port && is_secret(&text[start..], Reader::Shell);
        is_found.then_some((start..text.len(), form))
    }

    /// A new command begins.
    pub(super) fn ended(&mut self) {
        let waiting = self.waiting.take();
        *self = Self {
            waiting,
            ..Self::default()
        };
    }
}
