//! Removes the finished Jobs that nobody needs, and writes down each one.
//!
//! The elected replica does it. Which ones is [`crate::core::cleanup`]'s; here they are deleted by uid and version, in
//! the namespaces that the policy is enforced in, and not faster than the apiserver should have to bear.
//!
//! The line is written before the deletion is asked for: one whose answer never came, because the apiserver
//! was slow or this replica crashed, has it all the same. What then stays, because the apiserver refused,
//! gets a second one that says so.

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

use super::TIMEOUT;
use super::jobs::{Jobs, News};
use super::namespaces::Namespaces;
use super::patient::is_passing;
use crate::core::cleanup::{Removal, plan};
use crate::core::decision::tidy_up::TidyUp;
use crate::core::policy::tidy_up::TidyMode;
use crate::core::policy::{OnFailure, Policy};
use crate::host::decision_log::{LIMIT, Sink};
use crate::host::metrics::Metrics;
use crate::host::metrics::controller::Tidied;
use crate::host::policy_watch::LivePolicy;

/// How often the plan is made when nothing happens: Jobs come of age without news.
const PERIOD: Duration = Duration::from_secs(60);
/// News come in swarms.
const SETTLE: Duration = Duration::from_secs(1);
/// Between two deletions.
const PAUSE: Duration = Duration::from_millis(100);
/// After the apiserver has refused to delete a Job, until it is asked again.
const REFUSED: Duration = Duration::from_secs(600);

/// What was written of the Jobs that are still to be removed, by uid.
type Told = HashMap<String, Tried>;

/// What came of the last try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// It was told that it would be removed, or stays for now: the next try is a first one.
    Told,
    /// It was asked for, and it is not known what came of that.
    Unknown,
    /// It was asked for, and the apiserver was busy.
    Busy,
    /// It was deleted, which the watch has still to bring.
    Done,
    /// The apiserver refused.
    Refused(Instant),
}

/// What the apiserver said.
enum Deletion {
    Done,
    Gone,
    /// It is no longer what it was when that was decided.
    Changed,
    Refused(String),
    /// Nothing was done, and the same request may have another answer in a moment.
    Busy,
    /// It did not say, or that something went wrong on its way.
    Unknown,
}

impl Deletion {
    fn failed(error: kube::Error) -> Self {
        match error {
            // 500 and more is also what a write is answered with that may still be done.
            kube::Error::Api(status) if status.code >= 500 => Self::Unknown,
            kube::Error::Api(status) if is_passing(status.code) => Self::Busy,
            kube::Error::Api(status) => Self::Refused(status.message),
            _ => Self::Unknown,
        }
    }

    /// What is counted of it, what is remembered for the next try, and why the Job stays where its line says that it
    /// goes.
    fn after(self, before: Option<Tried>, now: Instant) -> (Tidied, Tried, Option<String>) {
        match self {
            Self::Done => (Tidied::Deleted, Tried::Done, None),
            // By the try whose answer never came.
            Self::Gone if before == Some(Tried::Unknown) => (Tidied::Deleted, Tried::Done, None),
            Self::Gone => {
                let why = "it was gone already".to_owned();
                (Tidied::Changed, Tried::Done, Some(why))
            }
            Self::Changed => {
                let why = "it has been changed, and is looked at again".to_owned();
                (Tidied::Changed, Tried::Told, Some(why))
            }
            Self::Refused(why) => (Tidied::Failed, Tried::Refused(now), Some(why)),
            Self::Busy if before != Some(Tried::Unknown) => (Tidied::Failed, Tried::Busy, None),
            Self::Busy | Self::Unknown => (Tidied::Failed, Tried::Unknown, None),
        }
    }
}

/// What it takes to tidy up.
pub struct Tidy {
    /// To delete with.
    pub client: Client,
    /// What there is.
    pub jobs: Jobs,
    /// What namespaces say of themselves.
    pub namespaces: Namespaces,
    /// Namespaces whose Jobs are none of ours.
    pub excluded: Vec<String>,
    /// What to do.
    pub policy: LivePolicy,
    /// Where each deletion is written down.
    pub sink: Arc<Sink>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Name of this replica.
    pub replica: String,
    /// How long a finished Job is left alone: [`crate::core::cleanup::GRACE`] but in tests.
    pub grace: SignedDuration,
}

