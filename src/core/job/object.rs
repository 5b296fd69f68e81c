//! The parts of a Job or CronJob manifest that rules read, as they are written.
//!
//! One type serves both kinds, so that a review is read in one pass whatever the order of its fields. Nothing is
//! defaulted here; [`crate::core::job::Job`] does that.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use crate::core::job::annotation::Annotations;
use crate::core::job::environment::Environment;
use crate::core::json::{Map, Text, few, fold, integer, integers, nullable};

/// A `batch/v1` Job or CronJob.
#[derive(Debug, Default, Deserialize)]
pub struct Object<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub(crate) metadata: Metadata<'a>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) spec: Spec<'a>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) status: Status<'a>,
    /// Whether the ends of long lists were not read.
    #[serde(skip)]
    pub(crate) is_cut: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status<'a> {
    /// Pods that are pending or running and not being deleted.
    pub active: Option<i64>,
    /// The ready ones among them; absent until they are first counted.
    pub ready: Option<i64>,
    /// Pods that are being deleted and have not ended.
    pub terminating: Option<i64>,
    pub(crate) succeeded: Option<i64>,
    pub(crate) failed: Option<i64>,
    /// Pods that have ended and are not among those two yet.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) uncounted_terminated_pods: Uncounted,
    pub(crate) start_time: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "few")]
    pub(crate) conditions: Vec<Condition<'a>>,
}

/// The uids of pods.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Uncounted {
    #[serde(default, deserialize_with = "few")]
    succeeded: Vec<IgnoredAny>,
    #[serde(default, deserialize_with = "few")]
    failed: Vec<IgnoredAny>,
}

impl Uncounted {
    pub(crate) fn has_any(&self) -> bool {
        !self.succeeded.is_empty() || !self.failed.is_empty()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition<'a> {
    /// `Complete`, `Failed`, …
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// `True`, `False` or `Unknown`.
    pub status: Text<'a>,
    pub(crate) last_transition_time: Text<'a>,
    pub reason: Text<'a>,
    pub message: Text<'a>,
}

/// The metadata of an object or of a template.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Empty until the API server has generated it.
    #[serde(borrow)]
    pub name: Text<'a>,
    pub(crate) generate_name: Text<'a>,
    /// May be missing in a manifest.
    pub namespace: Text<'a>,
    /// Set by the API server, between the two phases.
    pub uid: Text<'a>,
    /// Time of creation, set by the API server between the two phases (RFC 3339).
    pub(crate) creation_timestamp: Option<Text<'a>>,
    /// When it was deleted, if it only waits for its finalizers (RFC 3339).
    pub(crate) deletion_timestamp: Option<Text<'a>>,
    pub(crate) resource_version: Text<'a>,
    /// Whether Argo CD keeps it until its sync is over.
    #[serde(rename = "finalizers", default, deserialize_with = "is_held")]
    pub is_held: bool,
    pub(crate) labels: Map<'a>,
    pub(crate) annotations: Annotations<'a>,
    #[serde(default, deserialize_with = "few")]
    pub(crate) owner_references: Vec<OwnerReference<'a>>,
    /// Which field manager set which field; distinguishes an apply from a plain create.
    #[serde(default, deserialize_with = "few")]
    pub(crate) managed_fields: Vec<ManagedField<'a>>,
}

fn is_held<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    fold(deserializer, |is_held: &mut bool, finalizer: Text<'de>| {
        *is_held |= &*finalizer == "argocd.argoproj.io/hook-finalizer";
        false
    })
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct OwnerReference<'a> {
    #[serde(borrow)]
    pub kind: Text<'a>,
    pub name: Text<'a>,
    #[serde(default, deserialize_with = "nullable")]
    pub controller: bool,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ManagedField<'a> {
    #[serde(borrow)]
    pub manager: Text<'a>,
    /// `Apply` or `Update`.
    pub operation: Text<'a>,
    /// `status` for the fields of the status; empty for those of the object itself.
    pub subresource: Text<'a>,
    #[serde(rename = "fieldsV1")]
    pub fields: Option<Fields>,
}

/// The fields of a manager that are read here.
#[derive(Debug, Default, Deserialize)]
pub struct Fields {
    #[serde(rename = "f:metadata")]
    pub(crate) metadata: Option<MetadataFields>,
    /// Whether it set any field of the spec.
    #[serde(rename = "f:spec")]
    pub spec: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct MetadataFields {
    #[serde(rename = "f:annotations", default, deserialize_with = "nullable")]
    pub annotations: StampFields,
}

/// The stamps among the annotations.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct StampFields {
    #[serde(rename = "f:migration-warden.io/decision")]
    pub decision: Option<IgnoredAny>,
    #[serde(rename = "f:migration-warden.io/requested-by")]
    requested_by: Option<IgnoredAny>,
    #[serde(rename = "f:migration-warden.io/exceptions")]
    exceptions: Option<IgnoredAny>,
    #[serde(rename = "f:migration-warden.io/patched")]
    patched: Option<IgnoredAny>,
}

