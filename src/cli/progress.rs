//! A progress line that overwrites itself. It is shown only if stderr is a terminal.

use std::io::{self, IsTerminal, Write};

/// The progress line on stderr.
pub(super) struct Progress {
    is_watched: bool,
    /// Number of characters on the screen.
    shown: usize,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            is_watched: io::stderr().is_terminal(),
            shown: 0,
        }
    }

    /// Replaces the line with `text`.
    pub(super) fn show(&mut self, text: &str) {
        if self.is_watched {
            let _ = write!(io::stderr(), "{}", over(self.shown, text));
            self.shown = text.chars().count();
        }
    }

    /// Removes the line, so that other output can be printed.
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

/// Text that overwrites `shown` characters with `text`. It pads with blanks, because not every terminal supports escape
/// codes.
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
