//! The report of `check` and `scan`: findings with their places, counts, and what could not be checked.
//!
//! Findings go to a [`Sink`] one by one, because there may be more than fit in memory. [`crate::core::check`] and
//! [`crate::core::scan`] fill the report, and [`crate::cli::render`] prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;

use serde::Serialize;

use crate::core::job::{Job, Kind};
use crate::core::manifest::Position;
use crate::core::policy::Action;
use crate::core::policy::adopt::Entry;
use crate::core::policy::finding::Finding;
use crate::core::policy::rule::Rule;
use crate::core::policy::select::Selection;

/// Most Jobs of a kind whose names are kept.
const MAX_NAMES: usize = 1000;

/// Receives what is found, piece by piece.
pub trait Sink {
    /// Receives each Job and CronJob before its findings, with why it is evaluated or why not. `mode` is the label of its
    /// namespace.
    fn job(&mut self, _job: &Job<'_>, _selection: Selection, _mode: Option<&str>) {}

    /// Receives each finding.
    fn finding(&mut self, located: Located);

    /// Is called after each page of a LIST.
    fn page(&mut self, _so_far: &Report) -> io::Result<()> {
        Ok(())
    }
}

impl<F: FnMut(Located)> Sink for F {
    fn finding(&mut self, located: Located) {
        self(located);
    }
}

/// A finding, and the Job or CronJob in which it is.
#[derive(Debug)]
pub struct Located {
    /// The place in a file; `None` for an object of a cluster.
    pub source: Option<Source>,
    pub(crate) kind: Kind,
    /// The name under which the Job is adopted, if it is.
    pub(crate) adopted: Option<String>,
    /// For a manifest without a namespace, the one that was given; may be empty.
    pub namespace: String,
    /// Name of the Job or CronJob; its `generateName` if it has no name.
    pub job: String,
    /// What is wrong, and what the policy does with it.
    pub finding: Finding,
}

/// A value in a file.
#[derive(Debug)]
pub struct Source {
    pub(crate) file: String,
    /// Position of the value, or of the key below which it is missing.
    pub position: Position,
    /// The shown part of its line, with credentials masked.
    pub line: String,
    /// The range of the value in `line`.
    pub part: Range<usize>,
}

/// Something that could not be checked, or that the author should know besides the findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file or folder, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// `None` for the file as a whole.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// The problem, and what to do.
    pub message: String,
}

impl Problem {
    pub(crate) fn at(file: &str, position: Position, message: String) -> Self {
        Self {
            file: Some(file.to_owned()),
            position: Some(position),
            message,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        let blank = if self.file.is_some() { " " } else { "" };
        write!(f, "{blank}{}", self.message)
    }
}

/// An exception that is not honoured.
#[derive(Debug, Serialize)]
pub struct Ignored {
    pub(crate) name: String,
    /// Where it stands, and why it is not honoured.
    #[serde(flatten)]
    pub(crate) problem: Problem,
}

/// The counts, and everything but the findings. It is serialized as the end of the JSON report.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The documents that `check` read, without empty ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<usize>,
    /// The objects that `scan` read.
    #[serde(flatten)]
    pub objects: Option<Objects>,
    /// Migration Jobs, adopted Jobs and the CronJobs that create them.
    pub jobs: usize,
    /// Those with a finding that no exception covers.
    #[serde(skip)]
    pub(crate) jobs_with_problems: usize,
    #[serde(skip_serializing_if = "OptedOut::is_empty")]
    pub(crate) opted_out: OptedOut,
    /// Jobs and CronJobs that are not migrations.
    #[serde(skip)]
    pub(crate) others: usize,
    /// The documents and their items that have a version and a kind.
    #[serde(skip)]
    pub(crate) manifests: usize,
    /// Migration Jobs: labelled, or adopted without a typo in a label.
    #[serde(skip)]
    pub(crate) migrations: usize,
    /// The first Jobs that may be migrations and have no label, each with the label to write.
    #[serde(skip)]
    pub(crate) unlabelled: Vec<(String, String)>,
    /// Files of a folder that were not read, because their names are not those of manifests.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped_files: usize,
    /// Parts that could not be checked, or that Kubernetes refuses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Problems that do not change the verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Problem>,
    #[serde(rename = "ignored_exceptions", skip_serializing_if = "Vec::is_empty")]
    pub(crate) ignored: Vec<Ignored>,
    /// The entries of the policy's `adopt`.
    #[serde(skip)]
    pub(crate) entries: Vec<Entry>,
    /// The last line if something is denied.
    #[serde(skip)]
    pub help: Option<String>,
    #[serde(rename = "summary")]
    /// All findings by action.
    pub counts: Counts,
    /// The counts of each broken rule, by id.
    #[serde(skip)]
    pub(crate) rules: BTreeMap<&'static str, (&'static Rule, Counts)>,
}

