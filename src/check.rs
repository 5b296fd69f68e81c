//! Judges manifests as the server would judge the Jobs made of them.
//!
//! Text in, findings with line and column out; reading files and printing is
//! [`crate::cli`]'s and [`crate::render`]'s.

mod strings;

use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use json_patch::jsonptr::PointerBuf;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::check::strings::Annotated;
use crate::exception::{self, Exception};
use crate::job::object::Object;
use crate::job::{Job, Kind, credentials};
use crate::manifest::{self, Document, Position};
use crate::policy::finding::Finding;
use crate::policy::path::FieldPath;
use crate::policy::select::Selection;
use crate::policy::{Action, Policy, verdict};

/// A finding and where it stands.
#[derive(Debug)]
pub struct Located {
    /// The file.
    pub file: String,
    /// Where the value is, or its nearest parent that is there.
    pub position: Position,
    /// The line shown with the finding, credentials blotted out, and the part that is meant.
    pub source: (String, Range<usize>),
    /// Namespace of the manifest, or the one given for those that name none; may be empty.
    pub namespace: String,
    /// Name of the Job or CronJob.
    pub job: String,
    /// The finding.
    pub finding: Finding,
}

/// A document that could not be judged.
#[derive(Debug)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Where; `None` for the file as a whole.
    pub position: Option<Position>,
    /// What, and what to do.
    pub message: String,
}

/// An exception that is not honoured.
#[derive(Debug)]
pub struct Ignored {
    /// The file.
    pub file: String,
    /// Where its name stands.
    pub position: Position,
    /// Its name.
    pub name: String,
    /// Why.
    pub message: String,
}

/// What was found in all files.
#[derive(Debug, Default)]
pub struct Report {
    /// The exceptions that are honoured.
    pub exceptions: Vec<Arc<Exception>>,
    /// Those that are not.
    pub ignored: Vec<Ignored>,
    /// Documents that are not empty.
    pub documents: usize,
    /// Migration Jobs, labelled or detected, and CronJob templates.
    pub jobs: usize,
    /// Findings in the order of files, documents and rules.
    pub findings: Vec<Located>,
    /// What could not be judged.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Findings with this action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.findings
            .iter()
            .filter(|located| located.finding.action == action)
            .count()
    }

    /// Judges every Job in `text`, the content of `file`. `namespace` is that of manifests which name
    /// none.
    pub fn check(&mut self, file: &str, text: &str, policy: &Policy, namespace: &str) {
        for document in manifest::documents(text) {
            self.documents += 1;
            match document {
                Ok(document) => {
                    let mut here = Here {
                        report: self,
                        file,
                        text,
                        document: &document,
                        policy,
                        namespace,
                    };
                    here.object(
                        &document.value,
                        "",
                        Group {
                            version: "",
                            kind: "",
                        },
                    );
                }
                Err(broken) => {
                    let hint = if broken.is_template { UNRENDERED } else { "" };
                    self.problems.push(Problem {
                        file: file.to_owned(),
                        position: Some(broken.position),
                        message: format!("{}{hint}", broken.message),
                    });
                }
            }
        }
    }
}

/// What to do about a template that Helm has not rendered.
const UNRENDERED: &str = "; this looks like a chart's template: render it first, as in \
                          helm template RELEASE CHART | migration-warden check -";

/// One document at hand.
struct Here<'a> {
    report: &'a mut Report,
    file: &'a str,
    text: &'a str,
    document: &'a Document,
    policy: &'a Policy,
    namespace: &'a str,
}

/// What the items of a list are, where they do not say so themselves.
#[derive(Clone, Copy)]
struct Group<'a> {
    version: &'a str,
    kind: &'a str,
}

