//! One document as a flat list of nodes that point into its text.
//!
//! A list of a hundred thousand Jobs must not take more than a few times its size. So a node has 20 bytes, a text that
//! is in the file unchanged is not copied, and aliases are followed only when they are read.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{Parser, options};

use super::build::Builder;
use super::{scalar, words};

/// A value of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(pub(super) u32);

impl Node {
    /// The whole document.
    pub(super) const ROOT: Self = Self(0);
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) start: u32,
    pub(super) length: u32,
    /// The node after this one and its children.
    pub(super) next: u32,
    /// Index of the owned text, the given value or the alias.
    pub(super) data: u32,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A scalar without quotes, whose type depends on its text.
    Plain,
    /// A text.
    Text,
    /// A quoted text that is in the file unchanged.
    Quoted,
    /// A value that results from a tag.
    Given,
    Alias,
    Seq,
    Map,
}

/// The value of `data` if the text of a scalar is the one in the file.
pub(super) const IN_PLACE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub(super) text: &'a str,
    pub(super) nodes: Vec<Entry>,
    pub(super) owned: Vec<Box<str>>,
    pub(super) given: Vec<Value>,
    /// Duplicate keys of a map: the earlier one and the later one.
    pub(super) duplicates: Vec<(Node, Node)>,
}

/// Why a document cannot be read, and the byte of the fault.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: &'static str,
}

impl<'a> Tree<'a> {
    /// Reads the document in a part of a text; without one, the tree is a single null.
    pub(super) fn read(text: &'a str, part: Range<usize>) -> Result<Self, Fault> {
        let mut options = options! {};
        options.set_emit_comments(false);
        let mut builder = Builder::new(text, part.start);
        for next in Parser::new_from_str_with_options(&text[part.clone()], options) {
            let (event, span) = next.map_err(|error| Fault {
                at: part.start + error.marker().byte_offset().unwrap_or_default(),
                message: words::plain(error.kind()),
            })?;
            builder.event(event, span)?;
        }
        builder.finish()
    }

    /// The byte range of a node; for an alias, that of the alias itself.
    pub(super) fn bytes(&self, node: Node) -> Range<usize> {
        let entry = &self.nodes[node.0 as usize];
        let start = entry.start as usize;
        start..start + entry.length as usize
    }

    /// The node that an alias stands for.
    pub(super) fn target(&self, node: u32) -> u32 {
        let entry = &self.nodes[node as usize];
        match entry.kind {
            Kind::Alias => entry.data,
            _ => node,
        }
    }

    pub(super) fn kind(&self, node: u32) -> Kind {
        self.nodes[node as usize].kind
    }

    /// The text of a plain or quoted scalar.
    fn raw(&self, node: u32) -> &str {
        let entry = &self.nodes[node as usize];
        let (start, end) = (entry.start as usize, (entry.start + entry.length) as usize);
        match (entry.kind, entry.data) {
            (Kind::Quoted, _) => &self.text[start + 1..end - 1],
            (_, IN_PLACE) => &self.text[start..end],
            (_, owned) => &self.owned[owned as usize],
        }
    }

    pub(super) fn children(&self, node: u32) -> impl Iterator<Item = u32> + '_ {
        let end = self.nodes[node as usize].next;
        let mut next = node + 1;
        std::iter::from_fn(move || {
            let child = next;
            (child < end).then(|| {
                next = self.nodes[child as usize].next;
                child
            })
        })
    }

    /// A key in the form it has in JSON.
    pub(super) fn key(&self, node: u32) -> Cow<'_, str> {
        let node = self.target(node);
        match self.kind(node) {
            Kind::Plain => match scalar::plain(self.raw(node)) {
                Value::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
                Value::Number(number) => Cow::Owned(number.to_string()),
                _ => Cow::Borrowed(self.raw(node)),
            },
            Kind::Given => match &self.given[self.nodes[node as usize].data as usize] {
                Value::String(text) => Cow::Borrowed(text),
                other => Cow::Owned(other.to_string()),
            },
            _ => Cow::Borrowed(self.raw(node)),
        }
    }

    pub(super) fn is_merge(&self, key: u32) -> bool {
        self.kind(key) == Kind::Plain && self.raw(key) == "<<"
    }

    /// Calls `each` with key and value of each entry of a map. The last entry of a duplicate key counts, and entries
    /// merged by `<<` take its place, as in `go.yaml.in/yaml/v2`.
    fn entries<'t>(&'t self, map: u32, each: &mut dyn FnMut(Cow<'t, str>, u32)) {
        let mut children = self.children(map);
        while let (Some(key), Some(value)) = (children.next(), children.next()) {
            if !self.is_merge(key) {
                each(self.key(key), value);
                continue;
            }
            let merged = self.target(value);
            if self.kind(merged) == Kind::Map {
                self.entries(merged, each);
            } else {
                // The first map of a list takes precedence.
                let maps: Vec<_> = self.children(merged).collect();
                for &map in maps.iter().rev() {
                    self.entries(self.target(map), each);
                }
            }
        }
    }

    /// The value of a key of a map.
    pub(super) fn get(&self, node: Node, wanted: &str) -> Option<Node> {
        let map = self.target(node.0);
        let mut found = None;
        if self.kind(map) == Kind::Map {
            self.entries(map, &mut |key, value| {
                if key == wanted {
                    found = Some(Node(value));
                }
            });
        }
        found
    }

    /// The first key of a map that is written like this.
    pub(super) fn key_node(&self, map: Node, wanted: &str) -> Option<Node> {
        let map = self.target(map.0);
        let keys = (self.kind(map) == Kind::Map).then(|| self.children(map).step_by(2));
        let mut keys = keys.into_iter().flatten();
        keys.find(|&key| self.key(key) == wanted).map(Node)
    }

    /// The items of a list.
    pub(super) fn items(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        let list = self.target(node.0);
        let items = (self.kind(list) == Kind::Seq).then(|| self.children(list));
        items.into_iter().flatten().map(Node)
    }

    pub(super) fn is_list(&self, node: Node) -> bool {
        self.kind(self.target(node.0)) == Kind::Seq
    }

    /// A node and its children as JSON.
    pub(super) fn value(&self, node: Node) -> Value {
        let node = self.target(node.0);
        match self.kind(node) {
            Kind::Plain => scalar::plain(self.raw(node)),
            Kind::Text | Kind::Quoted => Value::String(self.raw(node).to_owned()),
            Kind::Given => self.given[self.nodes[node as usize].data as usize].clone(),
            Kind::Seq => Value::Array(self.children(node).map(|n| self.value(Node(n))).collect()),
            Kind::Map => {
                let mut map = Map::new();
                self.entries(node, &mut |key, value| {
                    map.insert(key.into_owned(), self.value(Node(value)));
                });
                Value::Object(map)
            }
            // An alias never stands for an alias.
            Kind::Alias => Value::Null,
        }
    }
}