impl Tidy {
    /// Tidies up while `leads` says so, for as long as it is awaited.
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
        // A webhook may hang in some namespaces: each costs one try, and the others go first.
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
                        self.tidied(&removal, Tidied::DryRun);
                        // One that is lost is counted and told by the sink.
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

    /// What may be done in a namespace: its mode is a cap on all that is done there.
    fn mode(&self, policy: &Policy, namespace: &str) -> TidyMode {
        if self.excluded.iter().any(|name| name == namespace) {
            return TidyMode::Off;
        }
        // Who writes on his own account had better know where.
        let Some(view) = self.namespaces.view(namespace) else {
            return TidyMode::Off;
        };
        let (mode, _) = crate::core::namespace::mode(view.mode, policy, namespace);
        policy.tidy_up.mode.capped(mode)
    }

    /// Removes one, unless that was refused a moment ago.
    async fn remove(&self, removal: &Removal, on_failure: OnFailure, told: &mut Told) {
        let uid = &removal.job.uid;
        let before = told.get(uid).copied();
        match before {
            Some(Tried::Done) => return,
            Some(Tried::Refused(at)) if at.elapsed() < REFUSED => return,
            // The line is there already.
            Some(Tried::Unknown | Tried::Busy) => {}
            _ => {
                let written = self.write(removal, false, None).await;
                if !written && on_failure == OnFailure::Deny {
                    self.tidied(removal, Tidied::Failed);
                    return;
                }
            }
        }
        let deletion = self.delete(removal).await;
        let (result, tried, why) = deletion.after(before, Instant::now());
        self.tidied(removal, result);
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
        let error = match time::timeout(TIMEOUT, api.delete(&job.name, &params)).await {
            Ok(Ok(_)) => return Deletion::Done,
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Deletion::Gone,
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => return Deletion::Changed,
            Ok(Err(error)) => error,
            Err(_) => {
                let late = "the API server did not answer in time";
                kube::Error::Service(late.into())
            }
        };
        let (namespace, name) = (&job.namespace, &job.name);
        tracing::warn!(%error, %namespace, job = %name, "failed to delete a finished Job, trying again");
        Deletion::failed(error)
    }

    fn tidied(&self, removal: &Removal, result: Tidied) {
        self.metrics.controller.tidied(removal.reason, result);
    }

    /// Writes a removal down, and says whether that could be done.
    async fn write(&self, removal: &Removal, dry_run: bool, stays: Option<&str>) -> bool {
        let (job, now) = (&removal.job, Timestamp::now());
        let line = TidyUp {
            ts: now,
            id: Uuid::now_v7(),
            namespace: &job.namespace,
            job: &job.name,
            job_uid: &job.uid,
            release: job.release(),
            reason: removal.reason.as_str(),
            dry_run,
            stays,
            replica: &self.replica,
        };
        match line.to_line() {
            // A line that is lost is counted and told by the sink.
            Ok(line) => self.sink.write(line, Instant::now() + LIMIT).await.is_ok(),
            Err(error) => {
                tracing::error!(%error, "failed to write down a removal");
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

    fn answered(code: u16) -> Deletion {
        let status = kube::core::Status::failure("no", "reason").with_code(code);
        Deletion::failed(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn what_passes_is_tried_again_and_what_is_refused_is_left_alone() {
        let now = Instant::now();
        let after = |code, before| {
            let (result, tried, why) = answered(code).after(before, now);
            assert_eq!(result, Tidied::Failed);
            // A line that says why is written once the answer is certain.
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
        // The try before may have done it all the same.
        assert_eq!(after(429, Some(Tried::Unknown)), Tried::Unknown);
    }

    #[test]
    fn who_has_deleted_it_is_known_as_far_as_it_can_be() {
        let gone = |before| Deletion::Gone.after(before, Instant::now());
        assert_eq!(gone(Some(Tried::Unknown)).0, Tidied::Deleted);
        for before in [None, Some(Tried::Told), Some(Tried::Busy)] {
            let (result, _, why) = gone(before);
            assert_eq!((result, why.is_some()), (Tidied::Changed, true));
        }
    }
}
