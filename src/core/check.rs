//! Checks manifests as the webhook would check the Jobs created from them.
//!
//! Text in, findings with line and column out. [`crate::cli`] reads the files, and [`crate::cli::render`] prints.

mod annotation_types;
mod place;
mod refused;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Number, Value};

use crate::core::check::annotation_types::Annotated;
use crate::core::check::place::Place;
use crate::core::exception::{self, Exception};
use crate::core::job::credentials::{self, Hit, Secrets};
use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::manifest::{self, BrokenDocument, Document, Node, Position, pointer};
use crate::core::policy::finding::Finding;
use crate::core::policy::path::FieldPath;
use crate::core::policy::select::Selection;
use crate::core::policy::{Action, Policy, verdict};

/// A finding and its place in a file.
#[derive(Debug)]
pub struct Located {
    /// The file.
    pub file: String,
    /// Position of the value, or of its nearest existing parent.
    pub position: Position,
    /// The line shown with the finding, with credentials masked, and the range in it that is meant.
    pub source: (String, Range<usize>),
    /// Namespace of the manifest, or the one given for manifests without a namespace; may be empty.
    pub namespace: String,
    /// Name of the Job or CronJob.
    pub job: String,
    /// The finding itself.
    pub finding: Finding,
}

/// Something that could not be checked, or that the author should know besides the findings.
#[derive(Debug)]
pub struct Problem {
    /// The file or folder.
    pub file: String,
    /// Its position; `None` for the file as a whole.
    pub position: Option<Position>,
    /// The problem, and what to do.
    pub message: String,
}

/// An exception that is not honoured.
#[derive(Debug)]
pub struct Ignored {
    /// The file.
    pub file: String,
    /// Position of its name.
    pub position: Position,
    /// Its name.
    pub name: String,
    /// Why it is not honoured.
    pub message: String,
}

/// The totals of all files. Findings go to a sink one by one, because there may be more than fit in memory.
#[derive(Debug, Default)]
pub struct Report {
    /// The exceptions that are honoured.
    pub exceptions: Vec<Arc<Exception>>,
    /// The exceptions that are not honoured.
    pub ignored: Vec<Ignored>,
    /// Documents that are not empty.
    pub documents: usize,
    /// Migration Jobs, labelled or detected, and CronJob templates.
    pub jobs: usize,
    /// Parts that could not be checked, or that Kubernetes refuses.
    pub problems: Vec<Problem>,
    /// Problems that do not change the verdict.
    pub warnings: Vec<Problem>,
    /// Findings by action.
    counts: BTreeMap<Action, usize>,
}

/// Receives each finding.
pub type Sink<'s> = &'s mut dyn FnMut(Located);

impl Report {
    /// The number of findings with this action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.counts.get(&action).copied().unwrap_or_default()
    }

    /// Checks every Job in `text`, the content of `file`, in the order of documents and rules. `namespace` is used for
    /// manifests without one.
    pub fn check(
        &mut self,
        file: &str,
        text: &str,
        policy: &Policy,
        namespace: &str,
        found: Sink<'_>,
    ) {
        for document in manifest::documents(text) {
            let document = match document {
                Ok(document) => document,
                Err(broken) => {
                    self.broken(file, &broken);
                    continue;
                }
            };
            self.documents += 1;
            let mut here = Here {
                report: self,
                found: &mut *found,
                file,
                text,
                document: &document,
                policy,
                namespace,
            };
            here.warn();
            let root = document.root();
            here.object(root, Group::default());
        }
    }

    fn broken(&mut self, file: &str, broken: &BrokenDocument) {
        self.documents += usize::from(!broken.is_between);
        let hint = if broken.is_template { UNRENDERED } else { "" };
        self.problems.push(Problem {
            file: file.to_owned(),
            position: Some(broken.position),
            message: format!("{}{hint}", broken.message),
        });
    }
}

/// Advice for a template that Helm has not rendered.
const UNRENDERED: &str = "; this looks like a chart's template: render it first, as in \
                          helm template RELEASE CHART | migration-warden check -";

/// The document that is being checked.
struct Here<'a> {
    report: &'a mut Report,
    found: Sink<'a>,
    file: &'a str,
    text: &'a str,
    document: &'a Document<'a>,
    policy: &'a Policy,
    namespace: &'a str,
}

