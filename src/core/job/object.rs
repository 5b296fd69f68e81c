//! The parts of a Job or CronJob manifest that rules read, as they are written.
//!
//! One type serves both kinds, so that a review is read in one pass whatever the order of its fields. Nothing is
//! defaulted here; [`crate::core::job::Job`] does that.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::core::job::annotation::Annotations;
use crate::core::job::environment::Environment;
use crate::core::json::{Map, Text, few, integer, integers, nullable};

/// A `batch/v1` Job or CronJob.
#[derive(Debug, Default, Deserialize)]
pub struct Object<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub spec: Spec<'a>,
    /// The progress that Kubernetes has recorded.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub status: Status<'a>,
}

/// The status of a Job.
#[derive(Debug, Default, Deserialize)]
pub struct Status<'a> {
    /// Pods that are pending or running and not being deleted.
    #[serde(default)]
    pub active: Option<i64>,
    /// The ready ones among them; absent until they are first counted.
    #[serde(default)]
    pub ready: Option<i64>,
    /// Pods that are being deleted and have not ended.
    #[serde(default)]
    pub terminating: Option<i64>,
    /// Its conditions, among others whether it has ended.
    #[serde(borrow, default, deserialize_with = "few")]
    pub conditions: Vec<Condition<'a>>,
}

/// One entry of `status.conditions`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition<'a> {
    /// `Complete`, `Failed`, …
    #[serde(borrow, rename = "type", default, deserialize_with = "nullable")]
    pub kind: Text<'a>,
    /// `True`, `False` or `Unknown`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub status: Text<'a>,
    /// Since when it has this status.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub last_transition_time: Text<'a>,
    /// Why, in one word.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub reason: Text<'a>,
    /// Why, in a sentence.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub message: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Empty until the API server has generated it.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Prefix for a generated name.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub generate_name: Text<'a>,
    /// May be missing in a manifest.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub namespace: Text<'a>,
    /// Set by the API server, between the two phases.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub uid: Text<'a>,
    /// Time of creation, set by the API server between the two phases (RFC 3339).
    #[serde(borrow, default)]
    pub creation_timestamp: Option<Text<'a>>,
    /// When it was deleted, if it only waits for its finalizers (RFC 3339).
    #[serde(borrow, default)]
    pub deletion_timestamp: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub labels: Map<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub annotations: Annotations<'a>,
    /// The objects that own it.
    #[serde(borrow, default, deserialize_with = "few")]
    pub owner_references: Vec<OwnerReference<'a>>,
    /// Which field manager set which field; distinguishes an apply from a plain create.
    #[serde(borrow, default, deserialize_with = "few")]
    pub managed_fields: Vec<ManagedField<'a>>,
}

/// One entry of `ownerReferences`.
#[derive(Debug, Default, Deserialize)]
pub struct OwnerReference<'a> {
    /// Kind of the owner.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub kind: Text<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Whether it is the controller of the object.
    #[serde(default, deserialize_with = "nullable")]
    pub controller: bool,
}

/// One entry of `managedFields`.
#[derive(Debug, Default, Deserialize)]
pub struct ManagedField<'a> {
    /// Name of the field manager.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub manager: Text<'a>,
    /// `Apply` or `Update`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub operation: Text<'a>,
    /// `status` for the fields of the status; empty for those of the object itself.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub subresource: Text<'a>,
    /// The fields that it set.
    #[serde(rename = "fieldsV1", default, deserialize_with = "nullable")]
    pub fields: Fields,
}

/// The fields of a manager that are read here.
#[derive(Debug, Default, Deserialize)]
pub struct Fields {
    #[serde(rename = "f:metadata", default)]
    pub metadata: Option<MetadataFields>,
    /// Whether it set any field of the spec.
    #[serde(rename = "f:spec", default)]
    pub spec: Option<IgnoredAny>,
}

/// The fields of the metadata that are read here.
#[derive(Debug, Default, Deserialize)]
pub struct MetadataFields {
    #[serde(rename = "f:annotations", default, deserialize_with = "nullable")]
    pub annotations: AnnotationFields,
}

/// The annotations that are read here, all of them stamps.
#[derive(Debug, Default, Deserialize)]
pub struct AnnotationFields {
    /// The stamp with the id of the decision.
    #[serde(rename = "f:migration-warden.io/decision", default)]
    pub decision: Option<IgnoredAny>,
    /// The stamp with the name of the user.
    #[serde(rename = "f:migration-warden.io/requested-by", default)]
    requested_by: Option<IgnoredAny>,
    /// The stamp with the names of the exceptions.
    #[serde(rename = "f:migration-warden.io/exceptions", default)]
    exceptions: Option<IgnoredAny>,
    /// The stamp with the rules whose findings were patched.
    #[serde(rename = "f:migration-warden.io/patched", default)]
    patched: Option<IgnoredAny>,
}

impl Fields {
    /// Whether one of them is a stamp.
    #[must_use]
    pub fn hold_a_stamp(&self) -> bool {
        let stamps = self.metadata.as_ref().map(|metadata| &metadata.annotations);
        stamps.is_some_and(|stamps| {
            let stamps = [
                &stamps.decision,
                &stamps.requested_by,
                &stamps.exceptions,
                &stamps.patched,
            ];
            stamps.iter().any(|stamp| stamp.is_some())
        })
    }
}

