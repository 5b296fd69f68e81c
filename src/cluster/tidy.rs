//! Removes the finished Jobs that nobody needs, and writes down each one.
//!
//! The elected replica does it. Which ones is [`crate::tidy`]'s; here they are deleted by uid and version, in
//! the namespaces that the policy is enforced in, and not faster than the apiserver should have to bear.
//!
//! The line is written before the deletion is asked for: one whose answer never came, because the apiserver
//! was slow or this replica crashed, has it all the same. What then stays, because the apiserver refused,
//! gets a second one that says so.

use std::collections::HashMap;
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
use crate::config::reload::LivePolicy;
use crate::metrics::Metrics;
use crate::metrics::controller::Tidied;
use crate::policy::tidy_up::TidyMode;
use crate::policy::{OnFailure, Policy};
use crate::record::id;
use crate::record::sink::{LIMIT, Sink};
use crate::record::tidy_up::TidyUp;
use crate::tidy::{Removal, plan};

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
    /// It did not say, or that something went wrong on its way.
    Unknown,
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
    /// How long a finished Job is left alone: [`crate::tidy::GRACE`] but in tests.
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
        let removals = plan(&jobs, keep, self.grace, Timestamp::now());
        told.retain(|uid, _| removals.iter().any(|removal| removal.job.uid == *uid));
        for removal in removals {
            if !*leads.borrow() {
                return;
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
        let (mode, _) = crate::admit::mode(view.mode, policy, namespace);
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
            Some(Tried::Unknown) => {}
            _ => {
                let written = self.write(removal, false, None).await;
                if !written && on_failure == OnFailure::Deny {
                    self.tidied(removal, Tidied::Failed);
                    return;
                }
            }
        }
        let (result, tried, why) = match self.delete(removal).await {
            Deletion::Done => (Tidied::Deleted, Tried::Done, None),
            // By the try whose answer never came.
            Deletion::Gone if before == Some(Tried::Unknown) => {
                (Tidied::Deleted, Tried::Done, None)
            }
            Deletion::Gone => {
                let why = "it was gone already".to_owned();
                (Tidied::Changed, Tried::Done, Some(why))
            }
            Deletion::Changed => {
                let why = "it has been changed, and is looked at again".to_owned();
                (Tidied::Changed, Tried::Told, Some(why))
            }
            Deletion::Refused(why) => {
                let at = Instant::now();
                (Tidied::Failed, Tried::Refused(at), Some(why))
            }
            Deletion::Unknown => (Tidied::Failed, Tried::Unknown, None),
        };
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
        // 500 and more is also what a write is answered with that may still be done.
        match error {
            kube::Error::Api(status) if status.code < 500 => Deletion::Refused(status.message),
            _ => Deletion::Unknown,
        }
    }

    fn tidied(&self, removal: &Removal, result: Tidied) {
        self.metrics.controller.tidied(removal.reason, result);
    }

    /// Writes a removal down, and says whether that could be done.
    async fn write(&self, removal: &Removal, dry_run: bool, stays: Option<&str>) -> bool {
        let (job, now) = (&removal.job, Timestamp::now());
        let line = TidyUp {
            ts: now,
            id: id::next(now),
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
