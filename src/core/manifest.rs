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

    /// Position and byte range, in the stream, of the value at this JSON Pointer below `within`, or of its nearest
    /// existing parent.
    pub(crate) fn locate(&self, within: Node, pointer: &str) -> (Position, Range<usize>) {
        let pointer = Pointer::parse(pointer).unwrap_or(Pointer::root());
        let node = self.find(within, pointer);
        (self.position(node), self.bytes(node))
    }

    /// Position of the key at this JSON Pointer, or of its value if the key stands elsewhere.
    pub(crate) fn locate_key(&self, pointer: &str) -> Position {
        let whole = Pointer::parse(pointer).unwrap_or(Pointer::root());
        let key = whole.split_back().and_then(|(map, key)| {
            let map = self.find(self.root(), map);
            self.key_node(map, &key.decoded())
        });
        self.position(key.unwrap_or_else(|| self.find(self.root(), whole)))
    }

    fn find(&self, within: Node, pointer: &Pointer) -> Node {
        let mut here = within;
        for token in pointer.tokens() {
            let key = token.decoded();
            let next = if self.is_list(here) {
                key.parse()
                    .ok()
                    .and_then(|index| self.items(here).nth(index))
            } else {
                self.get(here, &key)
            };
            let Some(next) = next else { break };
            here = next;
        }
        here
    }
}

#[cfg(test)]
mod tests;
