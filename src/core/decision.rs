//! The record: one JSON line per decision.
//!
//! This module has the content, [`mod@line`] serializes it within the size limit, and [`crate::host::decision_log`] writes
//! it. The format is public: fields are added, never changed without a new `schema`.

mod line;
pub(crate) mod removal;

use jiff::Timestamp;
use uuid::Uuid;

use crate::core::job::deployer::Deployer;
use crate::core::job::release::Release;
use crate::core::policy::Mode;
use crate::core::policy::finding::Finding;
use crate::core::policy::verdict::Outcome;

/// Version of the line's schema.
pub const SCHEMA: u32 = 1;

/// The JSON Schema of a line of this version.
pub const JSON_SCHEMA: &str = include_str!("decision/decision-log.schema.json");

/// The longest line in bytes, including the newline: container runtimes split longer ones.
pub const MAX_LINE: usize = 16 * 1024;

/// A decision with its circumstances. Texts chosen by clients are not cut or masked yet.
#[derive(Debug)]
pub(crate) struct Decision<'a> {
    /// When the replica received the review.
    pub ts: Timestamp,
    /// Id of the decision, sortable by time; also in the API server's audit log.
    pub id: Uuid,
    pub phase: &'static str,
    /// uid of the review.
    pub uid: &'a str,
    pub operation: &'static str,
    pub dry_run: bool,
    /// `jobs` or `cronjobs`.
    pub resource: &'static str,
    pub namespace: &'a str,
    /// Name of the object; its `generateName` if it has no name yet.
    pub job: &'a str,
    /// uid of the object; empty in the mutating phase, before the API server sets it.
    pub job_uid: &'a str,
    pub release: Release<'a>,
    pub deployer: Deployer,
    pub user: &'a str,
    pub groups: Vec<&'a str>,
    pub selection: &'static str,
    /// The name under which the Job is adopted.
    pub adopted: Option<&'a str>,
    pub mode: Mode,
    pub verdict: Outcome,
    pub findings: &'a [Finding],
    /// The patch that was sent.
    pub patch: Option<&'a json_patch::Patch>,
    /// Digest of the policy file.
    pub policy: &'a str,
    pub replica: &'a str,
}
