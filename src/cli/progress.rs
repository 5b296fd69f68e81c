//! How far a verb is, in one line that is written over again and again: for whoever waits at a terminal, and
//! for nobody else.

use std::io::{self, IsTerminal, Write};

/// The line.
pub(super) struct Progress {
    is_watched: bool,
    /// Characters of it on the screen.
    shown: usize,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            is_watched: io::stderr().is_terminal(),
            shown: 0,
        }
    }

    /// Shows this instead of what was there.
    pub(super) fn show(&mut self, text: &str) {
        if self.is_watched {
            // Blanks and no escape codes: not every terminal knows them.
            let _ = write!(io::stderr(), "\r{text:<0$}", self.shown);
            self.shown = text.chars().count();
        }
    }

    /// Makes room for something else.
    pub(super) fn clear(&mut self) {
        if self.shown > 0 {
            let _ = write!(io::stderr(), "\r{:0$}\r", self.shown);
            self.shown = 0;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
