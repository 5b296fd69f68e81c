//! Removes finished Jobs that are not needed any more, and logs each one.
//!
//! Only the elected replica does it. [`crate::core::cleanup`] selects the Jobs. Here they are deleted by uid and
//! version, in namespaces where the policy is enforced, and at a limited rate.
//!
//! The line is written before the deletion is sent, so that even a deletion whose answer is lost is logged. If the API
//! server then refuses, a second line says so.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Preconditions};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::{self, Instant, MissedTickBehavior};
use uuid::Uuid;

use super::api::{ApiError, ask};
use super::jobs::{Jobs, News};
use super::namespaces::Namespaces;
use super::patient::is_passing;
use crate::core::cleanup::{Removal, plan};
use crate::core::decision::removal::RemovalLine;
use crate::core::policy::tidy_up::TidyMode;
use crate::core::policy::{OnFailure, Policy};
use crate::host::decision_log::{LIMIT, Sink};
use crate::host::metrics::Metrics;
use crate::host::metrics::controller::CleanupResult;
use crate::host::policy_watch::LivePolicy;

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

/// The result of the last try.
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

/// The API server's answer.
enum Deletion {
    Done,
    Gone,
    /// The Job has changed since the decision.
    Changed,
    Refused(String),
    /// Nothing was done, and the same request may succeed soon.
    Busy,
    /// There was no answer, or an error that leaves the result open.
    Unknown,
}

impl Deletion {
    fn failed(error: ApiError) -> Self {
        match error {
            // After a code of 500 or more the write may still take effect.
            ApiError::Refused { status, .. } if status.code >= 500 => Self::Unknown,
            ApiError::Refused { status, .. } if is_passing(status.code) => Self::Busy,
            ApiError::Refused { status, .. } => Self::Refused(status.message),
            _ => Self::Unknown,
        }
    }

    /// The result to count, the state for the next try, and the reason to log if the Job stays although its line
    /// announced the removal.
    fn after(self, before: Option<Tried>, now: Instant) -> (CleanupResult, Tried, Option<String>) {
        match self {
            Self::Done => (CleanupResult::Deleted, Tried::Done, None),
            // The try whose answer was lost has deleted it.
            Self::Gone if before == Some(Tried::Unknown) => {
                (CleanupResult::Deleted, Tried::Done, None)
            }
            Self::Gone => {
                let why = "it was already deleted".to_owned();
                (CleanupResult::Changed, Tried::Done, Some(why))
            }
            Self::Changed => {
                let why = "it has changed, and is checked again".to_owned();
                (CleanupResult::Changed, Tried::Told, Some(why))
            }
            Self::Refused(why) => (CleanupResult::Failed, Tried::Refused(now), Some(why)),
            Self::Busy if before != Some(Tried::Unknown) => {
                (CleanupResult::Failed, Tried::Busy, None)
            }
            Self::Busy | Self::Unknown => (CleanupResult::Failed, Tried::Unknown, None),
        }
    }
}

/// The parts that tidy-up needs.
pub struct Cleanup {
    /// The client that deletes.
    pub client: Client,
    /// The cache of migration Jobs.
    pub jobs: Jobs,
    /// The labels of namespaces.
    pub namespaces: Namespaces,
    /// Namespaces whose Jobs are never removed.
    pub excluded: Vec<String>,
    /// The policy in use.
    pub policy: LivePolicy,
    /// The decision log, for each deletion.
    pub sink: Arc<Sink>,
    pub metrics: Arc<Metrics>,
    /// Name of this replica.
    pub replica: String,
    /// How long a finished Job is left alone: [`crate::core::cleanup::GRACE`], except in tests.
    pub grace: SignedDuration,
}

