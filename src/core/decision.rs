//! The record: what was decided, written down as one JSON line per decision.
//!
//! Here is what is said; [`line`] makes a line of it that is short enough. [`crate::host::decision_log`] writes
//! it. Lines are published: fields are added, never changed without a new `schema`.

mod line;
pub mod tidy_up;

use jiff::Timestamp;
use uuid::Uuid;

use crate::core::job::deployer::Deployer;
use crate::core::job::release::Release;
use crate::core::policy::finding::Finding;
use crate::core::policy::verdict::Outcome;

/// Version of the line's schema.
pub const SCHEMA: u32 = 1;

/// What a line of this version is, as a JSON Schema.
pub const JSON_SCHEMA: &str = include_str!("decision/decision-log.schema.json");

/// The longest line in bytes, its newline included: container runtimes split longer ones.
pub const MAX_LINE: usize = 16 * 1024;

/// A verdict with who, what, when and why. What others have chosen is as they have.
#[derive(Debug)]
pub struct Decision<'a> {
    /// When the review came in.
    pub ts: Timestamp,
    /// Id of the decision, sortable by time; also in the apiserver's audit log.
    pub id: Uuid,
    /// `mutate` or `validate`.
    pub phase: &'static str,
    /// uid of the review.
    pub uid: &'a str,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'static str,
    /// Whether nothing would have been stored.
    pub dry_run: bool,
    /// `jobs` or `cronjobs`.
    pub resource: &'static str,
    /// Namespace of the request.
    pub namespace: &'a str,
    /// Name of the object; its `generateName` while it has no name.
    pub job: &'a str,
    /// uid of the object; empty in the mutating phase, which comes before it is given.
    pub job_uid: &'a str,
    /// What the migration belongs to.
    pub release: Release<'a>,
    /// Who keeps it as desired state.
    pub deployer: Deployer,
    /// Who asked.
    pub user: &'a str,
    /// Groups of who asked.
    pub groups: Vec<&'a str>,
    /// `labelled`, `detected` or `opted-out`.
    pub selection: &'static str,
    /// `enforce`, `warn`, `audit` or `off`.
    pub mode: crate::core::policy::Mode,
    /// What came of it.
    pub verdict: Outcome,
    /// Every finding.
    pub findings: &'a [Finding],
    /// The patch that was sent.
    pub patch: Option<&'a json_patch::Patch>,
    /// Digest of the policy file.
    pub policy: &'a str,
    /// Name of the replica that decided.
    pub replica: &'a str,
}
