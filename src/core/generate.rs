//! Manifests generated from the policy, with which the cluster itself can check Jobs.
//!
//! Pure: the same policy gives exactly the same text. The user applies the manifests.

pub mod vap;

use serde_json::Value;

/// Width to which text is folded. Our expressions have no double spaces, which folding could lose.
const WIDTH: usize = 100;

/// The manifests as one YAML stream.
pub fn yaml(manifests: &[Value]) -> Result<String, serde_saphyr::SerializeError> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: WIDTH };
    serde_saphyr::to_string_multiple_with_options(manifests, options)
}
