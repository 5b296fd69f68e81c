//! Runs: the record of each migration Job that really existed.
//!
//! Pure. [`observe`] derives a run from a Job, [`Known::join`] combines the observations of several replicas, and
//! [`retention`] decides which runs are removed. [`crate::cluster::runs`] watches and writes.

pub(crate) mod active;
pub(crate) mod event;
pub(crate) mod facts;
pub(crate) mod naming;
pub(crate) mod observe;
pub(crate) mod pods;
pub mod resource;
pub(crate) mod retention;

use jiff::{SignedDuration, Timestamp};

use crate::core::job::Job;
use crate::core::job::name::cut;
use crate::core::job::stored::StoredJob;
use crate::core::supersede::SUPERSEDED;
use crate::core::text;
use facts::Facts;
use resource::{MigrationRun, MigrationRunSpec, MigrationRunStatus, Outcome, ReleaseReference};

/// The label of a run that names its release, as [`release_label`] writes it.
pub(crate) const RELEASE_LABEL: &str = "migration-warden.io/release";
/// The label of a run that names the program that writes it.
pub(crate) const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`].
pub(crate) const MANAGED_BY: &str = "migration-warden";

/// Digits of the uid in a run's name.
const UID_DIGITS: usize = 8;
/// Characters of a run's name that are left for the Job's name: an object's name may have 253.
const MAX_JOB_NAME: usize = 253 - 1 - UID_DIGITS;
/// Most characters of a label's value.
const MAX_LABEL: usize = 63;

/// The reasons in a Job's own conditions. A pod's reason is more specific.
const JOB_REASONS: [&str; 7] = [
    "BackoffLimitExceeded",
    "CompletionsReached",
    "DeadlineExceeded",
    "FailedIndexes",
    "MaxFailedIndexesExceeded",
    "PodFailurePolicy",
    "SuccessPolicy",
];

/// The facts about one run, stored or observed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub spec: MigrationRunSpec,
    pub status: MigrationRunStatus,
}

/// How a run ended, if nothing else is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub outcome: Outcome,
    pub at: Timestamp,
    /// Why, in one word.
    pub reason: Option<String>,
    /// The message of the Job's condition.
    pub message: Option<String>,
}

impl Ending {
    /// How this Job ended, as its own status says, if it has.
    pub(crate) fn said(job: &Job<'_>) -> Option<Self> {
        Self::of(&job.into(), &Facts::of(job))
    }

    /// How this Job ended, if it has.
    pub(crate) fn of(job: &StoredJob, facts: &Facts) -> Option<Self> {
        let end = job.end?;
        let why = |text: &Option<String>| text.clone().filter(|_| !end.succeeded);
        let outcome = if end.succeeded {
            Outcome::Succeeded
        } else {
            Outcome::Failed
        };
        Some(Self {
            outcome,
            at: end.at,
            reason: why(&facts.reason),
            message: why(&facts.message),
        })
    }
}

/// The name of the run of the Job with this name and uid: the same for every replica that writes it.
pub(crate) fn name(job: &str, uid: &str) -> String {
    let digits: String = uid.chars().take(UID_DIGITS).collect();
    format!("{}-{digits}", cut(job, MAX_JOB_NAME))
}

/// The value of [`RELEASE_LABEL`]: the release's name, or its digest if the name is not a valid label value.
pub(crate) fn release_label(release: &str) -> String {
    /// Enough to distinguish the releases of a namespace.
    const DIGITS: usize = 16;
    let is_end = |c: char| c.is_ascii_alphanumeric();
    if release.len() <= MAX_LABEL
        && release.starts_with(is_end)
        && release.ends_with(is_end)
        && release.chars().all(|c| is_end(c) || "-_.".contains(c))
    {
        return release.to_owned();
    }
    format!("sha256-{}", &text::sha256(release)[..DIGITS])
}

/// `text` fit to be stored: without credentials and control characters, and cut to this length.
pub(crate) fn clean(text: &str, length: usize) -> String {
    text::bounded(text.trim(), length).into_owned()
}

/// A duration as `kubectl` and Go write it: `1h2m3s`.
pub(crate) fn duration_text(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

impl Known {
    /// The facts in a stored run.
    pub(crate) fn of(run: &MigrationRun) -> Self {
        Self {
            spec: run.spec.clone(),
            status: run.status.clone().unwrap_or_default(),
        }
    }

    /// Combines the facts of both. This is the join of a semilattice: the order of writes, repeated writes and missed
    /// writes do not matter, so no writer can undo another's facts.
    pub(crate) fn join(&self, other: &Self) -> Self {
        let (a, b) = (&self.spec, &other.spec);
        let spec = MigrationRunSpec {
            job: a.job.clone().min(b.job.clone()),
            release: a.release.clone().min(b.release.clone()),
            migration: a.migration.clone().min(b.migration.clone()),
            chart: a.chart.clone().max(b.chart.clone()),
            tool: a.tool.clone().max(b.tool.clone()),
            images: united(&a.images, &b.images),
            deployer: a.deployer.min(b.deployer),
            requested_by: a.requested_by.clone().max(b.requested_by.clone()),
            decision: a.decision.clone().max(b.decision.clone()),
            exceptions: united(&a.exceptions, &b.exceptions),
            adopted: a.adopted.clone().max(b.adopted.clone()),
            reviewed: a.reviewed || b.reviewed,
            attempt: a.attempt.max(b.attempt),
        };
        Self {
            spec,
            status: self.status.join(&other.status),
        }
    }

    /// The same facts with the admission that its run recorded first. Stamps do not change: a changed one was forged
    /// while no replica was running to refuse it.
    pub(crate) fn let_in_as(mut self, first: &Self) -> Self {
        let (spec, first) = (&mut self.spec, &first.spec);
        spec.reviewed = first.reviewed;
        spec.decision.clone_from(&first.decision);
        spec.requested_by.clone_from(&first.requested_by);
        spec.exceptions.clone_from(&first.exceptions);
        self
    }

    /// The same facts, with this ending joined.
    pub(crate) fn ended(mut self, ending: Ending) -> Self {
        let Ending {
            outcome,
            at,
            reason,
            message,
        } = ending;
        let status = MigrationRunStatus {
            outcome,
            finished_at: Some(at),
            reason,
            message,
            ..MigrationRunStatus::default()
        };
        self.status = self.status.join(&status);
        self
    }

    /// The same facts with this start, if the run has ended and its start was not observed.
    pub(crate) fn started(mut self, at: Option<Timestamp>) -> Self {
        let status = &mut self.status;
        if status.outcome > Outcome::Deleted
            && status.started_at.is_none()
            && !status.is_superseded()
        {
            status.started_at = at;
            status.duration = status.length().map(duration_text);
        }
        self
    }
}

impl MigrationRunStatus {
    /// Whether it was failed before it started, so that a newer attempt can run.
    pub(crate) fn is_superseded(&self) -> bool {
        self.outcome == Outcome::Failed
            && self.reason.as_deref() == Some(SUPERSEDED)
            && self.started_at.is_none()
            && self.exit_code.is_none()
    }

    fn join(&self, other: &Self) -> Self {
        // Reason, message and exit code must come from the observation with the final outcome.
        let outcome = self.outcome.max(other.outcome);
        let ends = || {
            [self, other]
                .into_iter()
                .filter(|status| status.outcome == outcome)
        };
        let last = ends().max_by(|a, b| a.told().cmp(&b.told()));
        let mut joined = Self {
            outcome,
            admitted_at: earlier(self.admitted_at, other.admitted_at),
            started_at: earlier(self.started_at, other.started_at),
            finished_at: ends().filter_map(|status| status.finished_at).min(),
            duration: None,
            reason: last.and_then(|status| status.reason.clone()),
            message: last.and_then(|status| status.message.clone()),
            exit_code: last.and_then(|status| status.exit_code),
            image_ids: united(&self.image_ids, &other.image_ids),
        };
        joined.duration = joined.length().map(duration_text);
        joined
    }

    /// Orders observations of an end: one of the pod is more specific than one of the Job.
    fn told(&self) -> (bool, bool, &Option<String>, Option<i32>, &Option<String>) {
        let reason = self.reason.as_deref();
        let of_pod = reason.is_some_and(|reason| !JOB_REASONS.contains(&reason));
        (
            self.exit_code.is_some(),
            of_pod,
            &self.reason,
            self.exit_code,
            &self.message,
        )
    }

    /// The time from its start, or else its admission, to its end; `None` if its end was not observed.
    pub(crate) fn length(&self) -> Option<SignedDuration> {
        if matches!(self.outcome, Outcome::Running | Outcome::Lost) {
            return None;
        }
        let since = self.started_at.or(self.admitted_at)?;
        Some(self.finished_at?.duration_since(since))
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    [a, b].into_iter().flatten().min()
}

fn united(a: &[String], b: &[String]) -> Vec<String> {
    let mut both = [a, b].concat();
    both.sort();
    both.dedup();
    both
}

impl ReleaseReference {
    /// The value of [`RELEASE_LABEL`] for this release.
    pub(crate) fn label(&self) -> String {
        release_label(&self.name)
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
