//! The kind `MigrationException`. The chart's CRD is generated from these types.
//!
//! [`super`] decides what an exception covers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::core::crd_schema::{opened, text_schema, time_schema};
use crate::core::policy::label_selector::LabelSelectorRequirement;
use crate::core::policy::rules::RULES;

/// An empty selector would match every Job, which is usually a mistake.
const SOME_JOBS: &str = "has(self.matchLabels) || has(self.matchExpressions) || has(self.names)";
/// The message of [`SOME_JOBS`].
pub(super) const WHICH_JOBS: &str = "say which Jobs: matchLabels, matchExpressions or names; \
                                     names: ['*'] means every migration Job of the namespace";
const VALUES: &str =
    "self.all(e, (e.operator in ['In', 'NotIn']) == (has(e.values) && e.values.size() > 0))";

/// A permission to break named rules: for some Jobs of its namespace, until a given time, and for a
/// reason. What it covers is let through and written into the decision with the exception's name.
#[derive(Clone, Debug, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "migration-warden.io",
    version = "v1alpha1",
    kind = "MigrationException",
    plural = "migrationexceptions",
    shortname = "mex",
    namespaced,
    status = "MigrationExceptionStatus",
    doc = "A permission to break named rules: for some Jobs of its namespace, until a given time, and for a reason.",
    printcolumn = r#"{"name": "Rules", "type": "string", "jsonPath": ".spec.rules"}"#,
    printcolumn = r#"{"name": "Expires", "type": "string", "jsonPath": ".spec.expiresAt"}"#,
    printcolumn = r#"{"name": "Honoured", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Honoured\")].status"}"#,
    printcolumn = r#"{"name": "Uses", "type": "integer", "jsonPath": ".status.uses"}"#,
    printcolumn = r#"{"name": "Last use", "type": "date", "jsonPath": ".status.lastUsedAt"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".spec.reason"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MigrationExceptionSpec {
    /// The rules that may be broken, by id or name: `MW001` or `untimestamped-name`. There is no way
    /// to name all of them.
    #[schemars(schema_with = "rules_schema")]
    pub rules: Vec<String>,
    /// The Jobs that may break them.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": SOME_JOBS, "message": WHICH_JOBS}]))]
    pub selector: JobSelector,
    /// Why they may: for whoever finds this later.
    #[schemars(length(min = 8, max = 1024))]
    pub reason: String,
    /// From when on it no longer holds, such as `2026-12-01T12:00:00Z`. The policy says how long after
    /// its creation an exception may expire (`exceptions.maxDuration`); one that lasts longer is not
    /// honoured.
    #[schemars(schema_with = "time_schema")]
    pub expires_at: Timestamp,
}

/// Jobs by their labels and their names: all that is given here has to hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSelector {
    /// Labels that must have exactly these values. A Job without labels has those of its pod template.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("minProperties" = 1))]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements on labels that must all hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-validations" = [{"rule": VALUES, "message": "In and NotIn need values, Exists and DoesNotExist take none"}]))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
    /// Names, of which one must be the Job's; `*` stands for any characters, as in `shop-migrate-*`. A
    /// Job that gets its name from the API server is known by its `generateName` before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 253)))]
    pub names: Vec<String>,
}

/// What became of an exception.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationExceptionStatus {
    /// How many reviews it let through that would have had another end without it.
    #[serde(default)]
    pub uses: i64,
    /// When that was last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub last_used_at: Option<Timestamp>,
    /// The Job that it let through last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text_schema")]
    pub last_used_by: Option<String>,
    /// `Honoured`: whether the webhook lets through what it covers, and if not, why.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// What is true of an exception, as elsewhere in Kubernetes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What.
    pub r#type: String,
    /// `True` or `False`.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, in words.
    pub message: String,
    /// When that last changed.
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
