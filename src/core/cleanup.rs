//! Decides which finished Jobs to remove. Pure: from the Jobs of the cluster, the policy and the time.
//!
//! Helm deletes the hook that has the *new* name before it creates it, so with timestamped names failed Jobs pile up.
//! This module applies `before-hook-creation` to them, and `hook-succeeded` to Jobs whose delete policy Helm does not
//! know because it was patched. [`crate::cluster::cleanup`] deletes the Jobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use strum::{IntoStaticStr, VariantNames};

use crate::core::job::stored::StoredJob;
use crate::core::policy::Policy;
use crate::core::policy::adopt::Promise;

/// How long a Job is left alone after its end: Helm 4 may still wait for it, and hangs if it disappears. Helm's own
/// timeout is five minutes by default; this is twice that.
pub(crate) const GRACE: SignedDuration = SignedDuration::from_mins(10);

/// Why a Job is removed. The words are those of the record and of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// It failed, and there are later attempts.
    EarlierAttempt,
    /// It succeeded, and Helm does not know its patched delete policy `hook-succeeded`.
    HookSucceeded,
}

/// A Job to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removal {
    pub job: Arc<StoredJob>,
    pub reason: Reason,
}

/// The Jobs to remove at `now`, oldest first. Of each migration, the newest failed Jobs and the latest attempt stay.
/// `grace` is [`GRACE`], except in tests.
pub(crate) fn plan(
    jobs: &[Arc<StoredJob>],
    policy: &Policy,
    grace: SignedDuration,
    now: Timestamp,
) -> Vec<Removal> {
    let mut migrations: BTreeMap<[&str; 3], Vec<&Arc<StoredJob>>> = BTreeMap::new();
    for job in jobs {
        // Two releases of one chart may use the same Job names.
        let attempts = migrations.entry([&job.namespace, &job.release, &job.base]);
        attempts.or_default().push(job);
    }
    let mut removals = Vec::new();
    for mut attempts in migrations.into_values() {
        attempts.sort_by(|a, b| age(b).cmp(&age(a)));
        let mut failed = 0;
        for (later, job) in attempts.into_iter().enumerate() {
            // A Job that is being deleted does not count as one that stays.
            let Some(end) = job.end.filter(|_| !job.is_deleting) else {
                continue;
            };
            failed += usize::from(!end.succeeded);
            let is_ours = !job.is_held && !job.is_opted_out && is_tidied(job, policy);
            let is_old = is_past(end.at, grace, now) && is_past(job.created, grace, now);
            let reason = if end.succeeded {
                job.deletes_succeeded.then_some(Reason::HookSucceeded)
            } else {
                let is_earlier = later > 0 && failed > policy.tidy_up.keep_failed;
                (is_earlier && job.deletes_before_creation).then_some(Reason::EarlierAttempt)
            };
            if let (Some(reason), true) = (reason, is_ours && is_old) {
                let job = Arc::clone(job);
                removals.push(Removal { job, reason });
            }
        }
    }
    removals.sort_by(|a, b| age(&a.job).cmp(&age(&b.job)));
    removals
}

/// Whether a Job's chart and the policy allow to remove it. The owner of an adopted one has not chosen how it is named
/// and removed, and without a timestamp nothing piles up.
fn is_tidied(job: &StoredJob, policy: &Policy) -> bool {
    job.adopted.is_none()
        || policy.keeps(Promise::TidyUp, job.adopted.as_deref())
            && job.is_timestamped
            && job.deletes_before_creation
}

/// The order of attempts; names order those of the same second.
fn age(job: &StoredJob) -> (Timestamp, &str, &str, &str) {
    (job.created, &job.namespace, &job.name, &job.uid)
}

fn is_past(moment: Timestamp, grace: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(moment) >= grace
}

#[cfg(test)]
mod tests;
