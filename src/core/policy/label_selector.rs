//! Label selectors, in the form that policies and exceptions use. [`super::select`] matches Jobs with them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A standard Kubernetes label selector for Jobs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct LabelSelector {
    /// Labels that must have exactly these values.
    #[serde(default)]
    pub(crate) match_labels: BTreeMap<String, String>,
    /// Requirements that must all hold.
    #[serde(default)]
    pub(crate) match_expressions: Vec<LabelSelectorRequirement>,
}

/// A requirement on one label.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelectorRequirement {
    /// Key of the label.
    pub key: String,
    /// How the label is compared with `values`.
    pub operator: Operator,
    /// The values, for `In` and `NotIn` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How a label is compared with values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label exists.
    Exists,
    /// The label does not exist.
    DoesNotExist,
}

impl From<LabelSelector> for meta::LabelSelector {
    fn from(selector: LabelSelector) -> Self {
        let requirement = |r: LabelSelectorRequirement| meta::LabelSelectorRequirement {
            key: r.key,
            operator: r.operator.to_string(),
            values: (!r.values.is_empty()).then_some(r.values),
        };
        let requirements = selector.match_expressions.into_iter().map(requirement);
        Self {
            match_labels: Some(selector.match_labels),
            match_expressions: Some(requirements.collect()),
        }
    }
}

/// What is wrong with the values of a requirement.
pub(crate) fn misused(requirement: &LabelSelectorRequirement) -> Option<String> {
    let takes_values = matches!(requirement.operator, Operator::In | Operator::NotIn);
    let operator = requirement.operator;
    match (takes_values, requirement.values.is_empty()) {
        (true, true) => Some(format!("operator {operator} needs values")),
        (false, false) => Some(format!("operator {operator} takes no values")),
        _ => None,
    }
}
