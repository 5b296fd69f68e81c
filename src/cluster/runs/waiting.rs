//! One entry of the queue: a Job whose run may have to be written, with the facts that no one has written yet.
//!
//! Pure, except for the type of its clock.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::jobs::Seen;
use crate::core::job::stored::StoredJob;
use crate::core::runs::resource::Outcome;
use crate::core::runs::retention::Brief;
use crate::core::runs::{self, Ending, Known};

/// The identity of a Job in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobKey {
    pub(super) namespace: String,
    pub(super) job: String,
    pub(super) uid: String,
    /// Its release. The number of an attempt depends on the earlier ones, so the runs of a release are written one by
    /// one.
    pub(super) release: String,
    pub(super) created: Timestamp,
}

impl JobKey {
    pub(super) fn of(job: &StoredJob) -> Self {
        Self {
            namespace: job.namespace.clone(),
            job: job.name.clone(),
            uid: job.uid.clone(),
            release: job.release.clone(),
            created: job.created,
        }
    }

    /// The run with these facts, which is not stored yet.
    pub(super) fn brief(&self, wanted: &Known) -> Brief {
        let (spec, status) = (&wanted.spec, &wanted.status);
        Brief {
            namespace: self.namespace.clone(),
            name: runs::name(&self.job, &self.uid),
            job: self.job.clone(),
            job_uid: self.uid.clone(),
            release: spec.release.name.clone(),
            migration: spec.migration.clone(),
            outcome: status.outcome,
            admitted_at: status.admitted_at.unwrap_or_default(),
            has_started: status.started_at.is_some(),
            finished_at: status.finished_at,
            ..Brief::default()
        }
    }

    pub(super) fn of_run(run: &Brief) -> Self {
        Self {
            namespace: run.namespace.clone(),
            job: run.job.clone(),
            uid: run.job_uid.clone(),
            release: run.release.clone(),
            created: run.admitted_at,
        }
    }

    pub(super) fn age(&self) -> (Timestamp, &str) {
        (self.created, &self.job)
    }

    pub(super) fn is_of_the_same_release(&self, other: &Self) -> bool {
        (&self.namespace, &self.release) == (&other.namespace, &other.release)
    }
}

/// A Job whose run may have to be written, and the known facts. Without facts, the Job has to be read first.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) key: JobKey,
    /// Its last state from the watch.
    pub(super) seen: Option<Arc<Seen>>,
    /// When the watch reported that it is gone.
    pub(super) gone: Option<Timestamp>,
    /// How it ended, from a review of its deletion.
    pub(super) words: Option<Ending>,
    /// The outcome before a write whose answer was lost: that write may have succeeded without an Event.
    pub(super) unsure: Option<Before>,
    pub(super) due: Instant,
    pub(super) tries: u32,
}

impl Waiting {
    pub(super) fn of(key: JobKey, due: Instant) -> Self {
        Self {
            key,
            seen: None,
            gone: None,
            words: None,
            unsure: None,
            due,
            tries: 0,
        }
    }

    /// An entry with a state from the watch.
    pub(super) fn seen(seen: &Arc<Seen>, due: Instant) -> Self {
        Self {
            seen: Some(Arc::clone(seen)),
            ..Self::of(JobKey::of(&seen.job), due)
        }
    }

    /// Whether nothing is known, except that the Job has to be read.
    pub(super) fn is_suspect(&self) -> bool {
        self.seen.is_none() && !self.is_precious()
    }

    /// Whether the state from the watch may be stale, so that the Job has to be read. A Job that is gone from the watch
    /// may only have lost its label, and a review of its deletion may show an end that the watch missed.
    pub(super) fn is_in_doubt(&self) -> bool {
        !self.has_ended() && (self.gone.is_some() || self.words.is_some())
    }

    fn has_ended(&self) -> bool {
        let mut seen = self.seen.iter();
        seen.any(|seen| seen.job.end.is_some())
    }

    /// Whether a scan could not find these facts again.
    pub(super) fn is_precious(&self) -> bool {
        self.gone.is_some() || self.words.is_some() || self.unsure.is_some()
    }

    pub(super) fn absorb(&mut self, newer: Self) {
        // Two selectors may match one Job, and their watches are not in step.
        if newer.seen.is_some() && (newer.has_ended() || !self.has_ended()) {
            self.seen = newer.seen;
        }
        self.gone = self.gone.or(newer.gone);
        self.words = newer.words.or(self.words.take());
        self.due = self.due.min(newer.due);
    }
}

/// The outcome of a run before a write; `None` for a new one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before(pub(super) Option<Outcome>);
