//! Labels the Jobs that already run when the policy begins to adopt them.
//!
//! `/mutate` labels a Job when it is created. What was created under an earlier policy, or by an earlier version, has no
//! label, so only the elected replica finds it: it lists all Jobs after each change of the policy and after each
//! election. [`record`] has where it records that this is done.

pub(crate) mod record;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Map, Value, json};
use tokio::time::{self, Instant};

use self::record::Record;
use super::api::list::List;
use super::api::{ApiError, CompareAndSwap, TIMEOUT, ask, in_time, unless_changed_or_gone};
use super::leader::Leads;
use super::namespaces::Namespaces;
use crate::core::job::object::Object;
use crate::core::job::stamp::STAMPS;
use crate::core::job::{ADOPTED_LABEL, ADOPTING_MANAGER, Job, Kind};
use crate::core::json;
use crate::core::policy::{Mode, Policy};
use crate::host::metrics::{Counters, Registry};
use crate::host::policy_watch::LivePolicy;

/// Jobs per page of a LIST, if they are not too large.
const PAGE: u32 = 100;
/// Pause between two patches.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the policy is compared with the one in use.
const PERIOD: Duration = Duration::from_secs(1);
/// Pause after the first round that failed, and the longest one.
const RETRY: Duration = Duration::from_secs(5);
const MAX_RETRY: Duration = Duration::from_secs(600);
/// Pause between two rounds once all Jobs have their label.
const REPEAT: Duration = Duration::from_secs(600);
/// How long other replicas may still admit Jobs under the previous policy: a ConfigMap takes a minute to arrive.
pub const SETTLE: Duration = Duration::from_secs(120);

pub(crate) fn metric(registry: &mut Registry) -> Counters {
    registry.results(
        "adoptions",
        "Jobs that already ran when the policy began to adopt them, by the result of labelling them",
    )
}

/// Labels the active Jobs that the policy in use adopts.
pub(crate) struct Adoption {
    pub(crate) client: Client,
    pub(crate) namespaces: Namespaces,
    /// Namespaces whose Jobs are never labelled.
    pub(crate) excluded: Vec<String>,
    pub(crate) policy: LivePolicy,
    pub(crate) record: Record,
    pub(crate) labelled: Counters,
    /// [`SETTLE`], except in tests.
    pub(crate) settle: Duration,
}

/// An active Job that the policy adopts, and that has no label yet.
#[derive(Debug)]
struct Unlabelled {
    namespace: String,
    name: String,
    uid: String,
    resource_version: String,
    adopter: String,
}

impl Adoption {
    /// Labels Jobs while `leads` is true, for as long as it is awaited.
    pub(crate) async fn run(self, mut leads: Leads) {
        loop {
            while !leads.now() {
                leads.changed().await;
            }
            let policy = self.policy.current();
            tokio::select! {
                () = self.adopt(&policy) => {}
                () = self.replaced(&policy) => {}
                () = leads.changed() => {}
            }
        }
    }

    /// Resolves when another policy is in use.
    async fn replaced(&self, policy: &Arc<Policy>) {
        while Arc::ptr_eq(policy, &self.policy.current()) {
            time::sleep(PERIOD).await;
        }
    }

    /// Labels the Jobs, records that, and then looks now and then for those that were admitted while no replica answered.
    async fn adopt(&self, policy: &Policy) {
        self.until_done("record", || self.record.set(None)).await;
        self.until_done("label", || self.round(policy)).await;
        time::sleep(self.settle).await;
        self.until_done("label", || self.round(policy)).await;
        self.until_done("record", || self.record.set(Some(policy)))
            .await;
        loop {
            time::sleep(REPEAT).await;
            self.until_done("label", || self.round(policy)).await;
        }
    }

    async fn until_done<F>(&self, what: &str, attempt: impl Fn() -> F)
    where
        F: Future<Output = Result<(), ApiError>>,
    {
        let mut pause = RETRY;
        while let Err(error) = attempt().await {
            tracing::warn!(%error, "failed to {what} the Jobs that the policy adopts, retrying in {pause:?}");
            time::sleep(pause).await;
            pause = MAX_RETRY.min(2 * pause);
        }
    }