/// The objects of a cluster.
#[derive(Debug, Default, Serialize)]
pub struct Objects {
    /// All of them.
    #[serde(rename = "objects")]
    pub all: usize,
    /// The CronJobs among them.
    #[serde(skip)]
    pub cronjobs: usize,
    /// Jobs created by a CronJob, which are checked with their CronJob.
    pub made_by_cronjobs: usize,
    /// All namespaces, if they could be listed.
    #[serde(skip)]
    pub(crate) namespaces: BTreeSet<String>,
    /// Namespaces whose label is not a mode.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) unknown_modes: BTreeSet<UnknownMode>,
}

/// A namespace with the value of its label `migration-warden.io/mode`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct UnknownMode {
    pub namespace: String,
    pub mode: String,
}

/// The Jobs with the label `migration-warden.io/migration: "false"`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct OptedOut {
    pub count: usize,
    /// `namespace/name` of the first ones.
    pub jobs: Vec<String>,
}

impl OptedOut {
    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Findings by action.
#[derive(Debug, Default, Serialize)]
pub struct Counts {
    pub(crate) deny: usize,
    pub(crate) patch: usize,
    pub(crate) warn: usize,
    /// With those that an exception covers.
    pub audit: usize,
    /// Those that an exception covers.
    #[serde(skip_serializing_if = "is_zero")]
    pub exempted: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Counts {
    fn add(&mut self, finding: &Finding) {
        match finding.action {
            Action::Deny | Action::Wait => self.deny += 1,
            Action::Patch => self.patch += 1,
            Action::Warn => self.warn += 1,
            Action::Audit | Action::Off => self.audit += 1,
        }
        self.exempted += usize::from(finding.exception.is_some());
    }

    /// The findings that no exception covers.
    #[must_use]
    pub(crate) fn problems(&self) -> usize {
        self.deny + self.patch + self.warn + self.audit - self.exempted
    }
}

impl Report {
    /// Whether to evaluate this Job. A Job that is opted out is counted and named.
    pub(super) fn selects(&mut self, job: &Job<'_>, selection: Selection) -> bool {
        match selection {
            Selection::Labelled | Selection::Adopted(_) | Selection::Detected(_) => return true,
            Selection::None => self.others += 1,
            Selection::OptedOut => {
                let OptedOut { count, jobs } = &mut self.opted_out;
                *count += 1;
                if jobs.len() < MAX_NAMES {
                    jobs.push(full_name(job));
                }
            }
        }
        false
    }

    /// Notes that a Job has no label of a migration; `label` is the one to write.
    pub(super) fn lacks(&mut self, job: &Job<'_>, label: String) {
        if self.unlabelled.len() < MAX_NAMES {
            self.unlabelled.push((full_name(job), label));
        }
    }

    /// Why there is no labelled migration Job, which `check --require-migration` requires.
    pub(crate) fn lacks_migration(&self) -> Option<String> {
        const NAMED: usize = 3;
        if self.migrations > 0 {
            return None;
        }
        if self.unlabelled.is_empty() {
            let read = if self.problems.is_empty() {
                ""
            } else {
                " in what could be read"
            };
            return Some(format!(
                "no migration Job was found{read}, but --require-migration requires one"
            ));
        }
        let named = self.unlabelled.iter().take(NAMED);
        let named: Vec<_> = named
            .map(|(job, label)| format!("{label} on {job}"))
            .collect();
        let more = match self.unlabelled.len() - named.len() {
            0 => String::new(),
            more => format!(", and on {more} more"),
        };
        Some(format!(
            "no Job is a migration Job, but --require-migration requires one; write {}{more}",
            named.join(", ")
        ))
    }

    /// Counts a Job that was evaluated.
    pub(super) fn count(&mut self, findings: &[Finding]) {
        self.jobs += 1;
        let is_problem = |finding: &Finding| finding.exception.is_none();
        self.jobs_with_problems += usize::from(findings.iter().any(is_problem));
        for finding in findings {
            let rule = finding.rule;
            let (_, counts) = self
                .rules
                .entry(rule.id)
                .or_insert((rule, Counts::default()));
            counts.add(finding);
            self.counts.add(finding);
        }
    }
}

/// `namespace/name`; the name alone for a manifest without a namespace.
fn full_name(job: &Job<'_>) -> String {
    let slash = if job.namespace.is_empty() { "" } else { "/" };
    format!("{}{slash}{}", job.namespace, job.name.shown())
}
