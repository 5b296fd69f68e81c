//! One document as a flat list of nodes that point into its text.
//!
//! A list of a hundred thousand Jobs must not take more than a few times its size. So a node has 20 bytes, a text that
//! is in the file unchanged is not copied, and aliases are followed only when they are read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, Tag, options};

use super::places::narrow;
use super::{scalar, words};

/// Most levels of maps and lists, with aliases followed.
const MAX_DEPTH: u32 = 200;

/// A value of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(u32);

impl Node {
    /// The whole document.
    pub(super) const ROOT: Self = Self(0);
}

#[derive(Debug)]
struct Entry {
    start: u32,
    length: u32,
    /// The node after this one and its children.
    next: u32,
    /// Index of the owned text, the given value or the alias.
    data: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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
const IN_PLACE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Tree<'a> {
    text: &'a str,
    nodes: Vec<Entry>,
    owned: Vec<Box<str>>,
    given: Vec<Value>,
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
    fn target(&self, node: u32) -> u32 {
        let entry = &self.nodes[node as usize];
        match entry.kind {
            Kind::Alias => entry.data,
            _ => node,
        }
    }

    fn kind(&self, node: u32) -> Kind {
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

    fn children(&self, node: u32) -> impl Iterator<Item = u32> + '_ {
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
    fn key(&self, node: u32) -> Cow<'_, str> {
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

    fn is_merge(&self, key: u32) -> bool {
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

    pub(super) fn key_of(&self, node: Node) -> Cow<'_, str> {
        self.key(node.0)
    }
}

/// The weight of a node, which each of its aliases repeats.
#[derive(Clone, Copy, Default)]
struct Weight {
    nodes: u64,
    depth: u32,
}

/// A map or list whose end has not been read yet.
struct Open {
    node: u32,
    anchor: usize,
    weight: Weight,
}

struct Builder<'a> {
    tree: Tree<'a>,
    /// Offset of the part that the parser gets.
    offset: usize,
    open: Vec<Open>,
    /// The nodes with an anchor; the weight is `None` while they are open.
    anchors: HashMap<usize, (u32, Option<Weight>)>,
    total: u64,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, offset: usize) -> Self {
        Self {
            tree: Tree {
                text,
                nodes: Vec::new(),
                owned: Vec::new(),
                given: Vec::new(),
                duplicates: Vec::new(),
            },
            offset,
            open: Vec::new(),
            anchors: HashMap::new(),
            total: 0,
        }
    }

    fn event(&mut self, event: Event<'a>, span: Span) -> Result<(), Fault> {
        let at = self.offset + span.start.byte_offset().unwrap_or_default();
        let fault = |message| Fault { at, message };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self
                    .scalar(text, style, tag.as_deref(), &span)
                    .map_err(fault)?;
                self.done(node, anchor, Weight { nodes: 1, depth: 0 })
                    .map_err(fault)
            }
            Event::Alias(id) => {
                let (target, weight) = self
                    .anchors
                    .get(&id)
                    .copied()
                    .ok_or_else(|| fault(words::OWN_ALIAS))?;
                let weight = weight.ok_or_else(|| fault(words::OWN_ALIAS))?;
                let node = self.push(&span, Kind::Alias, target);
                self.done(node, 0, weight).map_err(fault)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.begin(&span, Kind::Seq, anchor).map_err(fault)
            }
            Event::MappingStart(_, anchor, _) => {
                self.begin(&span, Kind::Map, anchor).map_err(fault)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, span: &Span, kind: Kind, anchor: usize) -> Result<(), &'static str> {
        let node = self.push(span, kind, 0);
        if self.open.len() >= MAX_DEPTH as usize {
            return Err(words::TOO_DEEP);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node, None));
        }
        self.open.push(Open {
            node,
            anchor,
            weight: Weight { nodes: 1, depth: 1 },
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let end = narrow(self.tree.nodes.len());
        self.tree.nodes[open.node as usize].next = end;
        let fault = |node, message| Fault {
            at: self.tree.bytes(Node(node)).start,
            message,
        };
        if self.tree.kind(open.node) == Kind::Map {
            let found = twice(&self.tree, open.node).map_err(|(node, m)| fault(node, m))?;
            self.tree.duplicates.extend(found);
        }
        let at = self.tree.bytes(Node(open.node)).start;
        self.done(open.node, open.anchor, open.weight)
            .map_err(|message| Fault { at, message })
    }

    fn scalar(
        &mut self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<u32, &'static str> {
        if let Some(tag) = tag {
            let data = narrow(self.tree.given.len());
            self.tree.given.push(scalar::tagged(tag, text)?);
            return Ok(self.push(span, Kind::Given, data));
        }
        let kind = match style {
            ScalarStyle::Plain => Kind::Plain,
            _ => Kind::Text,
        };
        let node = self.push(span, kind, IN_PLACE);
        let bytes = self.tree.bytes(Node(node));
        let written = self.tree.text.get(bytes).unwrap_or_default();
        let quote = ['"', '\''];
        let inner = || written.strip_prefix(quote)?.strip_suffix(quote);
        let entry = &mut self.tree.nodes[node as usize];
        if kind == Kind::Text && inner() == Some(&text) {
            entry.kind = Kind::Quoted;
        } else if kind == Kind::Text || written != text {
            entry.data = narrow(self.tree.owned.len());
            self.tree.owned.push(text.into());
        }
        Ok(node)
    }

    fn push(&mut self, span: &Span, kind: Kind, data: u32) -> u32 {
        let node = narrow(self.tree.nodes.len());
        let place = |mark: usize| self.offset + mark;
        let start = place(span.start.byte_offset().unwrap_or_default());
        let end = place(span.end.byte_offset().unwrap_or_default()).max(start);
        self.tree.nodes.push(Entry {
            start: narrow(start),
            length: narrow(end - start),
            next: node + 1,
            data,
            kind,
        });
        node
    }

    /// Adds the weight of a finished node to its parent.
    fn done(&mut self, node: u32, anchor: usize, weight: Weight) -> Result<(), &'static str> {
        if anchor != 0 {
            self.anchors.insert(anchor, (node, Some(weight)));
        }
        match self.open.last_mut() {
            Some(parent) => {
                let sum = &mut parent.weight;
                sum.nodes = sum.nodes.saturating_add(weight.nodes);
                sum.depth = sum.depth.max(weight.depth.saturating_add(1));
                if sum.depth > MAX_DEPTH {
                    return Err(words::TOO_DEEP);
                }
            }
            None => self.total = weight.nodes,
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Tree<'a>, Fault> {
        let at = self.offset;
        if repeats_too_much(self.total, self.tree.nodes.len() as u64) {
            let message = words::BOMB;
            return Err(Fault { at, message });
        }
        if self.tree.nodes.is_empty() {
            self.push(&Span::default(), Kind::Plain, IN_PLACE);
        }
        Ok(self.tree)
    }
}