/// The version and kind of list items that do not have their own.
#[derive(Clone, Default)]
struct Group {
    version: String,
    kind: String,
}

impl Here<'_> {
    /// Warns about duplicate keys, and about a document that is a bare list.
    fn warn(&mut self) {
        for duplicate in self.document.duplicates() {
            let (earlier, later) = (duplicate.earlier.line, duplicate.later.line);
            let lines = if earlier == later {
                format!("twice in line {later}")
            } else {
                format!("in lines {earlier} and {later}")
            };
            // Names of annotations may have 253 characters, after a prefix of the same length.
            let key: String = duplicate.key.chars().take(507).collect();
            let message = format!(
                "one map has the key {key:?} {lines}; kubectl and Helm take the last value, Flux refuses the file"
            );
            self.warning(Some(duplicate.later), message);
        }
        let root = self.document.root();
        if self.document.is_list(root) {
            let position = self.document.locate(root, "").0;
            let message = "the document is a bare list, which kubectl refuses, and is not checked; \
                           write its entries as items of an object of kind: List";
            self.warning(Some(position), message.to_owned());
        }
    }

    fn warning(&mut self, position: Option<Position>, message: String) {
        self.report.warnings.push(Problem {
            file: self.file.to_owned(),
            position,
            message,
        });
    }

    /// Checks the object at `node`, or the objects in it.
    fn object(&mut self, node: Node, list: Group) {
        let document = self.document;
        let version = document.text(node, "apiVersion").unwrap_or(list.version);
        let kind = document.text(node, "kind").unwrap_or(list.kind);
        if let Some(item_kind) = kind.strip_suffix("List") {
            // The items of a typed list need not have a version and kind.
            let group = Group {
                version,
                kind: item_kind.to_owned(),
            };
            if let Some(items) = document.get(node, "items") {
                for item in document.items(items) {
                    self.object(item, group.clone());
                }
            }
            return;
        }
        for (field, text) in [("kind", &kind), ("apiVersion", &version)] {
            if text.contains("{{") {
                return self.unrendered(node, &format!("/{field}"));
            }
        }
        let (Some("batch"), Some(kind)) = (version.split('/').next(), Kind::parse(&kind)) else {
            return;
        };
        self.job(node, kind);
    }

    /// Checks a Job or a CronJob.
    fn job(&mut self, node: Node, kind: Kind) {
        let value = self.document.value(node);
        let is_template = |at: &&&str| {
            let text = value.pointer(at).and_then(Value::as_str);
            text.is_some_and(|text| text.contains("{{"))
        };
        let names = ["/metadata/name", "/metadata/generateName"];
        if let Some(at) = names.iter().find(is_template) {
            return self.unrendered(node, at);
        }
        let object = serde_path_to_error::deserialize::<_, Object<'_>>(&value);
        let annotated = serde_path_to_error::deserialize::<_, Annotated>(&value);
        match annotated.and(object) {
            Ok(object) => self.judge(&object, kind, &value, node),
            Err(error) => {
                let (at, name) = pointer::of(error.path());
                let number = value.pointer(at.as_str()).and_then(Value::as_number);
                let what = expectation(error.inner(), number);
                self.problem(node, at.as_str(), format!("{name}{what}"));
            }
        }
    }

    fn judge(&mut self, object: &Object<'_>, kind: Kind, value: &Value, node: Node) {
        let own = &*object.metadata.namespace;
        let namespace = if own.is_empty() { self.namespace } else { own };
        let job = Job::new(object, kind, namespace);
        // Its CronJob is checked instead, as in the webhook and in `scan`.
        if job.is_made_by_cronjob() {
            return;
        }
        for (at, message) in refused::by_kubernetes(value, kind) {
            self.problem(node, &at, message);
        }
        let selection = self.policy.selectors.select(&job, self.policy.detection);
        if !matches!(selection, Selection::Labelled | Selection::Detected(_)) {
            return;
        }
        self.report.jobs += 1;
        let cap = self.policy.mode(job.namespace).cap();
        let mut findings = self.policy.evaluate(&job, selection, cap);
        exception::apply(&mut findings, &self.report.exceptions, &job);
        verdict::settle(&mut findings, job.is_patchable());
        let hits = credentials::find(&job);
        let places = place::of(&hits, kind, (self.text, self.document, node));
        let hidden = Hidden {
            secrets: Secrets::of(&hits),
            places: &places,
        };
        for mut finding in findings {
            let path = finding.path.pointer();
            let (mut position, mut bytes) = self.document.locate(node, path.as_str());
            let is_it = |hit: &Hit<'_>| {
                finding.within.as_ref() == Some(&hit.range)
                    && FieldPath::credential(hit).within(kind) == finding.path
            };
            if let Some(index) = hits.iter().position(is_it) {
                (position, bytes) = (places[index].position, places[index].bytes.clone());
            }
            finding
                .texts_mut()
                .for_each(|text| hidden.secrets.hide_in(text));
            *self.report.counts.entry(finding.action).or_default() += 1;
            let source = self.line(bytes, &hidden);
            (self.found)(Located {
                file: self.file.to_owned(),
                position,
                source,
                namespace: job.namespace.to_owned(),
                job: job.name.shown().to_owned(),
                finding,
            });
        }
    }

    /// The shown part of the line in which `bytes` begin, and their range in it.
    fn line(&self, bytes: Range<usize>, hidden: &Hidden<'_>) -> (String, Range<usize>) {
        let (start, end) = window(self.text, bytes.start);
        // An anchor may be in another line than the place where its value is used.
        let mut line = hidden
            .secrets
            .blot(&credentials::blot(&self.text[start..end]));
        for place in hidden.places {
            let span = overlap(&place.bytes, start, end);
            let covered: String = line.get(span.clone()).map_or_else(String::new, |part| {
                part.bytes()
                    .map(|b| if b.is_ascii_whitespace() { ' ' } else { '*' })
                    .collect()
            });
            if covered.len() == span.len() {
                line.replace_range(span, &covered);
            }
        }
        let part = bytes.start - start..bytes.end.clamp(bytes.start, end.max(bytes.start)) - start;
        (line, part)
    }

    fn unrendered(&mut self, node: Node, pointer: &str) {
        let name = pointer.trim_start_matches('/').replace('/', ".");
        self.problem(node, pointer, format!("{name} holds {{{{ }}}}{UNRENDERED}"));
    }

    fn problem(&mut self, node: Node, pointer: &str, message: String) {
        let position = Some(self.document.locate(node, pointer).0);
        self.report.problems.push(Problem {
            file: self.file.to_owned(),
            position,
            message,
        });
    }
}

