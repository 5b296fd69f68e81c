//! Removes the finished Jobs that nobody needs, and writes down each one.
//!
//! The elected replica does it. Which ones is [`crate::tidy`]'s; here they are deleted by uid and version, in
//! the namespaces that the policy is enforced in, and not faster than the apiserver should have to bear.

use std::collections::HashSet;
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
use crate::policy::{Mode, Policy};
use crate::record::sink::{LIMIT, Sink};
use crate::record::tidy_up::TidyUp;
use crate::record::{SCHEMA, id};
use crate::tidy::{Removal, plan};

/// How often the plan is made when nothing happens: Jobs come of age without news.
const PERIOD: Duration = Duration::from_secs(60);
/// News come in swarms.
const SETTLE: Duration = Duration::from_secs(1);
/// Between two deletions.
const PAUSE: Duration = Duration::from_millis(100);

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
        // What a dry run has told, so that it tells it once.
        let mut told = HashSet::new();
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

    async fn round(&self, leads: &watch::Receiver<bool>, told: &mut HashSet<String>) {
        let Some(jobs) = self.jobs.all() else {
            return;
        };
        let keep = self.policy.current().tidy_up.keep_failed;
        let removals = plan(&jobs, keep, self.grace, Timestamp::now());
        told.retain(|uid| removals.iter().any(|removal| removal.job.uid == *uid));
        for removal in removals {
            if !*leads.borrow() {
                return;
            }
            match self.mode(&self.policy.current(), &removal.job.namespace) {
                TidyMode::Off => {}
                TidyMode::DryRun => {
                    if told.insert(removal.job.uid.clone()) {
                        self.settle(&removal, Tidied::DryRun).await;
                    }
                }
                TidyMode::On => {
                    let result = self.delete(&removal).await;
                    self.settle(&removal, result).await;
                    time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// What may be done in a namespace: its mode is a cap on all that is done there.
    fn mode(&self, policy: &Policy, namespace: &str) -> TidyMode {
        if self.excluded.iter().any(|name| name == namespace) || !self.namespaces.knows(namespace) {
            return TidyMode::Off;
        }
        let view = self.namespaces.view(namespace);
        let (mode, _) = crate::admit::mode(view.mode, policy, namespace);
        match (policy.tidy_up.mode, mode) {
            (TidyMode::Off, _) | (_, Mode::Off) => TidyMode::Off,
            (TidyMode::DryRun, _) | (_, Mode::Warn | Mode::Audit) => TidyMode::DryRun,
            (TidyMode::On, Mode::Enforce) => TidyMode::On,
        }
    }

    async fn delete(&self, removal: &Removal) -> Tidied {
        let job = &removal.job;
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: Some(job.uid.clone()),
            resource_version: Some(job.resource_version.clone()),
        });
        let api: Api<PartialObjectMeta<Job>> = Api::namespaced(self.client.clone(), &job.namespace);
        let error = match time::timeout(TIMEOUT, api.delete(&job.name, &params)).await {
            Ok(Ok(_)) => return Tidied::Deleted,
            // Another was faster, or has changed it: the next round will see.
            Ok(Err(kube::Error::Api(status))) if [404, 409].contains(&status.code) => {
                return Tidied::Changed;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the API server did not answer in time".to_owned(),
        };
        let (namespace, name) = (&job.namespace, &job.name);
        tracing::warn!(%error, %namespace, job = %name, "failed to delete a finished Job, trying again");
        Tidied::Failed
    }

    /// Counts a removal, and writes it down where it has happened or would have.
    async fn settle(&self, removal: &Removal, result: Tidied) {
        self.metrics.controller.tidied(removal.reason, result);
        if !matches!(result, Tidied::Deleted | Tidied::DryRun) {
            return;
        }
        let (job, now) = (&removal.job, Timestamp::now());
        let line = TidyUp {
            ts: now,
            kind: "tidy-up",
            schema: SCHEMA,
            id: id::next(now),
            namespace: &job.namespace,
            job: &job.name,
            job_uid: &job.uid,
            release: job.release(),
            reason: removal.reason.as_str(),
            dry_run: result == Tidied::DryRun,
            replica: &self.replica,
        };
        match line.to_line() {
            // A line that is lost is counted and told by the sink.
            Ok(line) => drop(self.sink.write(line, Instant::now() + LIMIT).await),
            Err(error) => tracing::error!(%error, "failed to write down a removal"),
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
