//! The kind `MigrationException`. The chart's CRD is generated from these types.
//!
//! [`super`] decides what an exception covers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::core::crd_schema::{opened, time_schema};
use crate::core::policy::label_selector::LabelSelectorRequirement;
use crate::core::policy::rules::RULES;

/// An empty selector would match every Job, which is usually a mistake.
const SOME_JOBS: &str = "has(self.matchLabels) || has(self.matchExpressions) || has(self.names)";
/// The message of [`SOME_JOBS`].
pub(super) const WHICH_JOBS: &str = "select some Jobs: matchLabels, matchExpressions or names; \
                                     names: ['*'] means every migration Job of the namespace";
const VALUES: &str =
    "self.all(e, (e.operator in ['In', 'NotIn']) == (has(e.values) && e.values.size() > 0))";

/// Lets some Jobs of its namespace break named rules until a given time. Each use is logged with the
/// name of the exception.
#[derive(Clone, Debug, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "migration-warden.io",
    version = "v1alpha1",
    kind = "MigrationException",
    plural = "migrationexceptions",
    shortname = "mex",
    namespaced,
    status = "MigrationExceptionStatus",
    doc = "Lets some Jobs of its namespace break named rules until a given time, for a stated reason.",
    printcolumn = r#"{"name": "Rules", "type": "string", "jsonPath": ".spec.rules"}"#,
    printcolumn = r#"{"name": "Expires", "type": "string", "jsonPath": ".spec.expiresAt"}"#,
    printcolumn = r#"{"name": "Honoured", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Honoured\")].status"}"#,
    printcolumn = r#"{"name": "Uses", "type": "integer", "jsonPath": ".status.uses"}"#,
    printcolumn = r#"{"name": "Last use", "type": "date", "jsonPath": ".status.lastUsedAt"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".spec.reason"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MigrationExceptionSpec {
    /// The rules that the Jobs may break, by id or name, such as `MW001` or `untimestamped-name`. There
    /// is no wildcard.
    #[schemars(schema_with = "rules_schema")]
    pub rules: Vec<String>,
    /// The Jobs that may break the rules.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": SOME_JOBS, "message": WHICH_JOBS}]))]
    pub selector: JobSelector,
    /// Why the Jobs may break the rules, for later readers.
    #[schemars(length(min = 8, max = 1024))]
    pub reason: String,
    /// When the exception expires, such as `2026-12-01T12:00:00Z`. The policy limits the time from its
    /// creation to its expiry (`exceptions.maxDuration`). A longer exception is not honoured.
    #[schemars(schema_with = "time_schema")]
    pub expires_at: Timestamp,
}

/// Selects Jobs by labels and names. A Job must match everything that is set.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSelector {
    /// Labels that must have exactly these values. For a Job without labels, those of its pod template
    /// count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("minProperties" = 1))]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements on labels that must all hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-validations" = [{"rule": VALUES, "message": "In and NotIn need values, Exists and DoesNotExist take none"}]))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
    /// Names of Jobs, of which one must match. `*` matches any characters, as in `shop-migrate-*`. If
    /// the API server generates the name, `generateName` is compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 253)))]
    pub names: Vec<String>,
}

/// How an exception was used, and whether it is honoured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationExceptionStatus {
    /// Number of reviews whose outcome this exception changed.
    #[serde(default)]
    pub uses: i64,
    /// Time of the last use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub last_used_at: Option<Timestamp>,
    /// The Job of the last use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_by: Option<String>,
    /// The condition `Honoured` says whether the webhook applies the exception, and if not, why.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A standard Kubernetes condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition.
    pub r#type: String,
    /// `True` or `False`.
    pub status: String,
    /// Reason for the status, in one word.
    pub reason: String,
    /// Reason for the status, as a sentence.
    pub message: String,
    /// Time of the last change of the status.
    #[schemars(schema_with = "time_schema")]
    pub last_transition_time: Timestamp,
}

/// The CRD.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    opened(MigrationException::crd())
}

/// The schema for a list of rules, so that the API server rejects a typo at once.
fn rules_schema(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<_> = RULES.iter().flat_map(|rule| [rule.id, rule.name]).collect();
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": names.len(),
        "items": {"type": "string", "enum": names},
    })
}
