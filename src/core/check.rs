//! Checks manifests as the webhook would check the Jobs created from them.
//!
//! Text in, findings with line and column out. [`crate::cli`] reads the files, and [`crate::cli::render`] prints.

mod near_label;
mod place;
mod refused;
mod source;
mod types;

use std::sync::Arc;

use serde_json::Value;

use crate::core::check::source::Masked;
use crate::core::exception::Exception;
use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::judge::Migration;
use crate::core::manifest::{self, BrokenDocument, Document, Node, Position};
use crate::core::namespace::NamespaceView;
use crate::core::policy::Policy;
use crate::core::policy::select::Selection;
use crate::core::report::{Located, Problem, Report, Sink};
use crate::core::text;

/// A check in progress.
#[derive(Debug)]
pub struct Check<'p> {
    policy: &'p Policy,
    /// The namespace of manifests without one.
    namespace: &'p str,
    exceptions: Vec<Arc<Exception>>,
    /// The report so far.
    pub report: Report,
}

impl<'p> Check<'p> {
    /// A check that has not read anything yet. `namespace` is that of manifests without one, and may be empty; all of
    /// `exceptions` are honoured.
    #[must_use]
    pub fn new(policy: &'p Policy, namespace: &'p str, exceptions: Vec<Arc<Exception>>) -> Self {
        Self {
            policy,
            namespace,
            exceptions,
            report: Report {
                documents: Some(0),
                entries: policy.adopt.entries().to_vec(),
                help: policy.help_line(),
                ..Report::default()
            },
        }
    }

    /// Checks every Job in `text`, the content of `file`, in the order of documents and rules.
    pub fn file(&mut self, file: &str, text: &str, found: &mut dyn Sink) {
        for document in manifest::documents(text) {
            let documents = self.report.documents.get_or_insert_default();
            let document = match document {
                Ok(document) => document,
                Err(broken) => {
                    *documents += usize::from(!broken.is_between);
                    self.broken(file, &broken);
                    continue;
                }
            };
            *documents += 1;
            let mut here = Here {
                check: self,
                found: &mut *found,
                file,
                text,
                document: &document,
            };
            here.warn();
            here.object(document.root(), "", "");
        }
    }

    fn broken(&mut self, file: &str, broken: &BrokenDocument) {
        let message = match (broken.is_template, broken.is_template_line) {
            // The parser's words would mislead: it takes `{{` for a map.
            (_, true) => UNRENDERED.to_owned(),
            (true, false) => format!("{}; {UNRENDERED}", broken.message),
            (false, false) => broken.message.clone(),
        };
        let problem = Problem::at(file, broken.position, message);
        self.report.problems.push(problem);
    }
}

/// Advice for a template that Helm has not rendered.
const UNRENDERED: &str = "this looks like a chart's template: render it first, as in \
                          helm template RELEASE CHART | migration-warden check -";

/// The document that is being checked.
struct Here<'a, 'p> {
    check: &'a mut Check<'p>,
    found: &'a mut dyn Sink,
    file: &'a str,
    text: &'a str,
    document: &'a Document<'a>,
}

