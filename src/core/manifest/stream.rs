//! Cuts a stream into documents, at its markers and between values of JSON, and names what stands between documents.

use std::ops::Range;
use std::rc::Rc;

use serde::de::IgnoredAny;

use super::places::Places;
use super::{Document, Position};

/// Why a document could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub(crate) struct BrokenDocument {
    pub position: Position,
    /// The fault, and what to write instead.
    pub message: String,
    /// Whether the document contains `{{`, as a template does.
    pub(crate) is_template: bool,
    /// Whether the line of the fault does.
    pub(crate) is_template_line: bool,
    /// Whether the fault is between two documents, which are still read.
    pub(crate) is_between: bool,
}

/// The documents of a stream that are not empty, one by one.
pub(crate) fn documents(
    stream: &str,
) -> impl Iterator<Item = Result<Document<'_>, BrokenDocument>> {
    Documents {
        places: Rc::new(Places::new(stream)),
        rest: Some(0),
        waiting: Vec::new(),
    }
}

/// The documents of a stream.
///
/// The stream is cut at the markers first: the parser would stop at the first broken document.
#[derive(Debug)]
struct Documents<'a> {
    places: Rc<Places<'a>>,
    /// Where the next part begins.
    rest: Option<usize>,
    /// Parts to return before the next one, in reverse order.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
enum Waiting {
    Part(Part),
    Broken(BrokenDocument),
}

/// A part of a stream that is a document, or several of JSON.
#[derive(Clone, Debug)]
struct Part {
    bytes: Range<usize>,
    /// Whether it begins right after a marker, in the same line.
    after_marker: bool,
    /// Whether it was cut at a line that begins with `---` but is not a marker.
    is_cut: bool,
}

impl<'a> Iterator for Documents<'a> {
    type Item = Result<Document<'a>, BrokenDocument>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let part = match self.waiting.pop() {
                Some(Waiting::Broken(broken)) => return Some(Err(broken)),
                Some(Waiting::Part(part)) => part,
                None => self.cut()?,
            };
            let text = &self.places.text[part.bytes.clone()];
            if !is_empty(text) {
                return Some(self.read(part));
            }
            // kubectl and Helm only split at `---`, and would read a directive as a document.
            if part.bytes.start > 0
                && let Some(at) = directive(text)
            {
                let at = part.bytes.start + at;
                return Some(Err(self.broken(at..at, DIRECTIVE, true)));
            }
        }
    }
}

pub(super) const DIRECTIVE: &str = "a directive (a line that begins with %) stands in the middle of the file, which kubectl \
                         and Helm refuse; delete the line";
pub(super) const SEPARATOR: &str = "text follows --- in the same line, which kubectl and Helm refuse; write it as a comment: \
                         --- # text";

impl<'a> Documents<'a> {
    /// The part before the next marker.
    fn cut(&mut self) -> Option<Part> {
        let start = self.rest?;
        let (end, next) = cut_at_marker(self.places.text, start);
        self.rest = next;
        Some(Part {
            bytes: start..end,
            after_marker: start > 0,
            is_cut: false,
        })
    }

