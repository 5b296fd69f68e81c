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
            let _ = write!(io::stderr(), "{}", over(self.shown, text));
            self.shown = text.chars().count();
        }
    }

    /// Makes room for something else.
    pub(super) fn clear(&mut self) {
        if self.shown > 0 {
            let _ = write!(io::stderr(), "{}\r", over(self.shown, ""));
            self.shown = 0;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// This text over another one of so many characters. With blanks and no escape codes: not every terminal knows them.
fn over(shown: usize, text: &str) -> String {
    format!("\r{text:<shown$}")
}

#[cfg(test)]
mod tests {
    use super::over;

    #[test]
    fn nothing_is_left_of_what_was_there() {
        assert_eq!(over(0, "500 Jobs"), "\r500 Jobs");
        assert_eq!(over(12, "1 Job"), "\r1 Job       ");
        assert_eq!(over(5, ""), "\r     ");
    }
}