impl Here<'_, '_> {
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
                "one map has the key {} {lines}; kubectl and Helm take the last value, Flux refuses the file",
                text::quoted(&key)
            );
            self.warning(duplicate.later, message);
        }
        let root = self.document.root();
        if self.document.is_list(root) {
            let position = self.document.locate(root, "").0;
            let message = "the document is a bare list, which kubectl refuses, and is not checked; \
                           write its entries as items of an object of kind: List";
            self.warning(position, message.to_owned());
        }
    }

    fn warning(&mut self, position: Position, message: String) {
        let warning = Problem::at(self.file, position, message);
        self.check.report.warnings.push(warning);
    }

    /// Checks the object at `node`, or the objects in it. The items of a typed list need not have a version and kind.
    fn object(&mut self, node: Node, list_version: &str, item_kind: &str) {
        let document = self.document;
        let text = |key, default: &str| document.text(node, key).unwrap_or(default.to_owned());
        let (version, kind) = (text("apiVersion", list_version), text("kind", item_kind));
        let is_manifest = !version.is_empty() && !kind.is_empty();
        self.check.report.manifests += usize::from(is_manifest);
        if let Some(item_kind) = kind.strip_suffix("List") {
            let items = document.get(node, "items");
            for item in items.into_iter().flat_map(|items| document.items(items)) {
                self.object(item, &version, item_kind);
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
        match types::read(&value, |at| {
            self.document.plain(node, at).map(|(written, _)| written)
        }) {
            Ok(object) => self.judge(&object, kind, &value, node),
            Err(wrong) if wrong.is_template => self.unrendered(node, &wrong.at),
            Err(wrong) => self.problem(node, &wrong.at, wrong.message),
        }
    }

    fn judge(&mut self, object: &Object<'_>, kind: Kind, value: &Value, node: Node) {
        let Check {
            policy, namespace, ..
        } = *self.check;
        let own = &*object.metadata.namespace;
        let namespace = if own.is_empty() { namespace } else { own };
        let job = Job::new(object, kind, namespace);
        // Its CronJob is checked instead, as in the webhook and in `scan`.
        if job.is_made_by_cronjob() {
            self.found.job(&job, Selection::None, None);
            return;
        }
        for (at, message) in refused::by_kubernetes(value, kind) {
            self.problem(node, &at, message);
        }
        let selection = policy.select(&job);
        self.label(&job, selection, value, node);
        self.found.job(&job, selection, None);
        if !self.check.report.selects(&job, selection) {
            return;
        }
        let known = NamespaceView {
            exceptions: self.check.exceptions.clone(),
            ..NamespaceView::default()
        };
        let migration = Migration::new(job, selection, policy, known);
        let (findings, job) = (migration.judge(), &migration.job);
        self.check.report.count(&findings);
        if findings.is_empty() {
            return;
        }
        let masked = Masked::new(job, (self.text, self.document, node));
        for finding in findings {
            self.found.finding(Located {
                source: Some(masked.source(self.file, &finding)),
                kind,
                adopted: migration.adopter().map(str::to_owned),
                namespace: job.namespace.to_owned(),
                job: job.name.shown().to_owned(),
                finding,
            });
        }
    }

    /// Warns about a label with a typo, and notes which label the Job lacks.
    fn label(&mut self, job: &Job<'_>, selection: Selection, value: &Value, node: Node) {
        let selectors = &self.check.policy.selectors;
        let is_detected = matches!(selection, Selection::Detected(_));
        if matches!(selection, Selection::Labelled | Selection::OptedOut) {
            self.check.report.migrations += usize::from(selection == Selection::Labelled);
            return;
        }
        let near = near_label::find(value, selectors);
        if near.is_none() && selection.is_migration() {
            self.check.report.migrations += 1;
            return;
        }
        let label = near.as_ref().map(|near| near.meant.clone());
        let first = || near_label::first(selectors).filter(|_| is_detected);
        if let Some(label) = label.or_else(first) {
            self.check.report.lacks(job, label);
        }
        if let Some(near) = near {
            let (position, _) = self.document.locate(node, near.at.as_str());
            self.warning(position, near.message);
        }
    }

    fn unrendered(&mut self, node: Node, pointer: &str) {
        let name = pointer.trim_start_matches('/').replace('/', ".");
        self.problem(
            node,
            pointer,
            format!("{name} holds {{{{ }}}}; {UNRENDERED}"),
        );
    }

    fn problem(&mut self, node: Node, pointer: &str, message: String) {
        let (position, _) = self.document.locate(node, pointer);
        let problem = Problem::at(self.file, position, message);
        self.check.report.problems.push(problem);
    }
}

#[cfg(test)]
mod tests;
