//! What a verb says on stderr besides errors: notes, and a progress line that overwrites itself on a terminal.
//!
//! The state belongs to the process, as stderr does.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

static QUIET: AtomicBool = AtomicBool::new(false);
/// Number of characters of the progress line on the screen.
static SHOWN: AtomicUsize = AtomicUsize::new(0);

/// Says nothing from now on if `quiet`.
pub(super) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Relaxed);
}

/// Replaces the progress line with `text`.
pub(super) fn show(text: &str) {
    if io::stderr().is_terminal() && !QUIET.load(Relaxed) {
        let _ = write!(io::stderr(), "{}", over(SHOWN.load(Relaxed), text));
        SHOWN.store(text.chars().count(), Relaxed);
    }
}

/// Removes the progress line, so that other output can be printed.
pub(super) fn clear() {
    let shown = SHOWN.swap(0, Relaxed);
    if shown > 0 {
        let _ = write!(io::stderr(), "{}\r", over(shown, ""));
    }
}

/// Prints a note.
pub(super) fn note(text: &str) {
    clear();
    if !QUIET.load(Relaxed) {
        let _ = writeln!(anstream::stderr(), "note: {text}");
    }
}

/// Prints a warning: the result is incomplete, which a quiet verb says too.
pub(super) fn warning(text: &str) {
    clear();
    let _ = writeln!(anstream::stderr(), "warning: {text}");
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