/// Whether aliases expand a document beyond kubectl's limit (`allowedAliasRatio` in `go.yaml.in/yaml/v2`).
#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn repeats_too_much(total: u64, written: u64) -> bool {
    const LOW: f64 = 400_000.0;
    const HIGH: f64 = 4_000_000.0;
    let repeated = total.saturating_sub(written);
    let share = ((total as f64 - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
    let allowed = 0.99 - 0.89 * share;
    repeated > 100 && total > 1000 && repeated as f64 / total as f64 > allowed
}

/// The duplicate keys of a map, or a node that cannot be a key or be merged, and why.
fn twice(tree: &Tree<'_>, map: u32) -> Result<Vec<(Node, Node)>, (u32, &'static str)> {
    /// Up to this many keys, comparing all pairs is faster than hashing.
    const FEW: usize = 8;
    let mut keys = Vec::new();
    let mut children = tree.children(map);
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        if tree.is_merge(key) {
            let merged = Node(tree.target(value));
            let is_map = |node: u32| tree.kind(tree.target(node)) == Kind::Map;
            let are_maps = || tree.is_list(merged) && tree.items(merged).all(|n| is_map(n.0));
            if !is_map(value) && !are_maps() {
                return Err((value, words::NOT_MERGEABLE));
            }
        } else if matches!(tree.kind(tree.target(key)), Kind::Map | Kind::Seq) {
            return Err((key, words::COMPLEX_KEY));
        } else {
            keys.push((tree.key(key), key));
        }
    }
    let mut found = Vec::new();
    if keys.len() <= FEW {
        for (index, (text, later)) in keys.iter().enumerate() {
            if let Some((_, earlier)) = keys[..index].iter().rev().find(|(other, _)| other == text)
            {
                found.push((Node(*earlier), Node(*later)));
            }
        }
    } else {
        let mut seen = HashMap::with_capacity(keys.len());
        for (text, later) in keys {
            if let Some(earlier) = seen.insert(text, later) {
                found.push((Node(earlier), Node(later)));
            }
        }
    }
    Ok(found)
}
