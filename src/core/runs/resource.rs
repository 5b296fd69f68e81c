//! The kind `MigrationRun`. The chart's CRD is generated from these types.
//!
//! [`super`] decides what a run contains. There is no status subresource: one program writes a run, as a whole, so that
//! clients never read a partial one.

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::crd_schema::{opened, time_schema};

/// Records how one migration Job started and ended. It stays after the Job is deleted.
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
    doc = "Records how one migration Job started and ended. It stays after the Job is deleted.",
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
    /// The release of the migration.
    pub release: ReleaseReference,
    /// Name of the migration: the Job's name without the timestamp. All attempts share it.
    pub migration: String,
    /// Chart and version, from the Job's label `helm.sh/chart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<String>,
    /// The migration tool, if it is a known one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Images of the containers, as written in the Job.
    #[serde(default)]
    pub images: Vec<String>,
    /// The program that deployed the Job, as far as the Job shows it.
    pub deployer: Deployer,
    /// The user who created the Job, as the API server authenticated them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// Id of the decision that admitted the Job, as in the decision log and in the API server's audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Exceptions that applied to the Job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<String>,
    /// The entry of the policy that adopted the Job, or `detected`, if no label made it a migration Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<String>,
    /// Whether the Job was reviewed. It was not if the webhook was down or not installed, or does not
    /// review the namespace. A Job that the policy adopts while it runs needs no review.
    pub reviewed: bool,
    /// Number of the attempt. It counts from 1 again after each run that succeeded.
    pub attempt: i32,
}

/// The Job of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct JobReference {
    /// Name of the Job.
    pub name: String,
    /// uid of the Job.
    pub uid: String,
}

/// A release, and where its name comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseReference {
    /// Name of the release.
    pub name: String,
    /// Where the name comes from: `instance-label`, `flux`, `argo-cd` or `base-name`.
    pub source: String,
}

/// A program that deploys Jobs.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
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
    /// Another program.
    Other,
}

/// The state of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationRunStatus {
    /// How the run ended, or `Running`.
    #[serde(default)]
    pub outcome: Outcome,
    /// When the Job was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub admitted_at: Option<Timestamp>,
    /// When the first pod started, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub started_at: Option<Timestamp>,
    /// When the run ended. For a `Lost` run: when the Job was found missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub finished_at: Option<Timestamp>,
    /// Time from the start to the end, such as `1m12s`. Without a known start: from the creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Why the Job failed: the reason of its condition, such as `BackoffLimitExceeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last message of the Job's condition or container, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exit code of the container that ended last, if its pod still existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Images that ran, with their digests, if the pod still existed.
    #[serde(default, rename = "imageIDs", skip_serializing_if = "Vec::is_empty")]
    pub image_ids: Vec<String>,
}

/// How a run ended. If two outcomes are known, the later one in this list counts.
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
    strum::IntoStaticStr,
    strum::VariantArray,
)]
pub enum Outcome {
    /// No end is known yet.
    #[default]
    Running,
    /// The outcome is unknown: the Job was deleted before it could be recorded.
    Lost,
    /// The Job was deleted before it ended.
    Deleted,
    /// The Job failed.
    Failed,
    /// The Job succeeded.
    Succeeded,
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
