//! Past migrations from the recorded runs of a cluster: reads and sorts them.
//!
//! [`crate::core::runs`] records runs, [`crate::cli::render::history`] prints them.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use serde::Serialize;

use crate::core::job::credentials;
use crate::core::json::{Page, Unreadable};
use crate::core::runs::resource::{Deployer, MigrationRun, Outcome};

/// A run as it is shown. Its JSON form is stable: fields are added, never changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Entry {
    pub namespace: String,
    pub release: String,
    /// Name of the migration: the Job's without its timestamp.
    pub migration: String,
    pub job: String,
    pub job_uid: String,
    /// Number of the attempt, counted from one success to the next.
    pub attempt: i32,
    pub outcome: Outcome,
    /// When the API server admitted the Job.
    pub admitted_at: Option<Timestamp>,
    /// When its first pod started.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Seconds from its start, or else its admission, to its end.
    pub duration_seconds: Option<i64>,
    /// Why it failed, in one word.
    pub reason: Option<String>,
    pub exit_code: Option<i32>,
    /// The message of the Job's condition or of its container at the end.
    pub message: Option<String>,
    pub requested_by: Option<String>,
    pub deployer: Deployer,
    pub chart: Option<String>,
    pub tool: Option<String>,
    pub images: Vec<String>,
    /// Images that ran, with their digests.
    pub image_ids: Vec<String>,
    /// Whether there is a decision about it.
    pub reviewed: bool,
    pub decision: Option<String>,
    /// Exceptions that it needed to be admitted.
    pub exceptions: Vec<String>,
    /// Name of the `MigrationRun`.
    pub run: String,
    /// The entry of the policy that adopted the Job, if no label made it a migration Job.
    pub adopted: Option<String>,
    /// When the run was created; later than the Job if the Job was only found later.
    #[serde(skip)]
    created: Option<Timestamp>,
}

impl Entry {
    /// When it began, as far as known.
    pub(crate) fn began(&self) -> Option<Timestamp> {
        self.admitted_at.or(self.started_at).or(self.created)
    }

    fn of(object: &MigrationRun) -> Self {
        let spec = object.spec.clone();
        let status = object.status.clone().unwrap_or_default();
        Self {
            namespace: object.namespace().unwrap_or_default(),
            release: masked(spec.release.name),
            migration: masked(spec.migration),
            job: masked(spec.job.name),
            job_uid: masked(spec.job.uid),
            attempt: spec.attempt,
            outcome: status.outcome,
            admitted_at: status.admitted_at,
            started_at: status.started_at,
            finished_at: status.finished_at,
            duration_seconds: status.length().map(|length| length.as_secs()),
            reason: status.reason.map(masked),
            exit_code: status.exit_code,
            message: status.message.map(masked),
            requested_by: spec.requested_by.map(masked),
            deployer: spec.deployer,
            chart: spec.chart.map(masked),
            tool: spec.tool.map(masked),
            images: spec.images.into_iter().map(masked).collect(),
            image_ids: status.image_ids.into_iter().map(masked).collect(),
            reviewed: spec.reviewed,
            decision: spec.decision.map(masked),
            exceptions: spec.exceptions.into_iter().map(masked).collect(),
            run: object.name_any(),
            adopted: spec.adopted.map(masked),
            created: object.creation_timestamp().map(|time| time.0),
        }
    }
}

/// Masked, because a client that may write runs may have written any text into one.
fn masked(text: String) -> String {
    match credentials::mask(&text) {
        std::borrow::Cow::Borrowed(_) => text,
        std::borrow::Cow::Owned(masked) => masked,
    }
}

/// The runs that are shown.
#[derive(Debug)]
pub(crate) struct History {
    release: Option<String>,
    entries: Vec<Entry>,
    /// Number of runs that could not be parsed, as those of a newer version.
    pub(crate) unreadable: usize,
}

impl History {
    /// An empty list. If a release is given, only its runs are shown.
    pub(crate) fn of(release: Option<String>) -> Self {
        Self {
            release,
            entries: Vec::new(),
            unreadable: 0,
        }
    }

    /// Adds a page of runs, and returns how many were on it.
    pub(crate) fn page(&mut self, text: &str) -> Result<usize, Unreadable> {
        let page: Page<'_, DeserializeGuard<MigrationRun>> = serde_json::from_str(text)?;
        let count = page.items.len();
        for item in page.items {
            match item.0 {
                Ok(run) => {
                    let wanted = self.release.as_deref();
                    if wanted.is_none_or(|release| release == run.spec.release.name) {
                        self.entries.push(Entry::of(&run));
                    }
                }
                Err(_) => self.unreadable += 1,
            }
        }
        Ok(count)
    }

    /// All runs, sorted by namespace, release and time of their beginning.
    pub(crate) fn in_order(mut self) -> Vec<Entry> {
        self.entries.sort_by(|a, b| {
            let of = |entry: &Entry| (entry.namespace.clone(), entry.release.clone());
            let when = |entry: &Entry| (entry.began(), entry.attempt);
            of(a).cmp(&of(b)).then_with(|| when(a).cmp(&when(b)))
        });
        self.entries
    }
}

#[cfg(test)]
mod tests;
