//! Builds the tree of a document from the parser's events. Refuses what kubectl refuses: documents that are nested too
//! deep or that their aliases expand too far, and keys that are maps or lists.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, ScalarStyle, Span, Tag};

use super::places::narrow;
use super::tree::{Entry, Fault, IN_PLACE, Kind, Node, Tree};
use super::{scalar, words};

/// Most levels of maps and lists, with aliases followed.
const MAX_DEPTH: u32 = 200;

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

pub(super) struct Builder<'a> {
    tree: Tree<'a>,
    /// Offset of the part that the parser gets.
    offset: usize,
    open: Vec<Open>,
    /// The nodes with an anchor; the weight is `None` while they are open.
    anchors: HashMap<usize, (u32, Option<Weight>)>,
    total: u64,
}

impl<'a> Builder<'a> {
    pub(super) fn new(text: &'a str, offset: usize) -> Self {
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

    pub(super) fn event(&mut self, event: Event<'a>, span: Span) -> Result<(), Fault> {
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

    pub(super) fn finish(mut self) -> Result<Tree<'a>, Fault> {
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
