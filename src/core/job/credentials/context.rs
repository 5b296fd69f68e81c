//! What the words of a command imply for those that follow.

use std::ops::Range;

use super::Form;
use super::command::{Takes, UNKNOWN};
use super::scan::Reader;
use super::value::is_secret;
use crate::core::job::name::cut;

/// What the previous words imply for the next: the program that runs, an option that waits for its value.
#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    pub(super) takes: Option<Takes>,
    /// The option that the previous text ended with, and whether a user precedes its password.
    pub(super) waiting: Option<(Form, bool)>,
    /// A word of the command was read.
    pub(super) has_begun: bool,
    pub(super) is_quiet: bool,
    pub(super) is_comment: bool,
    /// Number of words for which SQL's `IDENTIFIED`, or `login` of `.netrc`, stays in effect.
    pub(super) identified: u8,
    pub(super) login: u8,
    heredoc: Option<Heredoc>,
}

/// A here-document: lines that a program reads up to a word (`<<EOF`).
#[derive(Clone, Debug)]
struct Heredoc {
    /// Empty until that word was read.
    end: String,
    is_open: bool,
    takes: Option<Takes>,
}

impl Context {
    /// Options alone: what runs is not known, and `-P` is a password in many programs.
    pub(super) fn of_unknown_program() -> Self {
        Self {
            takes: Some(UNKNOWN),
            ..Self::default()
        }
    }

    /// The password in a whole text, if the previous one ended with an option that takes it.
    pub(super) fn awaited(&mut self, text: &str) -> Option<(Range<usize>, Form)> {
        let (form, is_user) = self.waiting.take()?;
        let start = if is_user { text.find(':')? + 1 } else { 0 };
        // `-P 5432` of an unknown program is a port.
        let is_port = self.takes == Some(UNKNOWN) && text.bytes().all(|b| b.is_ascii_digit());
        let is_found =
            !text.starts_with('-') && !is_port && is_secret(&text[start..], Reader::Shell);
        is_found.then_some((start..text.len(), form))
    }

    pub(super) fn ended(&mut self) {
        *self = Self {
            waiting: self.waiting.take(),
            heredoc: self.heredoc.take(),
            ..Self::default()
        };
    }

    /// A new line begins, possibly of a program's input. SQL and `.netrc` continue in it.
    pub(super) fn next_line(&mut self) {
        let (takes, identified, login) = (self.takes, self.identified, self.login);
        self.ended();
        (self.identified, self.login) = (identified, login);
        if let Some(heredoc) = &mut self.heredoc {
            if !heredoc.is_open {
                heredoc.is_open = true;
                heredoc.takes = takes.and_then(Takes::of_input);
            }
            self.takes = heredoc.takes;
        }
    }

    /// Tracks where lines of input begin and end. True if the word ends them.
    pub(super) fn reads(&mut self, word: &str) -> bool {
        const MAX: usize = 32;
        let end = word.strip_prefix("<<").filter(|end| !end.starts_with('<'));
        if let Some(end) = end {
            let end = cut(end.trim_start_matches(['-', '\'', '\\']), MAX).to_owned();
            self.heredoc = Some(Heredoc {
                end,
                is_open: false,
                takes: None,
            });
            return false;
        }
        let Some(heredoc) = &mut self.heredoc else {
            return false;
        };
        if heredoc.end.is_empty() {
            cut(word, MAX).clone_into(&mut heredoc.end);
        }
        let is_end = heredoc.is_open && !self.has_begun && heredoc.end == word;
        if is_end {
            self.heredoc = None;
            self.takes = None;
        }
        is_end
    }
}
