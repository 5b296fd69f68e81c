//! The kind `MigrationRun`. The chart's CRD is generated from these types.
//!
//! [`super`] decides what a run contains. There is no status subresource: one program writes a run, as a whole, so that
//! clients never read a partial one.

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::crd_schema::{integer_schema, opened, text_schema, time_schema};

/// The recorded life of one migration Job that really existed. It outlives the Job.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "migration-warden.io",
    version = "v1alpha1",
    kind = "MigrationRun",
    plural = "migrationruns",
    shortname = "mrun",
    namespaced,
    derive = "PartialEq",
    status = "MigrationRunStatus",
    selectable = ".status.outcome",
    doc = "The recorded life of one migration Job that really existed. It outlives the Job.",
    printcolumn = r#"{"name": "Release", "type": "string", "jsonPath": ".spec.release.name"}"#,
    printcolumn = r#"{"name": "Outcome", "type": "string", "jsonPath": ".status.outcome"}"#,
    printcolumn = r#"{"name": "Attempt", "type": "integer", "jsonPath": ".spec.attempt"}"#,
    printcolumn = r#"{"name": "Duration", "type": "string", "jsonPath": ".status.duration"}"#,
    printcolumn = r#"{"name": "By", "type": "string", "jsonPath": ".spec.requestedBy"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".status.admittedAt"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.reason", "priority": 1}"#,
    printcolumn = r#"{"name": "Exit code", "type": "integer", "jsonPath": ".status.exitCode", "priority": 1}"#,
    printcolumn = r#"{"name": "Reviewed", "type": "boolean", "jsonPath": ".spec.reviewed", "priority": 1}"#,
    printcolumn = r#"{"name": "Tool", "type": "string", "jsonPath": ".spec.tool", "priority": 1}"#,
    printcolumn = r#"{"name": "Job", "type": "string", "jsonPath": ".spec.job.name", "priority": 1}"#
)]
#[serde(rename_all = "camelCase")]
pub struct MigrationRunSpec {
    /// The Job.
    pub job: JobReference,
    /// What the migration belongs to.
    pub release: ReleaseReference,
    /// Name of the migration: the Job's without its timestamp, which its attempts share.
    pub migration: String,
    /// Chart and version, from the Job's label `helm.sh/chart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text_schema")]
    pub chart: Option<String>,
    /// The migration tool, where it is one that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text_schema")]
    pub tool: Option<String>,
    /// Images of the Job's containers, as it names them.
    #[serde(default)]
    pub images: Vec<String>,
    /// What deployed it, by what the Job says.
    pub deployer: Deployer,
    /// Who asked for the Job, as the API server authenticated them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text_schema")]
    pub requested_by: Option<String>,
    /// Id of the decision that let it in, as in the decision log and in the API server's audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text_schema")]
    pub decision: Option<String>,
    /// Exceptions because of which it was let in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<String>,
    /// Whether there is a decision about it. One without came in while the webhook was down or not
    /// installed, or in a namespace that it does not judge.
    pub reviewed: bool,
    /// Counts the runs of one migration from one that succeeded to the next.
    pub attempt: i32,
}

/// The Job of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct JobReference {
    /// Name.
    pub name: String,
    /// uid.
    pub uid: String,
}

/// A release, and where its name was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseReference {
    /// Name.
    pub name: String,
    /// `instance-label`, `flux`, `argo-cd` or `base-name`.
    pub source: String,
}

/// What deploys.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Deployer {
    /// `helm`, by the field manager of the Job.
    Helm,
    /// Argo CD, by its annotations.
    ArgoCD,
    /// Flux, by its labels or its field manager.
    Flux,
    /// `kubectl`, by the field manager.
    Kubectl,
    /// A CronJob, by the Job's owner. The decision is about the CronJob.
    CronJob,
    /// Something else.
    Other,
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationRunStatus {
    /// How it ended, or that it runs.
    #[serde(default)]
    pub outcome: Outcome,
    /// When the API server took the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub admitted_at: Option<Timestamp>,
    /// When its first pod started, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub started_at: Option<Timestamp>,
    /// When it ended. Of a run that is `Lost` it is when that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub finished_at: Option<Timestamp>,
    /// From its start, else its admission, to its end, as in `1m12s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text_schema")]
    pub duration: Option<String>,
    /// Why it failed, in one word: that of the Job's condition, such as `BackoffLimitExceeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text_schema")]
    pub reason: Option<String>,
    /// What the Job's condition or its container said at the end, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text_schema")]
    pub message: Option<String>,
    /// Exit code of the container that ended last, where its pod could still be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer_schema")]
    pub exit_code: Option<i32>,
    /// Images that ran, with their digests, where the pod could still be asked.
    #[serde(default, rename = "imageIDs", skip_serializing_if = "Vec::is_empty")]
    pub image_ids: Vec<String>,
}

/// How a run ended. Of two that are told of one run, the later here is true.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum Outcome {
    /// It has not ended, as far as is known.
    #[default]
    Running,
    /// How it ended cannot be known: the Job went while nobody saw it.
    Lost,
    /// The Job was deleted before it ended.
    Deleted,
    /// The Job failed.
    Failed,
    /// The Job succeeded.
    Succeeded,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Lost,
        Self::Deleted,
        Self::Failed,
        Self::Succeeded,
    ];

    /// The word, as in the object.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Lost => "Lost",
            Self::Deleted => "Deleted",
            Self::Failed => "Failed",
            Self::Succeeded => "Succeeded",
        }
    }
}

/// The CRD.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    let mut crd = opened(MigrationRun::crd());
    for version in &mut crd.spec.versions {
        version.subresources = None;
    }
    crd
}
