//! Builds the tree of a document from the parser's events. Refuses what kubectl refuses: documents that are nested too
//! deep or that their aliases expand too far, and keys that are maps or lists.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;
use serde_saphyr::granit_parser::{Event, ScalarStyle, Span, Tag};

use super::places::{Places, narrow};
use super::tree::{Document, Entry, Fault, Kind, Node};
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
    node: Node,
    anchor: usize,
    weight: Weight,
}

pub(super) struct Builder<'a> {
    document: Document<'a>,
    /// Offset of the part that the parser gets.
    offset: usize,
    open: Vec<Open>,
    /// The nodes with an anchor; the weight is `None` while they are open.
    anchors: HashMap<usize, (Node, Option<Weight>)>,
    total: u64,
}

impl<'a> Builder<'a> {
    pub(super) fn new(places: &Rc<Places<'a>>, offset: usize) -> Self {
        Self {
            document: Document {
                places: Rc::clone(places),
                nodes: Vec::new(),
                given: Vec::new(),
                twice: Vec::new(),
            },
            offset,
            open: Vec::new(),
            anchors: HashMap::new(),
            total: 0,
        }
    }

    pub(super) fn event(&mut self, event: Event<'a>, span: Span) -> Result<(), Fault> {
        let at = self.offset + span.start.byte_offset().unwrap_or_default();
        let read = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), &span);
                node.and_then(|node| self.done(node, anchor, Weight { nodes: 1, depth: 0 }))
            }
            Event::Alias(id) => match self.anchors.get(&id) {
                Some(&(target, Some(weight))) => {
                    let node = self.push(&span, Kind::Alias, target.0);
                    self.done(node, 0, weight)
                }
                _ => Err(words::OWN_ALIAS),
            },
            Event::SequenceStart(_, anchor, _) => self.begin(&span, Kind::Seq, anchor),
            Event::MappingStart(_, anchor, _) => self.begin(&span, Kind::Map, anchor),
            Event::SequenceEnd | Event::MappingEnd => return self.end(),
            _ => Ok(()),
        };
        read.map_err(|message| Fault { at, message })
    }

    fn begin(&mut self, span: &Span, kind: Kind, anchor: usize) -> Result<(), &'static str> {
        let node = self.push(span, kind, 0);
        if self.open.len() >= MAX_DEPTH as usize {
            return Err(words::TOO_DEEP);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node, None));
        }
        let weight = Weight { nodes: 1, depth: 1 };
        self.open.push(Open {
            node,
            anchor,
            weight,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(Open {
            node,
            anchor,
            weight,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        self.document.nodes[node.0 as usize].next = narrow(self.document.nodes.len());
        let read = match self.document.kind(node) {
            Kind::Map => twice(&self.document, node).map(|found| self.document.twice.extend(found)),
            _ => Ok(()),
        };
        let read = read.and_then(|()| {
            let done = self.done(node, anchor, weight);
            done.map_err(|message| (node, message))
        });
        read.map_err(|(node, message)| {
            let at = self.document.bytes(node).start;
            Fault { at, message }
        })
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<Node, &'static str> {
        let is_plain = style == ScalarStyle::Plain;
        let value = if let Some(tag) = tag {
            scalar::tagged(tag, text)?
        } else if let Some(node) = self.in_place(text, is_plain, span) {
            return Ok(node);
        } else if is_plain {
            scalar::plain(text)
        } else {
            Value::String(text.to_owned())
        };
        let data = narrow(self.document.given.len());
        self.document.given.push(value);
        Ok(self.push(span, Kind::Given, data))
    }

    /// The node of a scalar that is in the file unchanged.
    fn in_place(&mut self, text: &str, is_plain: bool, span: &Span) -> Option<Node> {
        let kind = if is_plain { Kind::Plain } else { Kind::Quoted };
        let node = self.push(span, kind, 0);
        let written = self.document.places.text.get(self.document.bytes(node));
        let quote = ['"', '\''];
        let unquoted = |written: &'a str| written.strip_prefix(quote)?.strip_suffix(quote);
        let inner = if is_plain {
            written
        } else {
            written.and_then(unquoted)
        };
        if inner == Some(text) {
            return Some(node);
        }
        self.document.nodes.pop();
        None
    }

    fn push(&mut self, span: &Span, kind: Kind, data: u32) -> Node {
        let node = narrow(self.document.nodes.len());
        let start = span.start.byte_offset().unwrap_or_default();
        let end = span.end.byte_offset().unwrap_or_default().max(start);
        self.document.nodes.push(Entry {
            start: narrow(self.offset + start),
            length: narrow(end - start),
            next: node + 1,
            data,
            kind,
        });
        Node(node)
    }

    /// Adds the weight of a finished node to its parent.
    fn done(&mut self, node: Node, anchor: usize, weight: Weight) -> Result<(), &'static str> {
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

    pub(super) fn finish(mut self) -> Result<Document<'a>, Fault> {
        if repeats_too_much(self.total, self.document.nodes.len() as u64) {
            let (at, message) = (self.offset, words::BOMB);
            return Err(Fault { at, message });
        }
        if self.document.nodes.is_empty() {
            self.push(&Span::default(), Kind::Plain, 0);
        }
        Ok(self.document)
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
fn twice(document: &Document<'_>, map: Node) -> Result<Vec<(Node, Node)>, (Node, &'static str)> {
    let mut keys = Vec::new();
    let mut children = document.children(map);
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        let kind = |node| document.kind(document.target(node));
        if document.is_merge(key) {
            let are_maps = || document.items(value).all(|item| kind(item) == Kind::Map);
            if kind(value) != Kind::Map && !(document.is_list(value) && are_maps()) {
                return Err((value, words::NOT_MERGEABLE));
            }
        } else if matches!(kind(key), Kind::Map | Kind::Seq) {
            return Err((key, words::COMPLEX_KEY));
        } else {
            keys.push((document.key(key), key));
        }
    }
    // Stable, so the keys of one text stay in the order of the file.
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    let pairs = keys.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    let mut found: Vec<_> = pairs.map(|pair| (pair[0].1, pair[1].1)).collect();
    found.sort_by_key(|(_, later)| later.0);
    Ok(found)
}