/// The spec of a Job, or of a CronJob with the Job's spec inside.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec<'a> {
    /// Pod retries before the Job fails.
    #[serde(default, deserialize_with = "integer")]
    pub backoff_limit: Option<i64>,
    /// Pod retries per index of an Indexed Job.
    #[serde(default, deserialize_with = "integer")]
    pub backoff_limit_per_index: Option<i64>,
    /// Seconds after which the Job is stopped.
    #[serde(default, deserialize_with = "integer")]
    pub active_deadline_seconds: Option<i64>,
    /// Pods at the same time.
    #[serde(default, deserialize_with = "integer")]
    pub parallelism: Option<i64>,
    /// Pods that have to succeed.
    #[serde(default, deserialize_with = "integer")]
    pub completions: Option<i64>,
    /// `NonIndexed` or `Indexed`.
    #[serde(borrow, default)]
    pub completion_mode: Option<Text<'a>>,
    /// Seconds after its end until the Job is deleted.
    #[serde(default, deserialize_with = "integer")]
    pub ttl_seconds_after_finished: Option<i64>,
    /// The controller that manages it; defaults to Kubernetes' own.
    #[serde(borrow, default)]
    pub managed_by: Option<Text<'a>>,
    /// Whether pods are not to be started yet.
    #[serde(default)]
    pub suspend: Option<bool>,
    /// What Kubernetes does with a failed pod instead of counting it.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub pod_failure_policy: PodFailurePolicy<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub template: PodTemplate<'a>,
    /// The Job that a CronJob creates; absent in a Job.
    #[serde(borrow, default)]
    pub job_template: Option<Box<Object<'a>>>,
}

/// Template of the Job's pods.
#[derive(Debug, Default, Deserialize)]
pub struct PodTemplate<'a> {
    /// Labels and annotations of the pods.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub spec: PodSpec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec<'a> {
    /// `Always`, `OnFailure` or `Never`.
    #[serde(borrow, default)]
    pub restart_policy: Option<Text<'a>>,
    /// Seconds after which a pod is stopped.
    #[serde(default, deserialize_with = "integer")]
    pub active_deadline_seconds: Option<i64>,
    /// Whether a container sees the processes of the others, and can stop them.
    #[serde(default, deserialize_with = "nullable")]
    pub share_process_namespace: bool,
    /// Containers that run before the others.
    #[serde(borrow, default, deserialize_with = "few")]
    pub init_containers: Vec<Container<'a>>,
    #[serde(borrow, default, deserialize_with = "few")]
    pub containers: Vec<Container<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// Name, unique within the pod.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub image: Text<'a>,
    #[serde(borrow, default, deserialize_with = "few")]
    pub command: Vec<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "few")]
    pub args: Vec<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub env: Environment<'a>,
    /// Overrides the pod's, from Kubernetes 1.35 on; `Always` on an init container makes it a native sidecar.
    #[serde(borrow, default)]
    pub restart_policy: Option<Text<'a>>,
    /// Rules that restart the container on some exit codes whatever its policy, from Kubernetes 1.35 on.
    #[serde(borrow, default, deserialize_with = "few")]
    pub restart_policy_rules: Vec<RestartRule<'a>>,
}

/// One entry of a container's `restartPolicyRules`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartRule<'a> {
    /// `Restart` or `RestartAllContainers`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub action: Text<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub exit_codes: ExitCodes<'a>,
}

/// Exit codes that a rule applies to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitCodes<'a> {
    /// The only container whose exit codes count; all containers if absent.
    #[serde(borrow, default)]
    pub container_name: Option<Text<'a>>,
    /// `In` or `NotIn`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub operator: Text<'a>,
    #[serde(default, deserialize_with = "integers")]
    pub values: Vec<i64>,
}

/// `podFailurePolicy` of a Job.
#[derive(Debug, Default, Deserialize)]
pub struct PodFailurePolicy<'a> {
    /// The first rule that applies to a failed pod decides.
    #[serde(borrow, default, deserialize_with = "few")]
    pub rules: Vec<FailureRule<'a>>,
}

/// One entry of `podFailurePolicy.rules`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureRule<'a> {
    /// `FailJob`, `FailIndex`, `Ignore` or `Count`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub action: Text<'a>,
    /// The exit codes it applies to; if absent, it applies to conditions of the pod.
    #[serde(borrow, default)]
    pub on_exit_codes: Option<ExitCodes<'a>>,
    /// It applies to pods with one of these conditions.
    #[serde(borrow, default, deserialize_with = "few")]
    pub on_pod_conditions: Vec<PodCondition<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub struct PodCondition<'a> {
    /// Such as `DisruptionTarget`.
    #[serde(borrow, rename = "type", default, deserialize_with = "nullable")]
    pub kind: Text<'a>,
    /// `True` if absent.
    #[serde(borrow, default)]
    pub status: Option<Text<'a>>,
}
