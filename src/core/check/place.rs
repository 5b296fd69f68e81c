//! Locates the credentials of a Job in the file.
//!
//! A block of text has many lines, and a finding points at the right one. If the source differs from the value, because
//! of escapes or an anchor, the finding points at the whole value.

use std::ops::Range;

use crate::core::job::Kind;
use crate::core::job::credentials::{Form, Hit};
use crate::core::manifest::{Document, Node, Position};
use crate::core::policy::path::FieldPath;

/// A credential in a file.
pub(super) struct Place {
    /// Byte range of the credential, or of its whole value.
    pub bytes: Range<usize>,
    /// Position of the first byte.
    pub position: Position,
}

/// The place of each of `hits` in `text`. They are in the object at `node`.
pub(super) fn of(
    hits: &[Hit<'_>],
    kind: Kind,
    (text, document, node): (&str, &Document<'_>, Node),
) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::with_capacity(hits.len());
    let mut value: Option<Value<'_>> = None;
    for (index, hit) in hits.iter().enumerate() {
        let is_next = index > 0 && hit.place == hits[index - 1].place;
        let here = match &mut value {
            Some(value) if is_next => value,
            _ => {
                let at = FieldPath::credential(hit).within(kind).pointer();
                let (position, bytes) = document.locate(node, at.as_str());
                let line = bytes.start;
                value.insert(Value {
                    text,
                    position,
                    from: line,
                    line,
                    bytes,
                    read: 0,
                })
            }
        };
        places.push(here.place(hit));
    }
    places
}

/// The value that is being searched.
struct Value<'t> {
    text: &'t str,
    bytes: Range<usize>,
    /// Position of `line`, the first byte of the last line that was found.
    position: Position,
    line: usize,
    /// The byte up to which its source has been searched.
    from: usize,
    /// The byte up to which its parsed text has been searched.
    read: usize,
}

impl Value<'_> {
    fn place(&mut self, hit: &Hit<'_>) -> Place {
        let found = match hit.form {
            Form::Unread(_) => None,
            _ => self.find(hit),
        };
        let Some(bytes) = found else {
            // Later credentials are not located either: each would read the source again.
            self.from = self.bytes.end;
            let (bytes, position) = (self.bytes.clone(), self.position);
            return Place { bytes, position };
        };
        let between = &self.text[self.line..bytes.start];
        if let Some(last) = between.rfind('\n') {
            self.position.line += memchr::memchr_iter(b'\n', between.as_bytes()).count();
            self.position.column = 1;
            self.line += last + 1;
        }
        let column = self.position.column + self.text[self.line..bytes.start].chars().count();
        let position = Position {
            column,
            ..self.position
        };
        self.from = bytes.end;
        self.read = hit.range.end;
        Place { bytes, position }
    }

    fn find(&self, hit: &Hit<'_>) -> Option<Range<usize>> {
        let source = self.text.get(self.from..self.bytes.end)?;
        // With the text before it in its line, which distinguishes it from the same text elsewhere.
        let before = hit.text.get(self.read..hit.range.start)?;
        let line = self.read + before.rfind('\n').map_or(0, |at| at + 1);
        let lead = &hit.text[line..hit.range.end];
        let search = |text: &str| {
            let at = memchr::memmem::find(source.as_bytes(), text.as_bytes())?;
            Some(self.from + at + text.len())
        };
        let end = search(lead).or_else(|| search(hit.secret()))?;
        Some(end - hit.range.len()..end)
    }
}
