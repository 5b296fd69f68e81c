//! The parts of a Job or CronJob manifest that rules look at, as they are written.
//!
//! One shape serves both kinds, so that a review is read in one pass whatever comes first in it.
//! Nothing is defaulted here; [`crate::core::job::Job`] does that.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::core::job::annotation::Annotations;
use crate::core::job::environment::Environment;
use crate::core::json::{Map, Text, few, integer, integers, nullable};

/// A `batch/v1` Job or CronJob.
#[derive(Debug, Default, Deserialize)]
pub struct Object<'a> {
    /// Name, labels, annotations.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    /// What is to be done.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub spec: Spec<'a>,
    /// How far it is, as Kubernetes has written down.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub status: Status<'a>,
}

/// The status of a Job.
#[derive(Debug, Default, Deserialize)]
pub struct Status<'a> {
    /// Pods that are pending or running, and that nobody has deleted.
    #[serde(default)]
    pub active: Option<i64>,
    /// Those of them that are ready; absent before the first one is counted.
    #[serde(default)]
    pub ready: Option<i64>,
    /// Pods that somebody has deleted, and that have not ended.
    #[serde(default)]
    pub terminating: Option<i64>,
    /// What has happened to it, among others whether it has ended.
    #[serde(borrow, default, deserialize_with = "few")]
    pub conditions: Vec<Condition<'a>>,
}

/// One entry of `status.conditions`.
#[derive(Debug, Default, Deserialize)]
pub struct Condition<'a> {
    /// `Complete`, `Failed`, …
    #[serde(borrow, rename = "type", default, deserialize_with = "nullable")]
    pub kind: Text<'a>,
    /// `True`, `False` or `Unknown`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub status: Text<'a>,
}

/// Object metadata.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Empty while the apiserver has not generated it.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Prefix for a generated name.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub generate_name: Text<'a>,
    /// May be missing in a manifest.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub namespace: Text<'a>,
    /// Given by the apiserver, between the two phases.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub uid: Text<'a>,
    /// The apiserver's clock at the create, between the two phases (RFC 3339).
    #[serde(borrow, default)]
    pub creation_timestamp: Option<Text<'a>>,
    /// When it was deleted, where it only waits for its finalizers (RFC 3339).
    #[serde(borrow, default)]
    pub deletion_timestamp: Option<Text<'a>>,
    /// Labels.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub labels: Map<'a>,
    /// Annotations.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub annotations: Annotations<'a>,
    /// Who owns it.
    #[serde(borrow, default, deserialize_with = "few")]
    pub owner_references: Vec<OwnerReference<'a>>,
    /// Who set which field; tells an apply from a plain create.
    #[serde(borrow, default, deserialize_with = "few")]
    pub managed_fields: Vec<ManagedField<'a>>,
}

/// One entry of `ownerReferences`.
#[derive(Debug, Default, Deserialize)]
pub struct OwnerReference<'a> {
    /// Kind of the owner.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub kind: Text<'a>,
    /// Its name.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Whether it is the one that manages the object.
    #[serde(default, deserialize_with = "nullable")]
    pub controller: bool,
}

/// One entry of `managedFields`.
#[derive(Debug, Default, Deserialize)]
pub struct ManagedField<'a> {
    /// Under which name the fields were set.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub manager: Text<'a>,
    /// `Apply` or `Update`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub operation: Text<'a>,
    /// `status` for the fields of the status; empty for those of the object itself.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub subresource: Text<'a>,
    /// Which fields.
    #[serde(rename = "fieldsV1", default, deserialize_with = "nullable")]
    pub fields: Fields,
}

/// Those of a manager's fields that anything here asks for.
#[derive(Debug, Default, Deserialize)]
pub struct Fields {
    /// Those of the metadata.
    #[serde(rename = "f:metadata", default)]
    pub metadata: Option<MetadataFields>,
    /// Whether there are any of the spec.
    #[serde(rename = "f:spec", default)]
    pub spec: Option<IgnoredAny>,
}

/// The same of the metadata.
#[derive(Debug, Default, Deserialize)]
pub struct MetadataFields {
    /// Annotations.
    #[serde(rename = "f:annotations", default, deserialize_with = "nullable")]
    pub annotations: AnnotationFields,
}

/// The same of the annotations.
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
    /// Retries per index of an Indexed Job.
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
    /// Seconds after its end when the Job is deleted.
    #[serde(default, deserialize_with = "integer")]
    pub ttl_seconds_after_finished: Option<i64>,
    /// The controller that looks after it; Kubernetes' own when nothing is written.
    #[serde(borrow, default)]
    pub managed_by: Option<Text<'a>>,
    /// Do not start pods yet.
    #[serde(default)]
    pub suspend: Option<bool>,
    /// What Kubernetes does about a failed pod instead of counting it.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub pod_failure_policy: PodFailurePolicy<'a>,
    /// The pod.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub template: PodTemplate<'a>,
    /// The Job that a CronJob makes; absent in a Job.
    #[serde(borrow, default)]
    pub job_template: Option<Box<Object<'a>>>,
}

/// Template of the Job's pods.
#[derive(Debug, Default, Deserialize)]
pub struct PodTemplate<'a> {
    /// Labels and annotations of the pods.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    /// The pod.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub spec: PodSpec<'a>,
}

/// A pod.
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
    /// Containers.
    #[serde(borrow, default, deserialize_with = "few")]
    pub containers: Vec<Container<'a>>,
}

/// A container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// Name, unique within the pod.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Image reference.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub image: Text<'a>,
    /// Entry point.
    #[serde(borrow, default, deserialize_with = "few")]
    pub command: Vec<Text<'a>>,
    /// Arguments.
    #[serde(borrow, default, deserialize_with = "few")]
    pub args: Vec<Text<'a>>,
    /// Environment variables.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub env: Environment<'a>,
    /// Overrides the pod's, from Kubernetes 1.35 on; `Always` on an init container makes it a native sidecar.
    #[serde(borrow, default)]
    pub restart_policy: Option<Text<'a>>,
    /// Exit codes on which the container is restarted whatever its policy, from Kubernetes 1.35 on.
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
    /// When it applies.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub exit_codes: ExitCodes<'a>,
}

/// Exit codes that a rule applies to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitCodes<'a> {
    /// The only container whose exit codes count; all where it is absent.
    #[serde(borrow, default)]
    pub container_name: Option<Text<'a>>,
    /// `In` or `NotIn`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub operator: Text<'a>,
    /// The codes.
    #[serde(default, deserialize_with = "integers")]
    pub values: Vec<i64>,
}

/// `podFailurePolicy` of a Job.
#[derive(Debug, Default, Deserialize)]
pub struct PodFailurePolicy<'a> {
    /// The first that applies to a failed pod decides.
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
    /// It applies to these exit codes; to a condition of the pod where it is absent.
    #[serde(borrow, default)]
    pub on_exit_codes: Option<ExitCodes<'a>>,
    /// It applies to a pod with one of these conditions.
    #[serde(borrow, default, deserialize_with = "few")]
    pub on_pod_conditions: Vec<PodCondition<'a>>,
}

/// A condition of a pod.
#[derive(Debug, Default, Deserialize)]
pub struct PodCondition<'a> {
    /// Such as `DisruptionTarget`.
    #[serde(borrow, rename = "type", default, deserialize_with = "nullable")]
    pub kind: Text<'a>,
    /// `True` where it is absent.
    #[serde(borrow, default)]
    pub status: Option<Text<'a>>,
}
