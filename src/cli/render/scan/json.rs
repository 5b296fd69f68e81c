//! `scan --format json`: a stable shape, version 1, close to that of `check`. Fields are added, never changed.
//!
//! The findings come first and one to a line, so that they can be written before all are known.

use std::io::{self, Write};

use serde::Serialize;

use crate::core::job::Kind;
use crate::core::policy::Action;
use crate::core::policy::finding::Finding;
use crate::core::scan::{Judged, Tally};

/// Version of the shape.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct FindingLine<'a> {
    rule: &'a str,
    name: &'a str,
    action: &'a str,
    kind: &'a str,
    namespace: &'a str,
    job: &'a str,
    path: String,
    reason: &'a str,
    detail: &'a str,
    remediation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<&'a str>,
}

/// What is known in the end only.
#[derive(Serialize)]
struct Tail<'a> {
    objects: usize,
    made_by_cronjobs: usize,
    jobs: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_modes: Vec<UnknownMode<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct Problem<'a> {
    message: &'a str,
}

#[derive(Serialize)]
struct Summary {
    deny: usize,
    patch: usize,
    warn: usize,
    audit: usize,
}

#[derive(Serialize)]
struct UnknownMode<'a> {
    namespace: &'a str,
    mode: &'a str,
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

    /// Writes the findings in some migrations.
    pub fn judged(&mut self, all: &[Judged], out: &mut impl Write) -> io::Result<()> {
        for judged in all {
            for finding in &judged.findings {
                let comma = if self.has_findings { "," } else { "" };
                self.has_findings = true;
                write!(out, "{comma}\n    ")?;
                serde_json::to_writer(&mut *out, &line(judged, finding))?;
            }
        }
        Ok(())
    }

    /// Ends the object.
    pub fn end(&self, tally: &Tally, problems: &[String], out: &mut impl Write) -> io::Result<()> {
        let close = if self.has_findings { "\n  ]" } else { "]" };
        write!(out, "{close}")?;
        let tail = Tail {
            objects: tally.jobs + tally.cronjobs,
            made_by_cronjobs: tally.made_by_cronjobs,
            jobs: tally.migrations,
            unknown_modes: tally
                .unknown_modes
                .iter()
                .map(|(namespace, mode)| UnknownMode { namespace, mode })
                .collect(),
            problems: problems.iter().map(|message| Problem { message }).collect(),
            summary: Summary {
                deny: tally.count(Action::Deny),
                patch: tally.count(Action::Patch),
                warn: tally.count(Action::Warn),
                audit: tally.count(Action::Audit),
            },
        };
        let tail = serde_json::to_string(&tail)?;
        // The object has been opened before.
        let tail = tail.strip_prefix('{').unwrap_or(&tail);
        writeln!(out, ",\n  {tail}")
    }
}

fn line<'a>(judged: &'a Judged, finding: &'a Finding) -> FindingLine<'a> {
    FindingLine {
        rule: finding.rule.id,
        name: finding.rule.name,
        action: finding.action.as_str(),
        kind: match judged.kind {
            Kind::Job => "Job",
            Kind::CronJob => "CronJob",
        },
        namespace: &judged.namespace,
        job: &judged.name,
        path: finding.path.to_string(),
        reason: finding.rule.reason,
        detail: &finding.detail,
        remediation: &finding.remediation,
        exception: finding.exception.as_ref().map(|exception| &*exception.name),
    }
}
