//! Where the credentials of a Job stand in the file.
//!
//! A block of text has many lines, and a finding points at the one that is meant. What is written
//! otherwise than it reads, with escapes or behind an anchor, is not looked for: it takes its whole value.

use std::ops::Range;

use crate::core::job::Kind;
use crate::core::job::credentials::{Form, Hit};
use crate::core::manifest::{Document, Node, Position};
use crate::core::policy::path::FieldPath;

/// A credential in a file.
pub(super) struct Place {
    /// Its bytes, or those of its value.
    pub bytes: Range<usize>,
    /// Where they begin.
    pub position: Position,
}

/// Where each of `hits` stands in `text`, whose object at `node` holds them.
pub(super) fn of(
    hits: &[Hit<'_>],
    kind: Kind,
    (text, document, node): (&str, &Document<'_>, Node),
) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::with_capacity(hits.len());
    let mut value: Option<Value<'_>> = None;
    for (index, hit) in hits.iter().enumerate() {
        let is_next = index > 0 && hit.is_with(&hits[index - 1]);
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

/// The value at hand.
struct Value<'t> {
    text: &'t str,
    bytes: Range<usize>,
    /// Where `line` is, which is the byte that the last line which was found begins with.
    position: Position,
    line: usize,
    /// How far its source has been searched.
    from: usize,
    /// The same of what it says.
    read: usize,
}

impl Value<'_> {
    fn place(&mut self, hit: &Hit<'_>) -> Place {
        let found = match hit.form {
            Form::Unread(_) => None,
            _ => self.find(hit),
        };
        let Some(bytes) = found else {
            // What comes later is not looked for either: that would read the source again for each.
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
        // With what stands before it in its line, which tells it from the same text elsewhere.
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
