//! Removes finished Jobs that are not needed any more, and logs each one.
//!
//! Only the elected replica does it. [`crate::core::cleanup`] selects the Jobs. Here they are deleted by uid and
//! version, in namespaces where the policy is enforced, and at a limited rate.
//!
//! The line is written before the deletion is sent, so that even a deletion whose answer is lost is logged. If the API
//! server then refuses, a second line says so.

mod metrics;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Preconditions};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use tokio::sync::broadcast;
use tokio::time::{self, Instant};
use uuid::Uuid;

use super::api::{ApiError, ask, every, said};
use super::jobs::{self, Jobs, News};
use super::leader::Leads;
use super::namespaces::Namespaces;
use crate::core::cleanup::{Removal, plan};
use crate::core::decision::removal::RemovalLine;
use crate::core::policy::tidy_up::TidyMode;
use crate::core::policy::{Policy, WithoutRecord};
use crate::host::decision_log::{LIMIT, Sink};
use crate::host::policy_watch::LivePolicy;
pub(crate) use metrics::CleanupMetrics;
use metrics::CleanupResult;

/// How often the plan is made without news, because Jobs also become due without news.
const PERIOD: Duration = Duration::from_secs(60);
/// Pause after news, which come in bursts.
const SETTLE: Duration = Duration::from_secs(1);
/// Pause between two deletions.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause after the API server has refused to delete a Job.
const REFUSED: Duration = Duration::from_secs(600);

/// The last try for each Job that is still to be removed, by uid.
type Told = HashMap<String, Tried>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// Only the plan to remove it was logged, or the Job has changed: the next try counts as the first.
    Told,
    /// The deletion was sent, and its result is unknown.
    Unknown,
    /// The deletion was sent, and the API server was busy.
    Busy,
    /// The Job was deleted, but the watch has not reported it yet.
    Done,
    /// The API server refused.
    Refused(Instant),
}

/// What follows from a try to delete a Job: the result to count, the state for the next try, and the reason to log if
/// the Job stays although its line announced the removal.
fn after(
    deleted: &Result<(), ApiError>,
    before: Option<Tried>,
    now: Instant,
) -> (CleanupResult, Tried, Option<String>) {
    use CleanupResult as R;
    let Err(error) = deleted else {
        return (R::Deleted, Tried::Done, None);
    };
    let was_unknown = before == Some(Tried::Unknown);
    let why = |why: &str| Some(why.to_owned());
    match (error.code(), error) {
        // The try whose answer was lost has deleted it.
        (404, _) if was_unknown => (R::Deleted, Tried::Done, None),
        (404, _) => (R::Changed, Tried::Done, why("it was already deleted")),
        (409, _) => {
            let why = why("it has changed, and is checked again");
            (R::Changed, Tried::Told, why)
        }
        (429, _) if !was_unknown => (R::Failed, Tried::Busy, None),
        (..500, ApiError::Refused { status, .. }) if error.code() != 429 => {
            (R::Failed, Tried::Refused(now), Some(said(status)))
        }
        // There was no answer, or one after which the write may still take effect.
        _ => (R::Failed, Tried::Unknown, None),
    }
}

/// Deletes the finished migration Jobs that nothing else deletes.
#[expect(missing_docs, reason = "their types say it")]
pub struct Cleanup {
    pub client: Client,
    pub jobs: Jobs,
    pub namespaces: Namespaces,
    /// Namespaces whose Jobs are never removed.
    pub excluded: Vec<String>,
    pub policy: LivePolicy,
    pub sink: Arc<Sink>,
    pub metrics: CleanupMetrics,
    pub replica: String,
    /// How long a finished Job is left alone: [`crate::core::cleanup::GRACE`], except in tests.
    pub grace: SignedDuration,
}

