//! The line of a decision: one JSON object of at most [`MAX_LINE`] bytes.
//!
//! Each text is cut and each list is limited. If the line is still too long, the findings' details are cut first. The
//! verdict and the ids always stay.

use std::borrow::Cow;
use std::cell::Cell;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::{Decision, MAX_LINE, SCHEMA};
use crate::core::job::release::{Release, Source};
use crate::core::policy::finding::Finding;
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
    pub(crate) fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        // Lines without findings fit, so that the buffer need not grow.
        let mut line = Vec::with_capacity(1024);
        for limits in LIMITS {
            line.clear();
            self.write(&mut line, limits)?;
            if line.len() <= MAX_LINE - SPARE {
                break;
            }
        }
        Ok(line)
    }

    fn write(&self, line: &mut Vec<u8>, limits: Limits) -> Result<(), serde_json::Error> {
        let cutter = Cutter::default();
        let name = |text| cutter.cut(text, limits.name);
        let groups = self.groups.iter().take(limits.groups);
        let groups: Vec<_> = groups.map(|group| name(group)).collect();
        let mut serializer = serde_json::Serializer::new(line);
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("ts", &self.ts)?;
        fields.serialize_entry("kind", "decision")?;
        fields.serialize_entry("schema", &SCHEMA)?;
        fields.serialize_entry("id", &self.id)?;
        fields.serialize_entry("phase", self.phase)?;
        fields.serialize_entry("uid", &name(self.uid))?;
        fields.serialize_entry("operation", self.operation)?;
        fields.serialize_entry("dry_run", &self.dry_run)?;
        fields.serialize_entry("resource", self.resource)?;
        fields.serialize_entry("namespace", &name(self.namespace))?;
        fields.serialize_entry("job", &name(self.job))?;
        fields.serialize_entry("job_uid", &name(self.job_uid))?;
        fields.serialize_entry("release", &cutter.release(&self.release, limits.name))?;
        fields.serialize_entry("deployer", &self.deployer)?;
        fields.serialize_entry("user", &cutter.cut(self.user, limits.user))?;
        fields.serialize_entry("groups", &groups)?;
        fields.serialize_entry("selection", self.selection)?;
        if let Some(adopted) = self.adopted {
            fields.serialize_entry("adopted", &name(adopted))?;
        }
        fields.serialize_entry("mode", &self.mode)?;
        fields.serialize_entry("verdict", &self.verdict)?;
        fields.serialize_entry("findings", &cutter.told(self.findings, limits))?;
        if let Some(patch) = self.patch {
            fields.serialize_entry("patch", patch)?;
        }
        fields.serialize_entry("policy", &name(self.policy))?;
        fields.serialize_entry("replica", &name(self.replica))?;
        if groups.len() < self.groups.len() || cutter.has_cut() {
            fields.serialize_entry("truncated", &true)?;
        }
        fields.end()
    }
}

/// Cuts texts, and remembers whether anything was cut.
#[derive(Default)]
pub(super) struct Cutter {
    has_cut: Cell<bool>,
}

impl Cutter {
    pub(super) fn has_cut(&self) -> bool {
        self.has_cut.get()
    }

    pub(super) fn release<'r>(&self, release: &'r Release<'_>, max: usize) -> ReleaseLine<'r> {
        ReleaseLine {
            namespace: self.cut(release.namespace, max),
            name: self.cut(&release.name, max),
            source: release.source,
        }
    }

    fn note(&self, is_cut: bool) {
        self.has_cut.set(self.has_cut.get() || is_cut);
    }

    /// The text, masked and cut to at most `max` bytes.
    pub(super) fn cut<'t>(&self, text: &'t str, max: usize) -> Cow<'t, str> {
        let (kept, is_cut) = text::fit(text, max);
        self.note(is_cut);
        kept
    }

    /// The findings in their original order. If there are too many, those with the strongest actions are kept.
    fn told<'f>(&self, findings: &'f [Finding], limits: Limits) -> Vec<FindingLine<'f>> {
        let mut told: Vec<(usize, &Finding)> = findings.iter().enumerate().collect();
        if told.len() > limits.findings {
            told.sort_by_key(|(_, finding)| std::cmp::Reverse(finding.action));
            told.truncate(limits.findings);
            told.sort_by_key(|(index, _)| *index);
            self.note(true);
        }
        let mut exceptions: Vec<&str> = Vec::new();
        let lines = told.into_iter().map(|(_, finding)| {
            self.note(finding.is_cut);
            let exception = finding.exception.as_ref().map(|e| &*e.name);
            let named = exception.filter(|name| {
                let is_named = exceptions.contains(name);
                if !is_named && exceptions.len() < text::EXCEPTIONS {
                    exceptions.push(name);
                }
                is_named || exceptions.contains(name)
            });
            self.note(named.is_none() && exception.is_some());
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
