//! The line for a finished Job that is removed.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::SCHEMA;
use super::line::{Cutter, ReleaseLine};
use crate::core::job::release::Release;
use crate::core::text;

#[derive(Debug)]
pub(crate) struct RemovalLine<'a> {
    /// When the line was written.
    pub ts: Timestamp,
    /// Id of the line, sortable by time.
    pub id: Uuid,
    /// Namespace of the Job.
    pub namespace: &'a str,
    pub job: &'a str,
    pub job_uid: &'a str,
    pub release: Release<'a>,
    /// `earlier-attempt` or `hook-succeeded`.
    pub reason: &'static str,
    /// Whether the removal is only planned, in a dry run.
    pub dry_run: bool,
    /// Why it stays after all; absent in the first line, which is written before the deletion is sent.
    pub stays: Option<&'a str>,
    /// Name of the replica that removes it.
    pub replica: &'a str,
}

#[derive(Serialize)]
struct Line<'a> {
    ts: Timestamp,
    kind: &'static str,
    schema: u32,
    id: Uuid,
    namespace: Cow<'a, str>,
    job: Cow<'a, str>,
    job_uid: Cow<'a, str>,
    release: ReleaseLine<'a>,
    reason: &'static str,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stays: Option<Cow<'a, str>>,
    replica: Cow<'a, str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl RemovalLine<'_> {
    /// The line, without a line feed. It has so few texts that it is always short enough.
    pub(crate) fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let cutter = Cutter::default();
        let name = |text| cutter.cut(text, text::NAME);
        let mut line = Line {
            ts: self.ts,
            kind: "tidy-up",
            schema: SCHEMA,
            id: self.id,
            namespace: name(self.namespace),
            job: name(self.job),
            job_uid: name(self.job_uid),
            release: cutter.release(&self.release, text::NAME),
            reason: self.reason,
            dry_run: self.dry_run,
            stays: self.stays.map(|why| cutter.cut(why, text::DETAIL)),
            replica: name(self.replica),
            truncated: false,
        };
        line.truncated = cutter.has_cut();
        serde_json::to_vec(&line)
    }
}