    fn read(&mut self, part: Part) -> Result<Document<'a>, BrokenDocument> {
        let part = self.json(part);
        let fault = match Document::read(&self.places, part.bytes.clone()) {
            Ok(document) => return Ok(document),
            Err(fault) => fault,
        };
        let separators = if part.is_cut {
            Vec::new()
        } else {
            separators(self.places.text, &part)
        };
        if separators.is_empty() {
            let mut broken = self.broken(part.bytes, fault.message, false);
            broken.position = self.places.position(fault.at);
            broken.is_template_line = is_template_line(self.places.text, fault.at);
            return Err(broken);
        }
        self.cut_at(&separators, &part);
        match self.next() {
            Some(found) => found,
            None => Err(self.broken(part.bytes, fault.message, false)),
        }
    }

    /// The first value of a part that is JSON; the others wait. JSON needs no marker between two documents.
    fn json(&mut self, part: Part) -> Part {
        let text = &self.places.text[part.bytes.clone()];
        if !text.trim_start().starts_with('{') {
            return part;
        }
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
        let Some(Ok(_)) = values.next() else {
            return part;
        };
        let end = part.bytes.start + values.byte_offset();
        let rest = Part {
            bytes: end..part.bytes.end,
            after_marker: false,
            ..part
        };
        self.waiting.push(Waiting::Part(rest));
        Part {
            bytes: part.bytes.start..end,
            ..part
        }
    }

    /// Cuts a broken part at lines that begin with `---` and text.
    fn cut_at(&mut self, separators: &[Range<usize>], part: &Part) {
        let mut end = part.bytes.end;
        let whole = |bytes| {
            Waiting::Part(Part {
                bytes,
                after_marker: false,
                is_cut: true,
            })
        };
        for line in separators.iter().rev() {
            self.waiting.push(whole(line.end..end));
            let broken = self.broken(line.clone(), SEPARATOR, true);
            self.waiting.push(Waiting::Broken(broken));
            end = line.start;
        }
        self.waiting.push(whole(part.bytes.start..end));
    }

    fn broken(&self, bytes: Range<usize>, message: &str, is_between: bool) -> BrokenDocument {
        BrokenDocument {
            position: self.places.position(bytes.start),
            message: message.to_owned(),
            is_template: self.places.text[bytes].contains("{{"),
            is_template_line: false,
            is_between,
        }
    }
}

/// Whether `{{` is near this byte, in its line.
fn is_template_line(text: &str, at: usize) -> bool {
    const NEAR: usize = 256;
    let (before, after) = text.as_bytes().split_at(at.min(text.len()));
    let before = &before[before.len().saturating_sub(NEAR)..];
    let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
    let after = &after[..after.len().min(NEAR)];
    let end = memchr::memchr(b'\n', after).unwrap_or(after.len());
    let line = [&before[start..], &after[..end]].concat();
    memchr::memmem::find(&line, b"{{").is_some()
}

/// Where the next line with `---` or `...` begins, and where the text after the marker begins.
fn cut_at_marker(text: &str, start: usize) -> (usize, Option<usize>) {
    let bytes = text.as_bytes();
    let mut line = start;
    loop {
        let is_start = line == 0 || bytes[line - 1] == b'\n';
        let is_marker = matches!(bytes.get(line..line + 3), Some(b"---" | b"..."));
        if is_start && is_marker && bytes.get(line + 3).is_none_or(u8::is_ascii_whitespace) {
            return (line, Some(line + 3));
        }
        match memchr::memchr(b'\n', &bytes[line..]) {
            Some(found) => line += found + 1,
            None => return (text.len(), None),
        }
    }
}

/// The lines of a part that begin with `---` and text which cannot begin a value.
fn separators(text: &str, part: &Part) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = part.bytes.start;
    for line in text[part.bytes.clone()].split_inclusive('\n') {
        let written = line.trim();
        let is_first = start == part.bytes.start;
        let is_text = if is_first && part.after_marker {
            !written.is_empty()
                && !written.starts_with(['#', '|', '>', '"', '\'', '{', '[', '&', '!'])
        } else {
            line.starts_with("---")
        };
        if is_text {
            let indent = line.len() - line.trim_start().len();
            found.push(start + indent..start + line.len());
        }
        start += line.len();
    }
    found
}

/// The byte at which a line with `%` begins.
fn directive(text: &str) -> Option<usize> {
    text.starts_with('%')
        .then_some(0)
        .or_else(|| text.find("\n%").map(|at| at + 1))
}

fn is_empty(part: &str) -> bool {
    part.lines().all(|line| {
        let written = line.trim();
        written.is_empty()
            || written.starts_with('#')
            || line.starts_with('%')
            || written == "\u{feff}"
    })
}
