//! One document as a flat list of nodes that point into its text.
//!
//! A list of a hundred thousand Jobs must not take more than a few times its size. So a node has 20 bytes, a text that
//! is in the file unchanged is not copied, and aliases are followed only when they are read.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{Parser, options};

use super::build::Builder;
use super::places::Places;
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
    /// Index of the given value, or the node that an alias stands for.
    pub(super) data: u32,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A scalar without quotes that is in the file unchanged, whose type depends on its text.
    Plain,
    /// A quoted text that is in the file unchanged.
    Quoted,
    /// Any other scalar: with a tag, with escapes or of several lines.
    Given,
    Alias,
    Seq,
    Map,
}

/// One document of a stream.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(super) places: Rc<Places<'a>>,
    pub(super) nodes: Vec<Entry>,
    pub(super) given: Vec<Value>,
    /// Duplicate keys of a map: the earlier one and the later one.
    pub(super) twice: Vec<(Node, Node)>,
}

/// Why a document cannot be read, and the byte of the fault.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: &'static str,
}

impl<'a> Document<'a> {
    /// Reads the document in a part of a stream; without one, it is a single null.
    pub(super) fn read(places: &Rc<Places<'a>>, part: Range<usize>) -> Result<Self, Fault> {
        let mut options = options! {};
        options.set_emit_comments(false);
        let mut builder = Builder::new(places, part.start);
        for next in Parser::new_from_str_with_options(&places.text[part.clone()], options) {
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

    /// The node that an alias stands for. An alias never stands for an alias.
    pub(super) fn target(&self, node: Node) -> Node {
        let entry = &self.nodes[node.0 as usize];
        match entry.kind {
            Kind::Alias => Node(entry.data),
            _ => node,
        }
    }

    pub(super) fn kind(&self, node: Node) -> Kind {
        self.nodes[node.0 as usize].kind
    }

    /// The text of a plain or quoted scalar.
    fn raw(&self, node: Node) -> &'a str {
        let Range { start, end } = self.bytes(node);
        let quote = usize::from(self.kind(node) == Kind::Quoted);
        &self.places.text[start + quote..end - quote]
    }

    fn given(&self, node: Node) -> &Value {
        &self.given[self.nodes[node.0 as usize].data as usize]
    }

    pub(super) fn children(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        let end = self.nodes[node.0 as usize].next;
        let mut next = node.0 + 1;
        std::iter::from_fn(move || {
            let child = next;
            (child < end).then(|| {
                next = self.nodes[child as usize].next;
                Node(child)
            })
        })
    }

    /// A key in the form it has in JSON.
    pub(super) fn key(&self, node: Node) -> Cow<'_, str> {
        let node = self.target(node);
        match self.kind(node) {
            Kind::Plain => match scalar::plain(self.raw(node)) {
                Value::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
                Value::Number(number) => Cow::Owned(number.to_string()),
                _ => Cow::Borrowed(self.raw(node)),
            },
            Kind::Given => match self.given(node) {
                Value::String(text) => Cow::Borrowed(text),
                other => Cow::Owned(other.to_string()),
            },
            _ => Cow::Borrowed(self.raw(node)),
        }
    }

    pub(super) fn is_merge(&self, key: Node) -> bool {
        self.kind(key) == Kind::Plain && self.raw(key) == "<<"
    }

    /// Calls `each` with key and value of each entry of a map. The last entry of a duplicate key counts, and entries
    /// merged by `<<` take its place, as in `go.yaml.in/yaml/v2`.
    fn entries<'t>(&'t self, map: Node, each: &mut dyn FnMut(Cow<'t, str>, Node)) {
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

    /// The value of a key of a map; the last one of a duplicate key.
    pub(crate) fn get(&self, node: Node, wanted: &str) -> Option<Node> {
        let map = self.target(node);
        let mut found = None;
        if self.kind(map) == Kind::Map {
            self.entries(map, &mut |key, value| {
                if key == wanted {
                    found = Some(value);
                }
            });
        }
        found
    }

    /// The first key of a map that is written like this.
    pub(super) fn key_node(&self, map: Node, wanted: &str) -> Option<Node> {
        let map = self.target(map);
        let keys = (self.kind(map) == Kind::Map).then(|| self.children(map).step_by(2));
        let mut keys = keys.into_iter().flatten();
        keys.find(|&key| self.key(key) == wanted)
    }

    /// The items of a list; none if it is not a list.
    pub(crate) fn items(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        let items = self.is_list(node).then(|| self.children(self.target(node)));
        items.into_iter().flatten()
    }

    pub(crate) fn is_list(&self, node: Node) -> bool {
        self.kind(self.target(node)) == Kind::Seq
    }

    /// Whether it is a map or a list without brackets.
    pub(super) fn is_block(&self, node: Node) -> bool {
        let source = &self.places.text[self.bytes(node).start..];
        matches!(self.kind(node), Kind::Map | Kind::Seq) && !source.starts_with(['{', '['])
    }

    /// A node and its children as JSON.
    pub(crate) fn value(&self, node: Node) -> Value {
        let node = self.target(node);
        match self.kind(node) {
            Kind::Plain => scalar::plain(self.raw(node)),
            Kind::Quoted => Value::String(self.raw(node).to_owned()),
            Kind::Given => self.given(node).clone(),
            Kind::Seq => Value::Array(self.children(node).map(|item| self.value(item)).collect()),
            Kind::Map => {
                let mut map = Map::new();
                self.entries(node, &mut |key, value| {
                    map.insert(key.into_owned(), self.value(value));
                });
                Value::Object(map)
            }
            Kind::Alias => Value::Null,
        }
    }
}
