//! Finds credentials in text, in time linear in its length.
//!
//! Every user who may create a Job chooses this text, and every review waits for the scan. The text is read once, word by
//! word. [`Ends`] looks ahead without reading a byte twice, and everything else reads a bounded part of the text.

use std::ops::Range;

use super::context::Context;
use super::ends::Ends;
use super::{Form, location};

/// The program that resolves references in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A shell, which also knows `$NAME` and comments.
    Shell,
    /// Kubernetes, which only knows `$(NAME)`: masking treats any other `$` as part of a password.
    Kubernetes,
}

/// Every credential in `text` with its range, in no order. Ranges may overlap.
pub(super) fn secrets(
    text: &str,
    reader: Reader,
    context: &mut Context,
) -> Vec<(Range<usize>, Form)> {
    let mut scan = Scan {
        text,
        reader,
        context,
        ends: Ends::new(text),
        hits: Vec::new(),
        read: 0,
        named: None,
    };
    let mut before = 0;
    for word in words(text) {
        if word.is_empty() {
            continue;
        }
        if text.as_bytes()[before..word.start].contains(&b'\n') && !text[..before].ends_with('\\') {
            scan.context.next_line();
        }
        before = word.end;
        scan.word(word);
    }
    scan.hits
}

/// The words of a text, split at white space and double quotes. Single quotes may be part of a password.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, '"' | '`');
    let mut from = 0;
    text.split(is_end).map(move |word| {
        let range = from..from + word.len();
        from = range.end + 1;
        range
    })
}

/// The state of one scan.
pub(super) struct Scan<'t, 'c> {
    pub(super) text: &'t str,
    pub(super) reader: Reader,
    pub(super) context: &'c mut Context,
    pub(super) ends: Ends<'t>,
    pub(super) hits: Vec<(Range<usize>, Form)>,
    /// Everything before this byte has been scanned.
    pub(super) read: usize,
    /// The name of a password that followed `name:`, and whose `value:` may come next.
    pub(super) named: Option<Range<usize>>,
}

impl Scan<'_, '_> {
    fn word(&mut self, word: Range<usize>) {
        let text = self.text;
        let written = &text[word.clone()];
        let is_first = word.start == 0 || text.as_bytes()[word.start - 1].is_ascii_whitespace();
        if self.reader == Reader::Shell && is_first {
            let is_sql = written == "--" && !self.context.has_begun;
            self.context.is_comment |= written.starts_with('#') || is_sql;
        }
        let rest = text.len() - word.end;
        if word.start == 0
            && written.eq_ignore_ascii_case("bearer")
            && rest > 8
            && !text[word.end + 1..].contains(' ')
        {
            self.header(0);
        }
        if self.context.is_comment || word.end <= self.read {
            return;
        }
        self.hits
            .extend(location::find(text, word.clone(), self.reader));
        for at in memchr::memchr3_iter(b'=', b':', b'(', written.as_bytes()) {
            if word.start + at >= self.read {
                self.assignment(word.start + at);
            }
        }
        for at in memchr::memchr_iter(b'>', written.as_bytes()) {
            if word.start + at >= self.read {
                self.element(word.start + at);
            }
        }
        self.command(word);
    }
}
