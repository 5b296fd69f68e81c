//! Label selectors, in the form that policies and exceptions use. [`super::select`] matches Jobs with them.

use std::collections::BTreeMap;

use json_patch::jsonptr::PointerBuf;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::job::dns;
use crate::core::policy::breach::shown;

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

/// A JSON Pointer below a selector, and why nothing there can match a Job.
type Fault = (PointerBuf, String);

/// What keeps a selector from ever matching.
pub(crate) fn faults(selector: &LabelSelector) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (key, value) in &selector.match_labels {
        let at = PointerBuf::from_tokens(["matchLabels", key]);
        faults.extend(label_fault(key, value).map(|fault| (at, fault)));
    }
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        let at =
            |field: &str| PointerBuf::from_tokens(["matchExpressions", &index.to_string(), field]);
        let LabelSelectorRequirement {
            key,
            operator,
            values,
        } = requirement;
        faults.extend(bad_key(key).map(|fault| (at("key"), fault)));
        let takes_values = matches!(operator, Operator::In | Operator::NotIn);
        if takes_values == values.is_empty() {
            let needs = if takes_values { "needs" } else { "takes no" };
            faults.push((at("values"), format!("operator {operator} {needs} values")));
        }
        for (index, value) in values.iter().enumerate().filter(|_| takes_values) {
            let at = at("values").with_trailing_token(index);
            faults.extend(bad_value(value).map(|fault| (at, fault)));
        }
    }
    faults
}

/// Why no Job can have this label, if it cannot.
pub(crate) fn label_fault(key: &str, value: &str) -> Option<String> {
    bad_key(key).or_else(|| bad_value(value))
}

fn bad_key(key: &str) -> Option<String> {
    (!dns::is_label_key(key)).then(|| {
        format!(
            "{} is not the key of a label; write at most 63 letters, digits, '-', '_' and '.', after a prefix such as \
             example.com/ if it has one",
            shown(key)
        )
    })
}

fn bad_value(value: &str) -> Option<String> {
    (!dns::is_label_value(value)).then(|| {
        format!(
            "{} is not the value of a label; write at most 63 letters, digits, '-', '_' and '.', with a letter or digit \
             at both ends",
            shown(value)
        )
    })
}
