//! `--format json` of `check` and `scan`: a stable shape, version 1. Fields are added, never changed.
//!
//! The findings come first and one to a line, so that they can be written before all are known.

use std::io::{self, Write};

use serde::Serialize;

use super::Render;
use crate::core::job::Kind;
use crate::core::report::{Located, Report};

/// Version of the shape.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Finding<'a> {
    rule: &'a str,
    name: &'a str,
    action: &'a str,
    #[serde(flatten)]
    place: Place<'a>,
    namespace: &'a str,
    job: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    adopted: Option<&'a str>,
    path: String,
    reason: &'a str,
    detail: &'a str,
    remediation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Place<'a> {
    File {
        file: &'a str,
        line: usize,
        column: usize,
    },
    Cluster {
        kind: &'a str,
    },
}

/// Writes one JSON object.
#[derive(Debug, Default)]
pub struct Json {
    has_findings: bool,
}

impl Render for Json {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{{\n  \"version\": {VERSION},\n  \"findings\": [")
    }

    fn finding(&mut self, located: &Located, out: &mut dyn Write) -> io::Result<()> {
        let comma = if self.has_findings { "," } else { "" };
        self.has_findings = true;
        write!(out, "{comma}\n    ")?;
        serde_json::to_writer(out, &finding(located))?;
        Ok(())
    }

    fn end(&mut self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let close = if self.has_findings { "\n  ]" } else { "]" };
        let tail = serde_json::to_string(report)?;
        // The object has been opened before.
        let tail = tail.strip_prefix('{').unwrap_or(&tail);
        writeln!(out, "{close},\n  {tail}")
    }
}

fn finding(located: &Located) -> Finding<'_> {
    let found = &located.finding;
    Finding {
        rule: found.rule.id,
        name: found.rule.name,
        action: found.action.as_str(),
        place: match &located.source {
            Some(source) => Place::File {
                file: &source.file,
                line: source.position.line,
                column: source.position.column,
            },
            None => Place::Cluster {
                kind: match located.kind {
                    Kind::Job => "Job",
                    Kind::CronJob => "CronJob",
                },
            },
        },
        namespace: &located.namespace,
        job: &located.job,
        adopted: located.adopted.as_deref(),
        path: found.path.to_string(),
        reason: found.rule.reason,
        detail: &found.detail,
        remediation: &found.remediation,
        exception: found.exception.as_ref().map(|exception| &*exception.name),
    }
}
