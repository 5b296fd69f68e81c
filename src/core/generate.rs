//! Manifests made from the policy, for the cluster to judge by where the webhook cannot.
//!
//! Pure: the same policy gives the same text, letter by letter. What is made is applied by whoever
//! asked for it.

pub mod vap;

use serde_json::Value;

/// The longest line that text is folded to; an expression of ours has no double spaces that folding
/// could lose.
const WIDTH: usize = 100;

/// The manifests as one YAML stream.
pub fn yaml(manifests: &[Value]) -> Result<String, serde_saphyr::SerializeError> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: WIDTH };
    serde_saphyr::to_string_multiple_with_options(manifests, options)
}
