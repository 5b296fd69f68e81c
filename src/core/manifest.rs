//! Splits streams of YAML or JSON into documents that know the position of each value.
//!
//! Used for manifests, exceptions and the policy file. Values are read as kubectl and Helm read them; `granit-parser`
//! parses the syntax. One broken document does not hide the others.

mod build;
mod encoding;
mod places;
pub(crate) mod pointer;
mod scalar;
mod stream;
mod tree;
pub(crate) mod typed;
mod words;

use std::ops::Range;

use json_patch::jsonptr::Pointer;
use serde::Serialize;
use serde_json::Value;

pub(crate) use self::encoding::decode;
pub(crate) use self::stream::{BrokenDocument, documents};
pub(crate) use self::tree::{Document, Node};

/// A position in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

/// A duplicate key of a map.
#[derive(Debug)]
pub(crate) struct Duplicate {
    pub key: String,
    /// Position of the earlier one.
    pub earlier: Position,
    /// Position of the later one, which counts.
    pub later: Position,
}

/// Whether a scalar without quotes is a text, and not a number or another word of YAML.
pub(crate) fn is_text(scalar: &str) -> bool {
    matches!(scalar::plain(scalar), Value::String(_))
}

impl Document<'_> {
    #[expect(clippy::unused_self, reason = "it is the root of this document")]
    pub(crate) fn root(&self) -> Node {
        Node::ROOT
    }

    /// The text of a key of a map, if it is a text.
    pub(crate) fn text(&self, node: Node, key: &str) -> Option<String> {
        match self.value(self.get(node, key)?) {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The duplicate keys, of which the last value counts.
    pub(crate) fn duplicates(&self) -> impl Iterator<Item = Duplicate> + '_ {
        self.twice.iter().map(|&(earlier, later)| Duplicate {
            key: self.key(later).into_owned(),
            earlier: self.position(earlier),
            later: self.position(later),
        })
    }

    fn position(&self, node: Node) -> Position {
        self.places.position(self.bytes(node).start)
    }

    /// Position and byte range, in the stream, of the value at this JSON Pointer below `within`. They are those of a key,
    /// if it has one, for a value that is missing and belongs below this key of its nearest existing parent, and for a
    /// map or a list that begins in a later line.
    pub(crate) fn locate(&self, within: Node, pointer: &str) -> (Position, Range<usize>) {
        let found = self.find(within, pointer);
        let is_below = !found.is_whole || self.is_block(found.node);
        let key = found.key.filter(|_| is_below);
        let node = key.unwrap_or(found.node);
        (self.position(node), self.bytes(node))
    }

    /// The scalar without quotes at this JSON Pointer below `within`: as its author wrote it, and its value.
    pub(crate) fn plain(&self, within: Node, pointer: &str) -> Option<(&str, Value)> {
        let found = self.find(within, pointer);
        let node = self.target(found.node);
        let is_plain = found.is_whole && self.kind(node) == tree::Kind::Plain;
        is_plain.then(|| (&self.places.text[self.bytes(node)], self.value(node)))
    }

    /// Position of the key at this JSON Pointer, or of its value if the key stands elsewhere.
    pub(crate) fn locate_key(&self, pointer: &str) -> Position {
        let found = self.find(self.root(), pointer);
        self.position(found.key.unwrap_or(found.node))
    }

    fn find(&self, within: Node, pointer: &str) -> Found {
        let mut found = Found {
            node: within,
            key: None,
            is_whole: true,
        };
        let pointer = Pointer::parse(pointer).unwrap_or(Pointer::root());
        for token in pointer.tokens() {
            let (here, token) = (found.node, token.decoded());
            let next = if self.is_list(here) {
                let index = token.parse().ok();
                index.and_then(|index| self.items(here).nth(index))
            } else {
                self.get(here, &token)
            };
            let Some(next) = next else {
                found.is_whole = false;
                break;
            };
            found.node = next;
            found.key = self.key_node(here, &token);
        }
        found
    }
}

/// The value at a JSON Pointer, or its nearest existing parent.
struct Found {
    node: Node,
    /// The key of `node`, if it stands in the map of `node`.
    key: Option<Node>,
    /// Whether `node` is the value and not a parent of it.
    is_whole: bool,
}

#[cfg(test)]
mod tests;
