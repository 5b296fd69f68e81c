//! Finds the next end of each kind, in a text that is read from its start to its end.

use std::ops::Range;

/// A kind of end of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// White space or a double quote.
    Word,
    Single,
    Double,
    Line,
    Brace,
    Redirect,
    Pipe,
}

/// The next end of each kind. Nothing is searched twice.
pub(super) struct Ends<'t> {
    text: &'t [u8],
    known: [Range<usize>; 7],
}

impl<'t> Ends<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text: text.as_bytes(),
            known: [const { 0..0 }; 7],
        }
    }

    /// The first such end at or after `from`, or the end of the text.
    pub(super) fn next(&mut self, end: End, from: usize) -> usize {
        let known = &mut self.known[end as usize];
        // A known range holds no such end, except at its own end.
        if known.start <= from && from <= known.end && known.start < known.end {
            return known.end;
        }
        let rest = &self.text[from..];
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'"';
        let found = match end {
            End::Word => rest.iter().position(is_end),
            End::Single => memchr::memchr(b'\'', rest),
            End::Double => memchr::memchr(b'"', rest),
            End::Line => memchr::memchr(b'\n', rest),
            End::Brace => memchr::memchr(b'}', rest),
            End::Redirect => memchr::memchr(b'>', rest),
            End::Pipe => memchr::memchr(b'|', rest),
        };
        *known = from..found.map_or(self.text.len(), |at| from + at);
        known.end
    }
}
