//! The record: what was decided, written down as one JSON line per decision.
//!
//! Here is the line; [`sink`] writes it, [`id`] names it. Lines are published: fields are added, never changed
//! without a new `schema`.

pub mod id;
pub mod sink;
pub mod tidy_up;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::job::credentials;
use crate::job::release::Release;
use crate::policy::finding::Finding;
use crate::policy::verdict::Outcome;

/// Version of the line's schema.
pub const SCHEMA: u32 = 1;

/// What a line of this version is, as a JSON Schema.
pub const JSON_SCHEMA: &str = include_str!("record/decision-log.schema.json");

/// A verdict with who, what, when and why.
#[derive(Debug, Serialize)]
pub struct Decision<'a> {
    /// When the review came in.
    pub ts: Timestamp,
    /// Always `decision`.
    pub kind: &'static str,
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Id of the decision, sortable by time; also in the apiserver's audit log.
    pub id: Uuid,
    /// `mutate` or `validate`.
    pub phase: &'static str,
    /// uid of the review.
    #[serde(serialize_with = "masked")]
    pub uid: &'a str,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'static str,
    /// Whether nothing would have been stored.
    pub dry_run: bool,
    /// `jobs` or `cronjobs`.
    pub resource: &'static str,
    /// Namespace of the request.
    #[serde(serialize_with = "masked")]
    pub namespace: &'a str,
    /// Name of the object; its `generateName` while it has no name.
    #[serde(serialize_with = "masked")]
    pub job: &'a str,
    /// uid of the object; empty in the mutating phase, which comes before it is given.
    #[serde(serialize_with = "masked")]
    pub job_uid: &'a str,
    /// What the migration belongs to.
    pub release: Release<'a>,
    /// Who asked.
    #[serde(serialize_with = "masked")]
    pub user: &'a str,
    /// Groups of who asked.
    #[serde(serialize_with = "all_masked")]
    pub groups: Vec<&'a str>,
    /// `labelled`, `detected` or `opted-out`.
    pub selection: &'static str,
    /// `enforce`, `warn`, `audit` or `off`.
    pub mode: crate::policy::Mode,
    /// What came of it.
    pub verdict: Outcome,
    /// Every finding.
    #[serde(serialize_with = "findings")]
    pub findings: &'a [Finding],
    /// The patch that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<&'a json_patch::Patch>,
    /// Digest of the policy file.
    pub policy: &'a str,
    /// Name of the replica that decided.
    pub replica: &'a str,
}

#[derive(Serialize)]
struct FindingLine<'a> {
    rule: &'static str,
    name: &'static str,
    action: &'static str,
    path: String,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<&'a str>,
}

fn findings<S: Serializer>(findings: &[Finding], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(findings.iter().map(|finding| FindingLine {
        rule: finding.rule.id,
        name: finding.rule.name,
        action: finding.action.as_str(),
        path: finding.path.to_string(),
        detail: &finding.detail,
        exception: finding.exception.as_ref().map(|exception| &*exception.name),
    }))
}

fn masked<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&credentials::mask(text))
}

fn all_masked<S: Serializer>(texts: &[&str], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(texts.iter().map(|text| credentials::mask(text)))
}

impl Decision<'_> {
    /// The line, without a line feed.
    pub fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        // Lines without findings fit, and need not be moved while they grow.
        let mut line = Vec::with_capacity(1024);
        serde_json::to_writer(&mut line, self)?;
        Ok(line)
    }
}
