//! A migration Job of the cluster, as far as it is kept in memory.
//!
//! A cluster may have ten thousand, so only the fields that are read elsewhere are kept. Nothing is decided here.

mod watched;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::borrow::Cow;

use crate::core::job::MIGRATION_LABEL;
use crate::core::job::annotation::Annotation;
use crate::core::job::deployer::Deployer;
use crate::core::job::hooks;
use crate::core::job::name::Name;
use crate::core::job::release::{self, FLUX_NAME, INSTANCE, Source};
use crate::core::job::running::Said;

pub(crate) use watched::Metadata;
pub(crate) use watched::WatchedJob;

/// How a Job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub at: Timestamp,
    /// Whether it is complete; otherwise it failed.
    pub succeeded: bool,
}

/// A migration Job of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and none excludes another"
)]
pub struct StoredJob {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The `resourceVersion` of the Job that was read.
    pub resource_version: String,
    /// The base name: the name without its timestamp, or that of the Job's CronJob. Attempts of one migration share it,
    /// the namespace and the release.
    pub base: String,
    /// Name of the release.
    pub release: String,
    /// Where the release's name was found.
    pub release_source: Source,
    /// When the API server created it.
    pub created: Timestamp,
    /// When its controller started it; `None` while it is suspended.
    pub started: Option<Timestamp>,
    /// `activeDeadlineSeconds` of the Job.
    pub deadline: Option<i64>,
    /// Whether it is running, as far as its own status shows it.
    pub said: Said,
    /// One of its pods has ended, so it has started whatever the others show.
    pub has_tried: bool,
    /// How it ended; `None` while it may still be running.
    pub end: Option<End>,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// Whether Argo CD's finalizer still holds it.
    pub is_held: bool,
    /// Whether its label opts it out.
    pub is_opted_out: bool,
    /// Whether it is a hook that the deployer deletes before it creates the next one.
    pub deletes_before_creation: bool,
    /// Whether it is a hook that must be deleted after it succeeds, but not by its deployer, which does not know that
    /// its delete policy or its name was patched here.
    pub deletes_succeeded: bool,
}

impl StoredJob {
    /// The release it belongs to.
    #[must_use]
    pub fn release(&self) -> release::Release<'_> {
        release::Release {
            namespace: &self.namespace,
            name: Cow::Borrowed(&self.release),
            source: self.release_source,
        }
    }
}

impl From<WatchedJob> for StoredJob {
    fn from(job: WatchedJob) -> Self {
        let end = job.status.end();
        let started = job.status.start_time.as_ref().map(|Time(at)| *at);
        let said = job.status.said(job.spec.managed_by.as_deref());
        let has_tried = job.status.has_tried();
        let deadline = job.spec.active_deadline_seconds;
        let template = job.spec.template.metadata.labels;
        let meta = job.metadata;
        let label = |key: &'static str| meta.labels.get(key);
        let annotation = |key: Annotation| meta.annotations.get(key);
        let deployer = Deployer::of(
            |key| meta.labels.has(key),
            |key| annotation(key).is_some(),
            meta.managed_fields.managers(),
        );
        let base = Name::new(&meta.name, &meta.generate_name)
            .owned_by(meta.cron_job.as_deref())
            .of_argocd_hook(deployer.is_argocd_hook(|key| annotation(key).is_some()))
            .base()
            .to_owned();
        let (release, release_source) = release::choose(
            [label(INSTANCE), template.get(INSTANCE)],
            label(FLUX_NAME),
            annotation(Annotation::ArgoCdTrackingId),
            &base,
        );
        let runs_hooks = deployer.runs_hooks();
        let helm = runs_hooks && annotation(Annotation::Hook).is_some();
        let argocd = runs_hooks && annotation(Annotation::ArgoCdHook).is_some();
        let policy = annotation(Annotation::DeletePolicy);
        let argocd_policy = annotation(Annotation::ArgoCdDeletePolicy);
        let patched = annotation(Annotation::Patched)
            .is_some_and(|ids| ids.split(',').any(|id| ["MW001", "MW003"].contains(&id)));
        let deletes_before_creation = helm && hooks::deletes_before_creation(policy)
            || argocd && hooks::argocd_deletes_before_creation(argocd_policy);
        let deletes_succeeded = patched
            && (helm && hooks::deletes_succeeded(policy)
                || argocd && hooks::argocd_has(argocd_policy, "HookSucceeded"));
        Self {
            release: release.to_owned(),
            release_source,
            base,
            is_opted_out: label(MIGRATION_LABEL) == Some("false"),
            namespace: meta.namespace,
            name: meta.name,
            uid: meta.uid,
            resource_version: meta.resource_version,
            created: meta
                .creation_timestamp
                .map_or(Timestamp::MAX, |Time(at)| at),
            started,
            deadline,
            said,
            has_tried,
            end,
            is_deleting: meta.deletion_timestamp.is_some(),
            is_held: meta.is_held,
            deletes_before_creation,
            deletes_succeeded,
        }
    }
}

#[cfg(test)]
mod tests;
