//! The fallback for `/mutate`: a `MutatingAdmissionPolicy` that labels the Jobs of the policy's `adopt`.
//!
//! The API server evaluates it, so a Job gets its label while no replica answers. It does not stamp or patch, and knows no
//! entry with `tools`: those Jobs, and those that detection adopts, only `/mutate` labels.

use serde_json::{Value, json};

use super::new_jobs;
use crate::core::job::ADOPTED_LABEL;
use crate::core::policy::cel::{self, string};
use crate::core::policy::{Policy, adopt_cel};

/// The policy and its binding; `None` if CEL can express no entry.
#[must_use]
pub fn manifests(
    policy: &Policy,
    name: &str,
    excluded_namespaces: &[String],
) -> Option<[Value; 2]> {
    let entries = policy.adopt.entries();
    adopt_cel::expressible(entries).next()?;
    let unlabelled = cel::unlabelled("object", policy.selectors.as_written());
    let adopted = ("adopted", adopt_cel::first(entries));
    let variables = adopt_cel::variables().into_iter().chain([adopted]);
    let variables: Value = variables
        .map(|(name, expression)| json!({"name": name, "expression": expression}))
        .collect();
    let mutating = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            // A Job is created without its label rather than not at all: `/mutate` gives it, too.
            "failurePolicy": "Ignore",
            "reinvocationPolicy": "IfNeeded",
            "matchConstraints": new_jobs(excluded_namespaces),
            "matchConditions": [
                {"name": cel::NOT_THE_CONTROL_PLANE, "expression": cel::ASKED_BY_OTHERS},
                {"name": cel::UNLABELLED, "expression": unlabelled},
            ],
            "variables": variables,
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch()}}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    });
    Some([mutating, binding])
}

/// The patch that sets the label; no operations for a Job that no entry adopts.
fn patch() -> String {
    let label = string(ADOPTED_LABEL);
    let path = string(&format!(
        "/metadata/labels/{}",
        ADOPTED_LABEL.replace('/', "~1")
    ));
    let add =
        |path: &str, value: &str| format!("[JSONPatch{{op: 'add', path: {path}, value: {value}}}]");
    let (one, all) = (
        add(&path, "variables.adopted"),
        add(
            "'/metadata/labels'",
            &format!("{{{label}: variables.adopted}}"),
        ),
    );
    format!("variables.adopted == '' ? [] : object.metadata.?labels.hasValue() ? {one} : {all}")
}