impl Cleanup {
    /// Tidies up while `leads` is true, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        let mut news = self.jobs.subscribe();
        let mut ticks = time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Told::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = finished(&mut news) => time::sleep(SETTLE).await,
                changed = leads.changed() => if changed.is_err() { std::future::pending().await },
            }
            if *leads.borrow() {
                self.round(&leads, &mut told).await;
            } else {
                told.clear();
            }
        }
    }

    async fn round(&self, leads: &watch::Receiver<bool>, told: &mut Told) {
        let Some(jobs) = self.jobs.all() else {
            return;
        };
        let keep = self.policy.current().tidy_up.keep_failed;
        let mut removals = plan(&jobs, keep, self.grace, Timestamp::now());
        told.retain(|uid, _| removals.iter().any(|removal| removal.job.uid == *uid));
        // A webhook may hang in some namespaces. Each costs one try per round, after all others.
        let is_silent = |told: &Told, uid: &str| told.get(uid) == Some(&Tried::Unknown);
        removals.sort_by_key(|removal| is_silent(told, &removal.job.uid));
        let mut silent = HashSet::new();
        for removal in removals {
            if !*leads.borrow() {
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
                    self.remove(&removal, policy.on_record_failure, told).await;
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
        policy.tidy_up.mode.capped(mode)
    }

    /// Removes one Job, unless that was refused recently.
    async fn remove(&self, removal: &Removal, on_failure: OnFailure, told: &mut Told) {
        let uid = &removal.job.uid;
        let before = told.get(uid).copied();
        match before {
            Some(Tried::Done) => return,
            Some(Tried::Refused(at)) if at.elapsed() < REFUSED => return,
            // Its line has already been written.
            Some(Tried::Unknown | Tried::Busy) => {}
            _ => {
                let written = self.write(removal, false, None).await;
                if !written && on_failure == OnFailure::Deny {
                    self.removed(removal, CleanupResult::Failed);
                    return;
                }
            }
        }
        let deletion = self.delete(removal).await;
        let (result, tried, why) = deletion.after(before, Instant::now());
        self.removed(removal, result);
        told.insert(uid.clone(), tried);
        if let Some(why) = why {
            let _ = self.write(removal, false, Some(&why)).await;
        }
        time::sleep(PAUSE).await;
    }

    async fn delete(&self, removal: &Removal) -> Deletion {
        let job = &removal.job;
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: Some(job.uid.clone()),
            resource_version: Some(job.resource_version.clone()),
        });
        let api: Api<PartialObjectMeta<Job>> = Api::namespaced(self.client.clone(), &job.namespace);
        let error = match ask("delete jobs", api.delete(&job.name, &params)).await {
            Ok(_) => return Deletion::Done,
            Err(error) if error.code() == 404 => return Deletion::Gone,
            Err(error) if error.code() == 409 => return Deletion::Changed,
            Err(error) => error,
        };
        let (namespace, name) = (&job.namespace, &job.name);
        tracing::warn!(%error, %namespace, job = %name, "failed to delete a finished Job, retrying");
        Deletion::failed(error)
    }

    fn removed(&self, removal: &Removal, result: CleanupResult) {
        self.metrics.controller.removed(removal.reason, result);
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
    loop {
        match news.recv().await {
            Ok(News::Changed(_) | News::Deleted(_)) => {}
            Ok(News::Listed | News::Finished(_)) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::api::failed;

    fn answered(code: u16) -> Deletion {
        let status = kube::core::Status::failure("no", "reason").with_code(code);
        Deletion::failed(failed("delete jobs")(kube::Error::Api(status.boxed())))
    }

    #[test]
    fn what_passes_is_tried_again_and_what_is_refused_is_left_alone() {
        let now = Instant::now();
        let after = |code, before| {
            let (result, tried, why) = answered(code).after(before, now);
            assert_eq!(result, CleanupResult::Failed);
            // The line with the reason is written only once the answer is certain.
            assert_eq!(why.is_some(), tried == Tried::Refused(now), "{code}");
            tried
        };
        for code in [400, 403, 422] {
            assert_eq!(after(code, None), Tried::Refused(now), "{code}");
        }
        assert_eq!(after(429, None), Tried::Busy);
        assert_eq!(after(429, Some(Tried::Busy)), Tried::Busy);
        for code in [500, 503, 504] {
            assert_eq!(after(code, None), Tried::Unknown, "{code}");
        }
        // The previous try may still have deleted it.
        assert_eq!(after(429, Some(Tried::Unknown)), Tried::Unknown);
    }

    #[test]
    fn who_has_deleted_it_is_known_as_far_as_it_can_be() {
        let gone = |before| Deletion::Gone.after(before, Instant::now());
        assert_eq!(gone(Some(Tried::Unknown)).0, CleanupResult::Deleted);
        for before in [None, Some(Tried::Told), Some(Tried::Busy)] {
            let (result, _, why) = gone(before);
            assert_eq!((result, why.is_some()), (CleanupResult::Changed, true));
        }
    }
}
