//! YAML streams as documents that know where each value stands.
//!
//! Used for manifests and for the policy file. The parser is `serde-saphyr`; what is added is the
//! position of every value, and that one broken document does not hide the others.

use std::fmt;
use std::ops::Range;

use json_patch::jsonptr::Pointer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// A position in a file, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// One YAML document of a stream.
#[derive(Debug)]
pub struct Document {
    /// The document as JSON.
    pub value: Value,
    root: Placed,
    /// Lines of the stream before this document.
    lines_before: usize,
    bytes_before: usize,
}

/// Why a document could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct BrokenDocument {
    /// Where the fault is.
    pub position: Position,
    /// What it is.
    pub message: String,
    /// Whether the document holds `{{`, as a template does.
    pub is_template: bool,
}

/// A value and its place; `None` where the parser knows none.
#[derive(Debug)]
struct Placed {
    at: Position,
    bytes: Range<usize>,
    node: Node,
}

#[derive(Debug)]
enum Node {
    Scalar,
    Seq(Vec<Placed>),
    Map(Vec<(String, Placed)>),
}

impl Document {
    /// Where the value at this JSON Pointer stands, or its nearest parent that is there, with the
    /// bytes it takes in the stream.
    #[must_use]
    pub fn locate(&self, pointer: &str) -> (Position, Range<usize>) {
        let mut here = &self.root;
        for token in Pointer::parse(pointer).unwrap_or(Pointer::root()).tokens() {
            let key = token.decoded();
            let next = match &here.node {
                Node::Map(entries) => entries.iter().find(|(k, _)| *k == key).map(|(_, v)| v),
                Node::Seq(items) => key.parse().ok().and_then(|index: usize| items.get(index)),
                Node::Scalar => None,
            };
            let Some(next) = next else { break };
            here = next;
        }
        let line = here.at.line + self.lines_before;
        let bytes = here.bytes.start + self.bytes_before..here.bytes.end + self.bytes_before;
        (
            Position {
                line,
                column: here.at.column,
            },
            bytes,
        )
    }
}

/// The non-empty documents of a YAML (or JSON) stream, one by one.
///
/// The stream is cut at the markers first: the parser would stop at the first broken document.
pub fn documents(stream: &str) -> impl Iterator<Item = Result<Document, BrokenDocument>> + '_ {
    let mut rest = Some((stream, 0, 0));
    std::iter::from_fn(move || {
        loop {
            let (text, lines_before, bytes_before) = rest?;
            let (part, next) = cut_at_marker(text);
            rest = next.map(|at| {
                let lines = text[..at].bytes().filter(|&byte| byte == b'\n').count();
                (&text[at..], lines_before + lines, bytes_before + at)
            });
            if !is_empty(part) {
                return Some(parse(part, lines_before, bytes_before));
            }
        }
    })
}

/// The text before the next document marker, and where the text after it begins.
fn cut_at_marker(text: &str) -> (&str, Option<usize>) {
    let mut from = 0;
    while let Some(found) = memchr::memmem::find(&text.as_bytes()[from..], b"---") {
        let at = from + found;
        let starts_line = at == 0 || text.as_bytes()[at - 1] == b'\n';
        let after = text.as_bytes().get(at + 3);
        if starts_line && after.is_none_or(u8::is_ascii_whitespace) {
            return (&text[..at], Some(at + 3));
        }
        from = at + 3;
    }
    (text, None)
}

fn is_empty(part: &str) -> bool {
    part.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "..." || line.starts_with("%YAML")
    })
}

fn parse(part: &str, lines_before: usize, bytes_before: usize) -> Result<Document, BrokenDocument> {
    match serde_saphyr::from_str::<Spanned<Tree>>(part) {
        Ok(tree) => {
            let (root, value) = place(tree);
            Ok(Document {
                value,
                root,
                lines_before,
                bytes_before,
            })
        }
        Err(error) => {
            let (position, message) = explain(&error);
            let position = Position {
                line: position.line + lines_before,
                ..position
            };
            Err(BrokenDocument {
                position,
                message,
                is_template: part.contains("{{"),
            })
        }
    }
}

