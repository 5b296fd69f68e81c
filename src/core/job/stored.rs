//! A migration Job of the cluster, as far as it is kept in memory.
//!
//! A cluster may have ten thousand, so only the fields that are read elsewhere are kept. Nothing is decided here.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::core::job::annotation::Annotation;
use crate::core::job::name::cut;
use crate::core::job::release::{self, Source};
use crate::core::job::running::Said;
use crate::core::job::{Job, MIGRATION_LABEL, dns, hooks};

/// Most bytes of a name that is kept: those of a Kubernetes name. A release or an owner may be named by a longer text.
const MAX_NAME: usize = 253;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
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
pub(crate) struct StoredJob {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub(crate) resource_version: String,
    /// The base name: the name without its timestamp, or that of the Job's CronJob. Attempts of one migration share it,
    /// the namespace and the release.
    pub base: String,
    pub release: String,
    pub(crate) release_source: Source,
    pub created: Timestamp,
    /// When its controller started it; `None` while it is suspended.
    pub started: Option<Timestamp>,
    pub deadline: Option<i64>,
    pub said: Said,
    /// One of its pods has ended, so it has started whatever the others show.
    pub(crate) has_tried: bool,
    pub end: Option<End>,
    pub(crate) is_deleting: bool,
    /// Whether Argo CD's finalizer still holds it.
    pub is_held: bool,
    pub(crate) is_opted_out: bool,
    /// The name under which it was adopted; `None` for a labelled one.
    pub(crate) adopted: Option<String>,
    /// Whether its name carries a timestamp, so that each attempt has another name.
    pub(crate) is_timestamped: bool,
    /// Whether it is a hook that the deployer deletes before it creates the next one.
    pub(crate) deletes_before_creation: bool,
    /// Whether it is a hook that must be deleted after it succeeds, but not by its deployer, which does not know that
    /// its delete policy or its name was patched here.
    pub(crate) deletes_succeeded: bool,
}

impl StoredJob {
    pub(crate) fn release(&self) -> release::Release<'_> {
        release::Release {
            namespace: &self.namespace,
            name: Cow::Borrowed(&self.release),
            source: self.release_source,
        }
    }
}

impl From<&Job<'_>> for StoredJob {
    fn from(job: &Job<'_>) -> Self {
        let metadata = job.metadata;
        let annotation = |key| job.annotations.get(key);
        let runs_hooks = job.deployer.runs_hooks();
        let is_hook = |key| runs_hooks && annotation(key).is_some();
        let (helm, argocd) = (is_hook(Annotation::Hook), is_hook(Annotation::ArgoCdHook));
        let policy = annotation(Annotation::DeletePolicy);
        let argocd_policy = annotation(Annotation::ArgoCdDeletePolicy);
        let patched = annotation(Annotation::Patched)
            .is_some_and(|ids| ids.split(',').any(|id| ["MW001", "MW003"].contains(&id)));
        let (release, release_source) = release::find(job);
        let tried = [job.status.succeeded, job.status.failed];
        Self {
            namespace: job.namespace.to_owned(),
            name: job.name.full().to_owned(),
            uid: metadata.uid.to_string(),
            resource_version: metadata.resource_version.to_string(),
            base: cut(job.name.base(), MAX_NAME).to_owned(),
            release: cut(release, MAX_NAME).to_owned(),
            release_source,
            created: job.created.unwrap_or(Timestamp::MAX),
            started: time(job.status.start_time.as_deref()),
            deadline: job.spec.active_deadline_seconds,
            said: job.said(),
            has_tried: tried.iter().flatten().any(|pods| *pods > 0),
            end: End::of(job),
            is_deleting: job.is_terminating(),
            is_held: metadata.is_held,
            is_opted_out: metadata.labels.get(MIGRATION_LABEL) == Some("false"),
            adopted: job
                .adopted_as()
                .map(|name| cut(name, dns::MAX_LABEL).to_owned()),
            is_timestamped: job.name.stamp().is_some(),
            deletes_before_creation: helm && hooks::deletes_before_creation(policy)
                || argocd && hooks::argocd_deletes_before_creation(argocd_policy),
            deletes_succeeded: patched
                && (helm && hooks::deletes_succeeded(policy)
                    || argocd && hooks::argocd_has(argocd_policy, "HookSucceeded")),
        }
    }
}

impl End {
    /// The API server always sets a time. A Job without one counts as not ended, so that it is left alone.
    fn of(job: &Job<'_>) -> Option<Self> {
        let (condition, succeeded) = job.ending()?;
        let at = time(Some(&condition.last_transition_time))?;
        Some(Self { at, succeeded })
    }
}

fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests;