impl Here<'_> {
    /// Judges the object at `pointer`, or the objects in it.
    fn object(&mut self, value: &Value, pointer: &str, list: Group<'_>) {
        let field = |name: &str| value.get(name).and_then(Value::as_str);
        let version = field("apiVersion").unwrap_or(list.version);
        let kind = field("kind").unwrap_or(list.kind);
        if let Some(item_kind) = kind.strip_suffix("List") {
            let items = value.get("items").and_then(Value::as_array);
            for (index, item) in items.into_iter().flatten().enumerate() {
                // The items of a typed list need not say what they are.
                let group = Group {
                    version,
                    kind: item_kind,
                };
                self.object(item, &format!("{pointer}/items/{index}"), group);
            }
            return;
        }
        if [version, kind].iter().any(|text| text.contains("{{")) {
            let field = if kind.contains("{{") {
                "kind"
            } else {
                "apiVersion"
            };
            return self.unrendered(&format!("{pointer}/{field}"));
        }
        let (Some("batch"), Some(kind)) = (version.split('/').next(), Kind::parse(kind)) else {
            return;
        };
        let templates = ["/metadata/name", "/metadata/generateName"];
        let is_template = |at: &&&str| {
            value
                .pointer(at)
                .and_then(Value::as_str)
                .is_some_and(|text| text.contains("{{"))
        };
        if let Some(at) = templates.iter().find(is_template) {
            return self.unrendered(&format!("{pointer}{at}"));
        }
        let object = serde_path_to_error::deserialize::<_, Object<'_>>(value);
        let annotated = serde_path_to_error::deserialize::<_, Annotated>(value);
        match annotated.and(object) {
            Ok(object) => self.judge(&object, kind, value, pointer),
            Err(error) => {
                let (at, name) = path_of(error.path());
                let what = expectation(error.inner());
                self.problem(&format!("{pointer}{at}"), format!("{name} {what}"));
            }
        }
    }

    fn judge(&mut self, object: &Object<'_>, kind: Kind, value: &Value, pointer: &str) {
        let own = &*object.metadata.namespace;
        let namespace = if own.is_empty() { self.namespace } else { own };
        let job = Job::new(object, kind, namespace);
        let selection = self.policy.selectors.select(&job, self.policy.detection);
        if !matches!(selection, Selection::Labelled | Selection::Detected(_)) {
            return;
        }
        self.report.jobs += 1;
        let cap = self.policy.mode(job.namespace).cap();
        let mut findings = self.policy.evaluate(&job, selection, cap);
        exception::apply(&mut findings, &self.report.exceptions, &job);
        verdict::settle(&mut findings, job.is_patchable());
        let secrets = self.secrets(&job, value, pointer);
        for finding in findings {
            let (position, bytes) = self
                .document
                .locate(&format!("{pointer}{}", finding.path.pointer()));
            self.report.findings.push(Located {
                file: self.file.to_owned(),
                position,
                source: self.line(bytes, &secrets),
                namespace: job.namespace.to_owned(),
                job: job.name.shown().to_owned(),
                finding,
            });
        }
    }

    /// The credentials of a Job, whatever the policy thinks of them.
    fn secrets(&self, job: &Job<'_>, value: &Value, pointer: &str) -> Vec<Secret> {
        let mut secrets = Vec::new();
        for (list, index, container) in job.containers() {
            for hit in credentials::find(container) {
                let at = FieldPath::credential(list, index, &hit)
                    .within(job.kind)
                    .pointer();
                if let Some(text) = value.pointer(at.as_str()).and_then(Value::as_str) {
                    let bytes = self.document.locate(&format!("{pointer}{at}")).1;
                    let text = text.to_owned();
                    secrets.push(Secret { bytes, text });
                }
            }
        }
        secrets
    }

    /// What is shown of the line that `bytes` begin in, and which part of it they are.
    fn line(&self, bytes: Range<usize>, secrets: &[Secret]) -> (String, Range<usize>) {
        let (start, end) = window(self.text, bytes.start);
        let mut line = credentials::blot(&self.text[start..end]);
        for secret in secrets {
            // An anchor may stand in another line than where its value is used.
            line = line.replace(&secret.text, &"*".repeat(secret.text.len()));
            let span = overlap(&secret.bytes, start, end);
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

    fn unrendered(&mut self, pointer: &str) {
        let name = pointer.trim_start_matches('/').replace('/', ".");
        self.problem(pointer, format!("{name} holds {{{{ }}}}{UNRENDERED}"));
    }

    fn problem(&mut self, pointer: &str, message: String) {
        let position = Some(self.document.locate(pointer).0);
        self.report.problems.push(Problem {
            file: self.file.to_owned(),
            position,
            message,
        });
    }
}

/// A credential in a manifest.
struct Secret {
    bytes: Range<usize>,
    text: String,
}

/// Where the line around `at` begins and ends, cut where it is very long: a list of a thousand Jobs
/// may stand in one line. Cut between words, so that no half of a credential is left at the edge.
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

/// The part of `range` within the line from `start` to `end`, counted from its start.
fn overlap(range: &Range<usize>, start: usize, end: usize) -> Range<usize> {
    let from = range.start.clamp(start, end);
    let to = range.end.clamp(from, end);
    from - start..to - start
}

/// The path of a value the parser stumbled over: as JSON Pointer, and as people write it.
pub(crate) fn path_of(path: &serde_path_to_error::Path) -> (PointerBuf, String) {
    let (mut pointer, mut name) = (PointerBuf::new(), String::new());
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                pointer.push_back(*index);
                let _ = write!(name, "[{index}]");
            }
            Segment::Map { key } => {
                pointer.push_back(key);
                let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric());
                match (plain, name.is_empty()) {
                    (true, true) => name.push_str(key),
                    (true, false) => drop(write!(name, ".{key}")),
                    (false, _) => drop(write!(name, "['{key}']")),
                }
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    (pointer, name)
}

/// What the apiserver would have liked to see; the parser's own words quote the value.
fn expectation(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let wanted = text
        .rsplit_once("expected ")
        .map_or("something else", |(_, wanted)| wanted);
    match wanted {
        "a string" => "must be a string; put the value in quotes".to_owned(),
        "i64" => "must be a whole number".to_owned(),
        _ if wanted.starts_with("struct ") => "must be a map".to_owned(),
        _ => format!("must be {wanted}"),
    }
}