/// Position and words of a parser error, without the snippet it would print.
pub(crate) fn explain(error: &serde_saphyr::Error) -> (Position, String) {
    let position = error
        .location()
        .map_or(Position { line: 1, column: 1 }, |at| Position {
            line: number(at.line()),
            column: number(at.column()),
        });
    let text = error.without_snippet().to_string();
    // The position is told apart from the words, counted in the whole stream.
    let message = match text.find("line ").filter(|_| text.starts_with("error: ")) {
        Some(at) => text[at..]
            .split_once(": ")
            .map_or(text.as_str(), |(_, words)| words),
        None => text.as_str(),
    };
    let message = message.split(" at line ").next().unwrap_or(message);
    // Advice on the parser's own settings is none to a chart's author.
    let message = message
        .split(", set DuplicateKeyPolicy")
        .next()
        .unwrap_or(message);
    (
        position,
        message.lines().next().unwrap_or_default().to_owned(),
    )
}

fn number(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A value of the parser's, with the places it knows.
enum Tree {
    Scalar(Value),
    Seq(Vec<Spanned<Tree>>),
    Map(Vec<(String, Spanned<Tree>)>),
}

fn place(tree: Spanned<Tree>) -> (Placed, Value) {
    let location = tree.referenced;
    let at = Position {
        line: number(location.line()),
        column: number(location.column()),
    };
    let span = location.span();
    let start = number(span.byte_offset().unwrap_or_default());
    let bytes = start..start + number(span.byte_len().unwrap_or_default());
    let (node, value) = match tree.value {
        Tree::Scalar(value) => (Node::Scalar, value),
        Tree::Seq(items) => {
            let (places, values) = items.into_iter().map(place).unzip();
            (Node::Seq(places), Value::Array(values))
        }
        Tree::Map(entries) => {
            let mut nodes = Vec::with_capacity(entries.len());
            let mut values = Map::new();
            for (key, entry) in entries {
                let (placed, value) = place(entry);
                nodes.push((key.clone(), placed));
                values.insert(key, value);
            }
            (Node::Map(nodes), Value::Object(values))
        }
    };
    (Placed { at, bytes, node }, value)
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        // JSON has no infinity; nothing in a manifest may be one.
        Ok(Tree::Scalar(
            Number::from_f64(value).map_or(Value::Null, Value::Number),
        ))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::String(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_place_in_the_stream() {
        let stream = "# first\n---\na: 1\n---\n---\nb:\n  - c: 'x'\n    d: [1, two]\n";
        let documents: Vec<_> = documents(stream).map(Result::unwrap).collect();
        assert_eq!(documents.len(), 2);
        assert_eq!(
            documents[1].value,
            serde_json::json!({"b": [{"c": "x", "d": [1, "two"]}]})
        );
        let (at, bytes) = documents[1].locate("/b/0/d/1");
        assert_eq!(
            (at, &stream[bytes]),
            (
                Position {
                    line: 8,
                    column: 12
                },
                "two"
            )
        );
        let (at, bytes) = documents[1].locate("/b/0/c");
        assert_eq!(
            (at, &stream[bytes]),
            (Position { line: 7, column: 8 }, "'x'")
        );
        // The nearest parent that is there.
        assert_eq!(
            documents[1].locate("/b/0/e/f").0,
            Position { line: 7, column: 5 }
        );
        assert_eq!(documents[0].locate("/a").0, Position { line: 3, column: 4 });
    }

    #[test]
    fn a_broken_document_does_not_hide_the_next() {
        let mut found = documents("a: [1\n---\nb: 2\n---\nc: 1\nc: 2\n");
        let broken = found.next().unwrap().unwrap_err();
        assert_eq!(broken.position.line, 1, "{broken:?}");
        assert!(found.next().unwrap().is_ok());
        let twice = found.next().unwrap().unwrap_err();
        assert_eq!(twice.position, Position { line: 6, column: 1 }, "{twice:?}");
        assert_eq!(twice.message, "duplicate mapping key: c");
        assert!(found.next().is_none());
    }

    #[test]
    fn markers_inside_values_are_no_markers() {
        let found: Vec<_> = documents("a: |\n  ---\n  x\nb: a---b\n")
            .map(Result::unwrap)
            .collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].value["a"], "---\nx\n");
    }
}