impl StampFields {
    #[must_use]
    pub(crate) fn has_any(&self) -> bool {
        let all = [
            &self.decision,
            &self.requested_by,
            &self.exceptions,
            &self.patched,
        ];
        all.iter().any(|stamp| stamp.is_some())
    }
}

impl ManagedField<'_> {
    /// The stamps that it set.
    #[must_use]
    pub(crate) fn stamps(&self) -> Option<&StampFields> {
        let metadata = self.fields.as_ref()?.metadata.as_ref()?;
        Some(&metadata.annotations)
    }
}

/// The spec of a Job, or of a CronJob with the Job's spec inside.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec<'a> {
    #[serde(default, deserialize_with = "integer")]
    pub(crate) backoff_limit: Option<i64>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) backoff_limit_per_index: Option<i64>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) active_deadline_seconds: Option<i64>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) parallelism: Option<i64>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) completions: Option<i64>,
    /// `NonIndexed` or `Indexed`.
    #[serde(borrow)]
    pub(crate) completion_mode: Option<Text<'a>>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) ttl_seconds_after_finished: Option<i64>,
    /// The controller that manages it; defaults to Kubernetes' own.
    pub(crate) managed_by: Option<Text<'a>>,
    /// Whether pods are not to be started yet.
    pub suspend: Option<bool>,
    /// What Kubernetes does with a failed pod instead of counting it.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) pod_failure_policy: PodFailurePolicy<'a>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) template: PodTemplate<'a>,
    pub(crate) job_template: Option<Box<Object<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct PodTemplate<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    #[serde(default, deserialize_with = "nullable")]
    pub spec: PodSpec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSpec<'a> {
    /// `Always`, `OnFailure` or `Never`.
    #[serde(borrow)]
    pub restart_policy: Option<Text<'a>>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) active_deadline_seconds: Option<i64>,
    /// Whether a container sees the processes of the others, and can stop them.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) share_process_namespace: bool,
    #[serde(default, deserialize_with = "few")]
    pub(crate) init_containers: Vec<Container<'a>>,
    #[serde(default, deserialize_with = "few")]
    pub containers: Vec<Container<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    pub image: Text<'a>,
    #[serde(default, deserialize_with = "few")]
    pub command: Vec<Text<'a>>,
    #[serde(default, deserialize_with = "few")]
    pub args: Vec<Text<'a>>,
    pub env: Environment<'a>,
    /// Overrides the pod's, from Kubernetes 1.35 on; `Always` on an init container makes it a native sidecar.
    pub restart_policy: Option<Text<'a>>,
    /// Rules that restart the container on some exit codes whatever its policy, from Kubernetes 1.35 on.
    #[serde(default, deserialize_with = "few")]
    pub(crate) restart_policy_rules: Vec<RestartRule<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RestartRule<'a> {
    /// `Restart` or `RestartAllContainers`.
    #[serde(borrow)]
    pub action: Text<'a>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) exit_codes: ExitCodes<'a>,
}

/// Exit codes that a rule applies to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExitCodes<'a> {
    /// The only container whose exit codes count; all containers if absent.
    #[serde(borrow)]
    pub(crate) container_name: Option<Text<'a>>,
    /// `In` or `NotIn`.
    pub operator: Text<'a>,
    #[serde(default, deserialize_with = "integers")]
    pub values: Vec<i64>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct PodFailurePolicy<'a> {
    /// The first rule that applies to a failed pod decides.
    #[serde(borrow, default, deserialize_with = "few")]
    pub(crate) rules: Vec<FailureRule<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailureRule<'a> {
    /// `FailJob`, `FailIndex`, `Ignore` or `Count`.
    #[serde(borrow)]
    pub action: Text<'a>,
    /// The exit codes it applies to; if absent, it applies to conditions of the pod.
    pub(crate) on_exit_codes: Option<ExitCodes<'a>>,
    /// It applies to pods with one of these conditions.
    #[serde(default, deserialize_with = "few")]
    pub(crate) on_pod_conditions: Vec<PodCondition<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct PodCondition<'a> {
    /// Such as `DisruptionTarget`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// `True` if absent.
    pub status: Option<Text<'a>>,
}
