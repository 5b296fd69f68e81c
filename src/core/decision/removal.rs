//! The line for a finished Job that is removed.

use jiff::Timestamp;
use serde::ser::{SerializeMap, Serializer};
use uuid::Uuid;

use super::SCHEMA;
use super::line::Cutter;
use crate::core::job::release::Release;
use crate::core::text;

#[derive(Debug)]
pub(crate) struct RemovalLine<'a> {
    /// When the line was written.
    pub ts: Timestamp,
    /// Id of the line, sortable by time.
    pub id: Uuid,
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

impl RemovalLine<'_> {
    /// The line, without a line feed. It has so few texts that it is always short enough.
    pub(crate) fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let cutter = Cutter::default();
        let name = |text| cutter.cut(text, text::NAME);
        let mut line = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut line);
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("ts", &self.ts)?;
        fields.serialize_entry("kind", "tidy-up")?;
        fields.serialize_entry("schema", &SCHEMA)?;
        fields.serialize_entry("id", &self.id)?;
        fields.serialize_entry("namespace", &name(self.namespace))?;
        fields.serialize_entry("job", &name(self.job))?;
        fields.serialize_entry("job_uid", &name(self.job_uid))?;
        fields.serialize_entry("release", &cutter.release(&self.release, text::NAME))?;
        fields.serialize_entry("reason", self.reason)?;
        fields.serialize_entry("dry_run", &self.dry_run)?;
        if let Some(why) = self.stays {
            fields.serialize_entry("stays", &cutter.cut(why, text::DETAIL))?;
        }
        fields.serialize_entry("replica", &name(self.replica))?;
        if cutter.has_cut() {
            fields.serialize_entry("truncated", &true)?;
        }
        fields.end()?;
        Ok(line)
    }
}
