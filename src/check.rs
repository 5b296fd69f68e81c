//! Judges manifests as the server would judge the Jobs made of them.
//!
//! Text in, findings with line and column out; reading files and printing is
//! [`crate::cli`]'s and [`crate::render`]'s.

use std::fmt::Write;
use std::ops::Range;

use serde_json::Value;
use serde_path_to_error::Segment;

use crate::job::object::Object;
use crate::job::{Job, Kind, credentials};
use crate::manifest::{self, Document, Position};
use crate::policy::finding::Finding;
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
    /// Namespace written in the manifest; may be empty.
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

/// What was found in all files.
#[derive(Debug, Default)]
pub struct Report {
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

    /// Judges every Job in `text`, the content of `file`.
    pub fn check(&mut self, file: &str, text: &str, policy: &Policy) {
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
                    };
                    here.object(&document.value, "");
                }
                Err(broken) => {
                    let hint = if text.contains("{{") { UNRENDERED } else { "" };
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
}

impl Here<'_> {
    /// Judges the object at `pointer`, or the objects in it.
    fn object(&mut self, value: &Value, pointer: &str) {
        let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (field("apiVersion"), field("kind"));
        if kind.ends_with("List") {
            let items = value.get("items").and_then(Value::as_array);
            for (index, item) in items.into_iter().flatten().enumerate() {
                self.object(item, &format!("{pointer}/items/{index}"));
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
        if version.split('/').next() != Some("batch") || !matches!(kind, "Job" | "CronJob") {
            return;
        }
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
        match serde_path_to_error::deserialize::<_, Object<'_>>(value) {
            Ok(object) => self.judge(&object, value, pointer),
            Err(error) => {
                let (at, name) = path_of(error.path());
                let what = expectation(error.inner());
                self.problem(&format!("{pointer}{at}"), format!("{name} {what}"));
            }
        }
    }

    fn judge(&mut self, object: &Object<'_>, value: &Value, pointer: &str) {
        let job = Job::new(object, "");
        let selection = self.policy.selectors.select(&job, self.policy.detection);
        if !matches!(selection, Selection::Labelled | Selection::Detected(_)) {
            return;
        }
        self.report.jobs += 1;
        let cap = self.policy.mode(job.namespace).cap();
        let mut findings = self.policy.evaluate(&job, selection, cap);
        verdict::settle(&mut findings, job.kind == Kind::Job && job.is_hook());
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

    /// Where the credentials of a Job stand, whatever the policy thinks of them.
    fn secrets(&self, job: &Job<'_>, value: &Value, pointer: &str) -> Vec<Range<usize>> {
        let inner = if job.kind == Kind::CronJob {
            "/spec/jobTemplate"
        } else {
            ""
        };
        let mut ranges = Vec::new();
        for (list, index, container) in job.containers() {
            for hit in credentials::find(container) {
                let end = if hit.field == "env" { "/value" } else { "" };
                let list = list.replace('.', "/");
                let at = format!("{inner}/{list}/{index}/{}/{}{end}", hit.field, hit.index);
                if value.pointer(&at).is_some() {
                    ranges.push(self.document.locate(&format!("{pointer}{at}")).1);
                }
            }
        }
        ranges
    }

    /// The line that `bytes` begin in, and which part of it they are.
    fn line(&self, bytes: Range<usize>, secrets: &[Range<usize>]) -> (String, Range<usize>) {
        let start = self.text[..bytes.start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[bytes.start..]
            .find('\n')
            .map_or(self.text.len(), |at| bytes.start + at);
        let mut line = credentials::blot(&self.text[start..end]).into_bytes();
        for secret in secrets {
            for byte in &mut line[overlap(secret, start, end)] {
                if !byte.is_ascii_whitespace() {
                    *byte = b'*';
                }
            }
        }
        let part = bytes.start - start..bytes.end.min(end).max(bytes.start) - start;
        (String::from_utf8_lossy(&line).into_owned(), part)
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

/// The part of `range` within the line from `start` to `end`, counted from its start.
fn overlap(range: &Range<usize>, start: usize, end: usize) -> Range<usize> {
    let from = range.start.clamp(start, end);
    let to = range.end.clamp(from, end);
    from - start..to - start
}

/// The path of a value the parser stumbled over: as JSON Pointer, and as people write it.
fn path_of(path: &serde_path_to_error::Path) -> (String, String) {
    let (mut pointer, mut name) = (String::new(), String::new());
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                let _ = write!(pointer, "/{index}");
                let _ = write!(name, "[{index}]");
            }
            Segment::Map { key } => {
                let _ = write!(pointer, "/{}", key.replace('~', "~0").replace('/', "~1"));
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
