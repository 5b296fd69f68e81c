//! A migration Job as the cluster has it: what is kept of it in memory.
//!
//! A cluster may have ten thousand, so only what somebody asks for is kept. Nothing is decided here.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::Deserialize;
use std::{borrow::Cow, collections::BTreeMap};

use crate::job::MIGRATION_LABEL;
use crate::job::annotation::Annotation;
use crate::job::deployer::Deployer;
use crate::job::hooks;
use crate::job::name::Name;
use crate::job::release::{self, FLUX_NAME, INSTANCE, Source};
use crate::job::running::{Counts, Said};

/// What Argo CD holds a hook by until its sync is over.
const ARGOCD_FINALIZER: &str = "argocd.argoproj.io/hook-finalizer";

/// How a Job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Complete, or else failed.
    pub succeeded: bool,
}

/// A migration Job of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and none excludes another"
)]
pub struct StoredJob {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The version that this is read from.
    pub resource_version: String,
    /// The name without its timestamp, or that of the Job's CronJob: with the namespace and the release, what
    /// attempts of one migration share.
    pub base: String,
    /// Name of the release.
    pub release: String,
    /// Where that was found.
    pub release_source: Source,
    /// When the apiserver made it.
    pub created: Timestamp,
    /// When its controller took it up; nothing while it is suspended.
    pub started: Option<Timestamp>,
    /// `activeDeadlineSeconds`.
    pub deadline: Option<i64>,
    /// Whether it runs, as far as its own status says it.
    pub said: Said,
    /// A pod of it has ended, so that it has started whatever is said of the others.
    pub has_tried: bool,
    /// How it ended; nothing while it may still run.
    pub end: Option<End>,
    /// It is being deleted.
    pub is_deleting: bool,
    /// Argo CD is not done with it.
    pub is_held: bool,
    /// Labelled as no migration.
    pub is_opted_out: bool,
    /// A hook that is to be deleted before the next one is made.
    pub deletes_before_creation: bool,
    /// A hook that is to be deleted once it has succeeded, which who made it does not know: its delete
    /// policy or its name was patched here.
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

/// A Job as a watch brings it, with the fields that are read.
#[derive(Clone, Debug, Deserialize)]
pub struct WatchedJob {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: Spec,
    #[serde(default)]
    pub(crate) status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    active_deadline_seconds: Option<i64>,
    managed_by: Option<String>,
    #[serde(default)]
    pub(crate) template: Template,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Template {
    #[serde(default)]
    metadata: TemplateMeta,
    #[serde(default)]
    pub(crate) spec: PodSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSpec {
    #[serde(default)]
    pub(crate) init_containers: Vec<Container>,
    #[serde(default)]
    pub(crate) containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Container {
    #[serde(default)]
    pub(crate) image: String,
    #[serde(default)]
    pub(crate) command: Vec<String>,
    #[serde(default)]
    pub(crate) args: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct TemplateMeta {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    start_time: Option<Time>,
    active: Option<i64>,
    ready: Option<i64>,
    terminating: Option<i64>,
    succeeded: Option<i64>,
    failed: Option<i64>,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    last_transition_time: Option<Time>,
    reason: Option<String>,
    message: Option<String>,
}

impl Resource for WatchedJob {
    type DynamicType = ();
    type Scope = <batch::Job as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        batch::Job::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        batch::Job::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        batch::Job::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        batch::Job::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Status {
    /// The condition it ended with, and whether that is a good one. Only the last conditions count: before them pods
    /// may still run.
    fn last(&self) -> Option<(&Condition, bool)> {
        let ended = |kind: &str| {
            let mut conditions = self.conditions.iter();
            conditions.find(|c| c.r#type == kind && c.status == "True")
        };
        let good = ended("Complete").map(|condition| (condition, true));
        good.or_else(|| Some((ended("Failed")?, false)))
    }

    fn said(&self, managed_by: Option<&str>) -> Said {
        if self.last().is_some() {
            return Said::Idle;
        }
        let counts = Counts {
            active: self.active.unwrap_or_default(),
            ready: self.ready,
            terminating: self.terminating.unwrap_or_default(),
        };
        counts.say(managed_by)
    }

    fn has_tried(&self) -> bool {
        [self.succeeded, self.failed]
            .iter()
            .flatten()
            .any(|n| *n > 0)
    }

    fn end(&self) -> Option<End> {
        let (condition, succeeded) = self.last()?;
        // The apiserver sees to it that there is a time. A Job without one has not ended for us, so
        // nothing happens to it.
        let at = condition.last_transition_time.as_ref()?.0;
        Some(End { at, succeeded })
    }

    /// Reason and message of the condition it ended with.
    pub(crate) fn last_words(&self) -> (Option<&str>, Option<&str>) {
        let last = self.last().map(|(condition, _)| condition);
        (
            last.and_then(|condition| condition.reason.as_deref()),
            last.and_then(|condition| condition.message.as_deref()),
        )
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
        let (labels, annotations) = (
            meta.labels.unwrap_or_default(),
            meta.annotations.unwrap_or_default(),
        );
        let label = |key: &str| labels.get(key).map(String::as_str);
        let annotation = |key: Annotation| annotations.get(key.key()).map(String::as_str);
        let name = meta.name.unwrap_or_default();
        let generate = meta.generate_name.unwrap_or_default();
        let managed = meta.managed_fields.as_deref().unwrap_or_default().iter();
        let managers = managed
            .filter(|field| field.subresource.is_none())
            .filter_map(|field| field.manager.as_deref());
        let deployer = Deployer::of(
            |key| label(key).is_some(),
            |key| annotation(key).is_some(),
            managers,
        );
        let owners = meta.owner_references.unwrap_or_default();
        let cron_job = owners
            .iter()
            .find(|owner| owner.controller == Some(true) && owner.kind == "CronJob");
        let base = Name::new(&name, &generate)
            .owned_by(cron_job.map(|owner| &*owner.name))
            .of_argocd_hook(deployer.is_argocd_hook(|key| annotation(key).is_some()))
            .base()
            .to_owned();
        let (release, release_source) = release::choose(
            [label(INSTANCE), template.get(INSTANCE).map(String::as_str)],
            label(FLUX_NAME),
            annotation(Annotation::ArgoCdTrackingId),
            &base,
        );
        let finalizers = meta.finalizers.unwrap_or_default();
        let runs_hooks = deployer.runs_hooks();
        let helm = runs_hooks && annotation(Annotation::Hook).is_some();
        let argocd = runs_hooks && annotation(Annotation::ArgoCdHook).is_some();
        let policy = annotation(Annotation::DeletePolicy);
        let argocd_policy = annotation(Annotation::ArgoCdDeletePolicy);
        let patched = annotation(Annotation::Patched)
            .is_some_and(|ids| ids.split(',').any(|id| ["MW001", "MW003"].contains(&id)));
        Self {
            release: release.to_owned(),
            release_source,
            base,
            namespace: meta.namespace.unwrap_or_default(),
            name,
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            created: meta
                .creation_timestamp
                .map_or(Timestamp::MAX, |Time(at)| at),
            started,
            deadline,
            said,
            has_tried,
            end,
            is_deleting: meta.deletion_timestamp.is_some(),
            is_held: finalizers.iter().any(|f| f == ARGOCD_FINALIZER),
            is_opted_out: label(MIGRATION_LABEL) == Some("false"),
            deletes_before_creation: helm && hooks::deletes_before_creation(policy)
                || argocd && hooks::argocd_deletes_before_creation(argocd_policy),
            deletes_succeeded: patched
                && (helm && hooks::deletes_succeeded(policy)
                    || argocd && hooks::argocd_has(argocd_policy, "HookSucceeded")),
        }
    }
}

#[cfg(test)]
mod tests;
