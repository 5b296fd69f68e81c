//! Manifests generated from the policy, with which the cluster itself can check Jobs.
//!
//! Pure: the same policy gives exactly the same text. The user applies the manifests.

pub mod adopt;
pub mod vap;

use serde_json::{Value, json};

/// Width to which text is folded. Our expressions have no double spaces, which folding could lose.
const WIDTH: usize = 100;

/// The `matchConstraints` of a policy for the creations of Jobs, except in these namespaces and those of the cluster
/// itself.
fn new_jobs(excluded_namespaces: &[String]) -> Value {
    let mut excluded = vap::SYSTEM_NAMESPACES.map(str::to_owned).to_vec();
    excluded.extend_from_slice(excluded_namespaces);
    json!({
        "namespaceSelector": {"matchExpressions": [{
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": excluded,
        }]},
        "resourceRules": [{
            "apiGroups": ["batch"],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["jobs"],
        }],
    })
}

/// The manifests as one YAML stream.
pub fn yaml(manifests: &[Value]) -> Result<String, serde_saphyr::SerializeError> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: WIDTH };
    serde_saphyr::to_string_multiple_with_options(manifests, options)
}