/// The credentials of one Job, as texts and as places.
struct Hidden<'p> {
    secrets: Secrets,
    places: &'p [Place],
}

/// The range of the line around `at`, cut if it is very long: a list of a thousand Jobs may be one line. It is cut
/// between words, so that no part of a credential is left at the edge.
fn window(text: &str, at: usize) -> (usize, usize) {
    const MOST: usize = 500;
    let on_boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let is_gap = |c: char| c == '"' || c.is_whitespace();
    let (from, to) = (
        on_boundary(at.saturating_sub(MOST)),
        on_boundary((at + MOST).min(text.len())),
    );
    let (before, after) = (&text[from..at], &text[at..to]);
    let start = match before.rfind('\n') {
        Some(found) => from + found + 1,
        None if from == 0 => 0,
        None => before
            .find(is_gap)
            .map_or(at, |found| on_boundary(from + found + 1)),
    };
    let end = match after.find('\n') {
        Some(found) => at + found,
        None if to == text.len() => to,
        None => after.rfind(is_gap).map_or(at, |found| at + found),
    };
    (start, end)
}

/// The part of `range` within the line from `start` to `end`, relative to `start`.
fn overlap(range: &Range<usize>, start: usize, end: usize) -> Range<usize> {
    let from = range.start.clamp(start, end);
    let to = range.end.clamp(from, end);
    from - start..to - start
}

/// What the API server expects. The parser's own message would quote the value.
fn expectation(error: &serde_json::Error, found: Option<&Number>) -> String {
    let text = error.to_string();
    let wanted = text
        .rsplit_once("expected ")
        .map_or("something else", |(_, wanted)| wanted);
    match (wanted, found) {
        ("a string", _) => " must be a string; put the value in quotes".to_owned(),
        ("an integer", Some(number)) => format!(": Invalid value: {number}: must be an integer"),
        ("i64", _) => " must be an integer".to_owned(),
        _ if wanted.starts_with("struct ") => " must be a map".to_owned(),
        _ => format!(" must be {wanted}"),
    }
}

#[cfg(test)]
mod tests;
