//! `check --format json`: a stable shape, version 1. Fields are added, never changed.

use std::io::{self, Write};

use serde::Serialize;

use crate::check::{Located, Report};
use crate::policy::Action;

/// Version of the shape.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Output<'a> {
    version: u32,
    documents: usize,
    jobs: usize,
    findings: Vec<Finding<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem<'a>>,
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

/// Writes the report as one JSON object.
pub fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let output = Output {
        version: VERSION,
        documents: report.documents,
        jobs: report.jobs,
        findings: report.findings.iter().map(finding).collect(),
        problems: report
            .problems
            .iter()
            .map(|problem| Problem {
                file: &problem.file,
                line: problem.position.map(|at| at.line),
                column: problem.position.map(|at| at.column),
                message: &problem.message,
            })
            .collect(),
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
    };
    serde_json::to_writer_pretty(&mut *out, &output)?;
    writeln!(out)
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
