//! The line of a Job that is removed after its end.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::job::release::Release;

/// One removal. Its names are those of a stored object, which can hold no credentials.
#[derive(Debug, Serialize)]
pub struct TidyUp<'a> {
    /// When.
    pub ts: Timestamp,
    /// Always `tidy-up`.
    pub kind: &'static str,
    /// Always [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// Id of the line, sortable by time.
    pub id: Uuid,
    /// Namespace of the Job.
    pub namespace: &'a str,
    /// Its name.
    pub job: &'a str,
    /// Its uid.
    pub job_uid: &'a str,
    /// What it belonged to.
    pub release: Release<'a>,
    /// `earlier-attempt` or `hook-succeeded`.
    pub reason: &'static str,
    /// Whether it would have been removed, and was not.
    pub dry_run: bool,
    /// Why it stays after all; absent in the first line, which is written before the deletion is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stays: Option<&'a str>,
    /// Name of the replica that removes it.
    pub replica: &'a str,
}

impl TidyUp<'_> {
    /// The line, without a line feed.
    pub fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}
