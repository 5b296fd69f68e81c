//! `check --format json`: a stable shape, version 1. Fields are added, never changed.
//!
//! The findings come first and one to a line, so that they can be written before all are known.

use std::io::{self, Write};

use serde::Serialize;

use crate::core::check::{Located, Report};
use crate::core::policy::Action;

/// Version of the shape.
const VERSION: u32 = 1;

/// What is known in the end only.
#[derive(Serialize)]
struct Tail<'a> {
    documents: usize,
    jobs: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Problem<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_exceptions: Vec<Ignored<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct Finding<'a> {
    rule: &'a str,
    name: &'a str,
    action: &'a str,
    file: &'a str,
    line: usize,
    column: usize,
    namespace: &'a str,
    job: &'a str,
    path: String,
    reason: &'a str,
    detail: &'a str,
    remediation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<&'a str>,
}

#[derive(Serialize)]
struct Ignored<'a> {
    name: &'a str,
    file: &'a str,
    line: usize,
    column: usize,
    message: &'a str,
}

#[derive(Serialize)]
struct Problem<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    message: &'a str,
}

#[derive(Serialize)]
struct Summary {
    deny: usize,
    patch: usize,
    warn: usize,
    audit: usize,
}

/// Writes one JSON object, piece by piece.
#[derive(Debug, Default)]
pub struct Writer {
    has_findings: bool,
}

impl Writer {
    /// Begins the object.
    pub fn begin(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{{\n  \"version\": {VERSION},\n  \"findings\": [")
    }

    /// Writes one finding.
    pub fn finding(&mut self, located: &Located, out: &mut impl Write) -> io::Result<()> {
        let comma = if self.has_findings { "," } else { "" };
        self.has_findings = true;
        write!(out, "{comma}\n    ")?;
        serde_json::to_writer(out, &finding(located))?;
        Ok(())
    }

    /// Ends the object.
    pub fn end(&self, report: &Report, out: &mut impl Write) -> io::Result<()> {
        let close = if self.has_findings { "\n  ]" } else { "]" };
        write!(out, "{close}")?;
        let tail = serde_json::to_string(&tail(report))?;
        // The object has been opened before.
        let tail = tail.strip_prefix('{').unwrap_or(&tail);
        writeln!(out, ",\n  {tail}")
    }
}

fn tail(report: &Report) -> Tail<'_> {
    Tail {
        documents: report.documents,
        jobs: report.jobs,
        problems: report.problems.iter().map(problem).collect(),
        warnings: report.warnings.iter().map(problem).collect(),
        ignored_exceptions: report
            .ignored
            .iter()
            .map(|ignored| Ignored {
                name: &ignored.name,
                file: &ignored.file,
                line: ignored.position.line,
                column: ignored.position.column,
                message: &ignored.message,
            })
            .collect(),
        summary: Summary {
            deny: report.count(Action::Deny),
            patch: report.count(Action::Patch),
            warn: report.count(Action::Warn),
            audit: report.count(Action::Audit),
        },
    }
}

fn problem(problem: &crate::core::check::Problem) -> Problem<'_> {
    Problem {
        file: &problem.file,
        line: problem.position.map(|at| at.line),
        column: problem.position.map(|at| at.column),
        message: &problem.message,
    }
}

fn finding(located: &Located) -> Finding<'_> {
    let found = &located.finding;
    Finding {
        rule: found.rule.id,
        name: found.rule.name,
        action: found.action.as_str(),
        file: &located.file,
        line: located.position.line,
        column: located.position.column,
        namespace: &located.namespace,
        job: &located.job,
        path: found.path.to_string(),
        reason: found.rule.reason,
        detail: &found.detail,
        remediation: &found.remediation,
        exception: found.exception.as_ref().map(|exception| &*exception.name),
    }
}