    /// Labels all Jobs that lack a label. Fails with the last error, after all Jobs were tried.
    async fn round(&self, policy: &Policy) -> Result<(), ApiError> {
        let params = ListParams::default().limit(PAGE);
        let mut list = List::of::<v1::Job>(&self.client, None, params);
        let mut result = Ok(());
        while let Some(page) = list.next_of_report().await? {
            let jobs = json::sample(|| list.read(&page))?;
            for job in unlabelled(jobs, policy) {
                match self.label(job, policy).await {
                    Ok(is_changed) => {
                        if is_changed {
                            self.labelled.inc_result(true);
                        }
                    }
                    Err(error) => {
                        self.labelled.inc_result(false);
                        result = Err(error);
                    }
                }
            }
        }
        result
    }

    /// Labels one Job, unless it has ended or changed so that it is not adopted any more.
    async fn label(&self, mut job: Unlabelled, policy: &Policy) -> Result<bool, ApiError> {
        if !self.reviews(&job.namespace, policy).await? {
            return Ok(false);
        }
        let mut swap = CompareAndSwap::default();
        loop {
            swap.begin("patch jobs")?;
            let patched = self.patch(&job).await;
            time::sleep(PAUSE).await;
            let patched = unless_changed_or_gone(patched)?;
            if patched.is_some() {
                let Unlabelled {
                    namespace,
                    name,
                    adopter,
                    ..
                } = &job;
                tracing::info!(%namespace, job = %name, adopted = %adopter, "adopted a Job that already runs");
                return Ok(true);
            }
            match self.again(&job, policy).await? {
                Some(changed) => job = changed,
                None => return Ok(false),
            }
        }
    }

    /// Whether Jobs of this namespace are reviewed when they are created, and so labelled.
    async fn reviews(&self, namespace: &str, policy: &Policy) -> Result<bool, ApiError> {
        if self.excluded.iter().any(|name| name == namespace) {
            return Ok(false);
        }
        let view = if let Some(view) = self.namespaces.view(namespace) {
            Some(view)
        } else {
            let deadline = Instant::now() + TIMEOUT;
            let found = self.namespaces.ask(namespace, deadline).await;
            found.map_err(|why| ApiError::Unanswered {
                doing: format!("get namespace {namespace}"),
                why,
            })?
        };
        let mode = view.map(|view| crate::core::namespace::mode(view.mode, policy, namespace).0);
        Ok(mode.is_some_and(|mode| mode != Mode::Off))
    }

    async fn patch(&self, job: &Unlabelled) -> Result<(), ApiError> {
        let api: Api<v1::Job> = Api::namespaced(self.client.clone(), &job.namespace);
        let params = PatchParams {
            field_manager: Some(ADOPTING_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch(job));
        ask("patch jobs", api.patch_metadata(&job.name, &params, &patch))
            .await
            .map(drop)
    }

    /// The Job as it is now, if it still has to be labelled.
    async fn again(
        &self,
        job: &Unlabelled,
        policy: &Policy,
    ) -> Result<Option<Unlabelled>, ApiError> {
        let params = ListParams::default().fields(&format!("metadata.name={}", job.name));
        let mut list = List::of::<v1::Job>(&self.client, Some(&job.namespace), params);
        let Some(page) = in_time(list.next()).await? else {
            return Ok(None);
        };
        let jobs = json::sample(|| list.read(&page))?;
        Ok(unlabelled(jobs, policy).pop())
    }
}

/// The merge patch that labels the Job. It does nothing if the Job has changed. Not a JSON Patch: the Job may have no
/// labels at all. It removes stamps, which mean nothing on a Job that was not a migration Job: the rule `forged-stamp`
/// would refuse them.
fn patch(job: &Unlabelled) -> Value {
    let stamps: Map<_, _> = STAMPS
        .into_iter()
        .map(|stamp| (stamp.key().to_owned(), Value::Null))
        .collect();
    json!({"metadata": {
        "uid": job.uid,
        "resourceVersion": job.resource_version,
        "labels": {ADOPTED_LABEL: job.adopter},
        "annotations": stamps,
    }})
}

/// Those of these Jobs that are active, that the policy adopts, and that have no label.
fn unlabelled(page: Vec<Object<'_>>, policy: &Policy) -> Vec<Unlabelled> {
    let mut found = Vec::new();
    for object in page {
        let job = Job::new(&object, Kind::Job, "");
        if job.is_finished() || job.is_terminating() || job.adopted_as().is_some() {
            continue;
        }
        if let Some(adopter) = policy.adopter(policy.select_running(&job)) {
            found.push(Unlabelled {
                namespace: job.namespace.to_owned(),
                name: job.name.full().to_owned(),
                uid: object.metadata.uid.to_string(),
                resource_version: object.metadata.resource_version.to_string(),
                adopter: adopter.to_owned(),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests;