impl Cleanup {
    /// Tidies up while `leads` is true, for as long as it is awaited.
    pub async fn run(self, mut leads: Leads) {
        let mut news = self.jobs.subscribe();
        let mut ticks = every(PERIOD);
        let mut told = Told::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = finished(&mut news) => time::sleep(SETTLE).await,
                () = leads.changed() => {}
            }
            if leads.now() {
                self.round(&leads, &mut told).await;
            } else {
                told.clear();
            }
        }
    }

    async fn round(&self, leads: &Leads, told: &mut Told) {
        let Some(jobs) = self.jobs.all() else {
            return;
        };
        let mut removals = plan(&jobs, &self.policy.current(), self.grace, Timestamp::now());
        told.retain(|uid, _| removals.iter().any(|removal| removal.job.uid == *uid));
        // A webhook may hang in some namespaces. Each costs one try per round, after all others.
        let is_silent = |told: &Told, uid: &str| told.get(uid) == Some(&Tried::Unknown);
        removals.sort_by_key(|removal| is_silent(told, &removal.job.uid));
        let mut silent = HashSet::new();
        for removal in removals {
            if !leads.now() {
                return;
            }
            if silent.contains(&removal.job.namespace) {
                continue;
            }
            let policy = self.policy.current();
            match self.mode(&policy, &removal.job.namespace) {
                TidyMode::Off => {}
                TidyMode::DryRun => {
                    if told.insert(removal.job.uid.clone(), Tried::Told) != Some(Tried::Told) {
                        self.removed(&removal, CleanupResult::DryRun);
                        // The sink counts and reports a lost line.
                        let _ = self.write(&removal, true, None).await;
                    }
                }
                TidyMode::On => {
                    self.remove(&removal, policy.without_record, told).await;
                    if is_silent(told, &removal.job.uid) {
                        silent.insert(removal.job.namespace.clone());
                    }
                }
            }
        }
    }

    /// What is allowed in a namespace, capped by its mode.
    fn mode(&self, policy: &Policy, namespace: &str) -> TidyMode {
        if self.excluded.iter().any(|name| name == namespace) {
            return TidyMode::Off;
        }
        // Without the namespace's labels nothing is deleted there.
        let Some(view) = self.namespaces.view(namespace) else {
            return TidyMode::Off;
        };
        let (mode, _) = crate::core::namespace::mode(view.mode, policy, namespace);
        policy.tidy_up.mode.capped(policy.limit(mode))
    }

    /// Removes one Job, unless that was refused recently.
    async fn remove(&self, removal: &Removal, without_record: WithoutRecord, told: &mut Told) {
        let uid = &removal.job.uid;
        let before = told.get(uid).copied();
        match before {
            Some(Tried::Done) => return,
            Some(Tried::Refused(at)) if at.elapsed() < REFUSED => return,
            // Its line has already been written.
            Some(Tried::Unknown | Tried::Busy) => {}
            _ => {
                let written = self.write(removal, false, None).await;
                if !written && without_record == WithoutRecord::Deny {
                    self.removed(removal, CleanupResult::Failed);
                    return;
                }
            }
        }
        let deleted = self.delete(removal).await;
        let (result, tried, why) = after(&deleted, before, Instant::now());
        self.removed(removal, result);
        told.insert(uid.clone(), tried);
        if let Some(why) = why {
            let _ = self.write(removal, false, Some(&why)).await;
        }
        time::sleep(PAUSE).await;
    }

    async fn delete(&self, removal: &Removal) -> Result<(), ApiError> {
        let job = &removal.job;
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: Some(job.uid.clone()),
            resource_version: Some(job.resource_version.clone()),
        });
        let api: Api<PartialObjectMeta<Job>> = Api::namespaced(self.client.clone(), &job.namespace);
        let deleted = ask("delete jobs", api.delete(&job.name, &params)).await;
        if let Err(error) = &deleted
            && ![404, 409].contains(&error.code())
        {
            let (namespace, name) = (&job.namespace, &job.name);
            tracing::warn!(%error, %namespace, job = %name, "failed to delete a finished Job, retrying");
        }
        deleted.map(drop)
    }

    fn removed(&self, removal: &Removal, result: CleanupResult) {
        self.metrics.removed(removal.reason, result);
    }

    /// Logs a removal, and returns whether that succeeded.
    async fn write(&self, removal: &Removal, dry_run: bool, stays: Option<&str>) -> bool {
        let (job, now) = (&removal.job, Timestamp::now());
        let line = RemovalLine {
            ts: now,
            id: Uuid::now_v7(),
            namespace: &job.namespace,
            job: &job.name,
            job_uid: &job.uid,
            release: job.release(),
            reason: removal.reason.into(),
            dry_run,
            stays,
            replica: &self.replica,
        };
        match line.to_line() {
            // The sink counts and reports a lost line.
            Ok(line) => self.sink.write(line, Instant::now() + LIMIT).await.is_ok(),
            Err(error) => {
                tracing::error!(%error, "failed to log a removal");
                false
            }
        }
    }
}

/// Resolves when a Job has finished, or may have.
async fn finished(news: &mut broadcast::Receiver<News>) {
    while matches!(jobs::next(news).await, News::Changed(_) | News::Deleted(_)) {}
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::cluster::api::failed;

    #[test]
    fn every_answer_decides_what_is_counted_and_tried_next() {
        let now = Instant::now();
        let (refused, no) = (Tried::Refused(now), Some("no"));
        let (gone, changed) = (
            Some("it was already deleted"),
            Some("it has changed, and is checked again"),
        );
        let first = [None, Some(Tried::Told), Some(Tried::Busy)];
        let unknown = [Some(Tried::Unknown); 3];
        for (code, befores, result, tried, why) in [
            (400, first, CleanupResult::Failed, refused, no),
            (403, first, CleanupResult::Failed, refused, no),
            (422, first, CleanupResult::Failed, refused, no),
            (429, first, CleanupResult::Failed, Tried::Busy, None),
            // The previous try may still have deleted it.
            (429, unknown, CleanupResult::Failed, Tried::Unknown, None),
            (500, first, CleanupResult::Failed, Tried::Unknown, None),
            (503, first, CleanupResult::Failed, Tried::Unknown, None),
            (504, first, CleanupResult::Failed, Tried::Unknown, None),
            (404, first, CleanupResult::Changed, Tried::Done, gone),
            (404, unknown, CleanupResult::Deleted, Tried::Done, None),
            (409, first, CleanupResult::Changed, Tried::Told, changed),
        ] {
            let status = Status::failure("no", "reason").with_code(code);
            let error = failed("delete jobs")(kube::Error::Api(status.boxed()));
            for before in befores {
                let told = after(&Err(error.clone()), before, now);
                let expected = (result, tried, why.map(str::to_owned));
                assert_eq!(told, expected, "{code} {before:?}");
            }
        }
        let late = after(&Err(ApiError::Timeout), None, now);
        assert_eq!(late, (CleanupResult::Failed, Tried::Unknown, None));
    }
}
