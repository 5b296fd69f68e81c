//! The line of a decision: one JSON object of at most [`MAX_LINE`] bytes.
//!
//! Each text is cut and each list is limited. If the line is still too long, the findings' details are cut first. The
//! verdict and the ids always stay.

use std::borrow::Cow;
use std::cell::Cell;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{Decision, MAX_LINE, SCHEMA};
use crate::core::job::deployer::Deployer;
use crate::core::job::release::{Release, Source};
use crate::core::policy::Mode;
use crate::core::policy::finding::Finding;
use crate::core::policy::verdict::Outcome;
use crate::core::text;

/// Bytes that a line has to leave free, for the newline and the count of lost lines.
const SPARE: usize = 64;

/// How much of a line's texts is kept.
#[derive(Clone, Copy)]
struct Limits {
    detail: usize,
    name: usize,
    user: usize,
    groups: usize,
    findings: usize,
}

const WHOLE: Limits = Limits {
    detail: text::DETAIL,
    name: text::NAME,
    user: text::USER,
    groups: text::GROUPS,
    findings: text::FINDINGS,
};

/// From the usual limits to limits that always fit, even if JSON escapes every character.
const LIMITS: [Limits; 6] = [
    WHOLE,
    Limits {
        detail: 192,
        ..WHOLE
    },
    Limits {
        detail: 64,
        ..WHOLE
    },
    Limits { detail: 0, ..WHOLE },
    Limits {
        detail: 0,
        groups: 8,
        ..WHOLE
    },
    Limits {
        detail: 0,
        name: 128,
        user: 256,
        groups: 4,
        findings: 16,
    },
];

#[derive(Serialize)]
struct Line<'a> {
    ts: Timestamp,
    kind: &'static str,
    schema: u32,
    id: Uuid,
    phase: &'static str,
    uid: Cow<'a, str>,
    operation: &'static str,
    dry_run: bool,
    resource: &'static str,
    namespace: Cow<'a, str>,
    job: Cow<'a, str>,
    job_uid: Cow<'a, str>,
    release: ReleaseLine<'a>,
    deployer: Deployer,
    user: Cow<'a, str>,
    groups: Vec<Cow<'a, str>>,
    selection: &'static str,
    mode: Mode,
    verdict: Outcome,
    findings: Vec<FindingLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<&'a json_patch::Patch>,
    policy: Cow<'a, str>,
    replica: Cow<'a, str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

#[derive(Serialize)]
pub(super) struct ReleaseLine<'a> {
    namespace: Cow<'a, str>,
    name: Cow<'a, str>,
    source: Source,
}

#[derive(Serialize)]
struct FindingLine<'a> {
    rule: &'static str,
    name: &'static str,
    action: &'static str,
    path: Cow<'a, str>,
    detail: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<Cow<'a, str>>,
}

impl Decision<'_> {
    /// The line, without a line feed.
    pub fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        // Lines without findings fit, so that the buffer need not grow.
        let mut line = Vec::with_capacity(1024);
        for limits in LIMITS {
            line.clear();
            serde_json::to_writer(&mut line, &self.within(limits))?;
            if line.len() <= MAX_LINE - SPARE {
                break;
            }
        }
        Ok(line)
    }

    fn within(&self, limits: Limits) -> Line<'_> {
        let cutter = Cutter::default();
        let name = |text| cutter.cut(text, limits.name);
        let groups = self.groups.iter().take(limits.groups);
        let findings = cutter.told(self.findings, limits);
        let all_groups = self.groups.len() <= limits.groups;
        let mut line = Line {
            ts: self.ts,
            kind: "decision",
            schema: SCHEMA,
            id: self.id,
            phase: self.phase,
            uid: name(self.uid),
            operation: self.operation,
            dry_run: self.dry_run,
            resource: self.resource,
            namespace: name(self.namespace),
            job: name(self.job),
            job_uid: name(self.job_uid),
            release: cutter.release(&self.release, limits.name),
            deployer: self.deployer,
            user: cutter.cut(self.user, limits.user),
            groups: groups.map(|group| name(group)).collect(),
            selection: self.selection,
            mode: self.mode,
            verdict: self.verdict,
            findings,
            patch: self.patch,
            policy: name(self.policy),
            replica: name(self.replica),
            truncated: !all_groups,
        };
        line.truncated |= cutter.has_cut();
        line
    }
}

/// Cuts texts, and remembers whether anything was cut.
#[derive(Default)]
pub(super) struct Cutter {
    has_cut: Cell<bool>,
}

impl Cutter {
    /// Whether anything was cut.
    pub(super) fn has_cut(&self) -> bool {
        self.has_cut.get()
    }

    /// A release, with names of at most `max` bytes.
    pub(super) fn release<'r>(&self, release: &'r Release<'_>, max: usize) -> ReleaseLine<'r> {
        ReleaseLine {
            namespace: self.cut(release.namespace, max),
            name: self.cut(&release.name, max),
            source: release.source,
        }
    }

    /// The text, masked and cut to at most `max` bytes.
    pub(super) fn cut<'t>(&self, text: &'t str, max: usize) -> Cow<'t, str> {
        let (kept, is_cut) = text::fit(text, max);
        if is_cut {
            self.has_cut.set(true);
        }
        kept
    }

    /// The findings in their original order. If there are too many, those with the strongest actions are kept.
    fn told<'f>(&self, findings: &'f [Finding], limits: Limits) -> Vec<FindingLine<'f>> {
        let mut told: Vec<(usize, &Finding)> = findings.iter().enumerate().collect();
        if told.len() > limits.findings {
            told.sort_by_key(|(_, finding)| std::cmp::Reverse(finding.action));
            told.truncate(limits.findings);
            told.sort_by_key(|(index, _)| *index);
            self.has_cut.set(true);
        }
        let mut exceptions: Vec<&str> = Vec::new();
        let lines = told.into_iter().map(|(_, finding)| {
            if finding.is_cut {
                self.has_cut.set(true);
            }
            let exception = finding.exception.as_ref().map(|e| &*e.name);
            let named = exception.filter(|name| {
                let is_named = exceptions.contains(name);
                if !is_named && exceptions.len() < text::EXCEPTIONS {
                    exceptions.push(name);
                }
                is_named || exceptions.contains(name)
            });
            if named.is_none() && exception.is_some() {
                self.has_cut.set(true);
            }
            FindingLine {
                rule: finding.rule.id,
                name: finding.rule.name,
                action: finding.action.as_str(),
                path: finding.path.to_string().into(),
                detail: self.cut(&finding.detail, limits.detail),
                exception: named.map(|name| self.cut(name, limits.name)),
            }
        });
        lines.collect()
    }
}
