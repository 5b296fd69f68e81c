//! The known facts about a namespace, and its mode. Pure: the caller supplies the facts.

use std::sync::Arc;

use crate::core::exception::Exception;
use crate::core::job::mesh::{self, Mesh};
use crate::core::policy::{Mode, Policy};
use crate::core::text;

/// The Namespace label that sets the mode.
const MODE_LABEL: &str = "migration-warden.io/mode";

/// The known facts about the namespace of a review.
#[derive(Clone, Debug, Default)]
pub struct NamespaceView {
    /// Value of its label `migration-warden.io/mode`.
    pub mode: Option<String>,
    /// The service mesh it injects.
    pub mesh: Option<Mesh>,
    /// Whether it is being deleted, with all its objects.
    pub terminating: bool,
    /// The exceptions for its Jobs, honoured or not.
    pub exceptions: Vec<Arc<Exception>>,
}

impl NamespaceView {
    /// The facts from a namespace's labels and annotations.
    #[must_use]
    pub fn of<'a>(
        label: impl Fn(&str) -> Option<&'a str>,
        annotation: impl Fn(&str) -> Option<&'a str>,
    ) -> Self {
        Self {
            mode: label(MODE_LABEL).map(str::to_owned),
            mesh: mesh::of_namespace(label, annotation),
            ..Self::default()
        }
    }
}

/// Whether a label or an annotation of this key says something about a namespace.
pub(crate) fn is_read(key: &str) -> bool {
    key == MODE_LABEL || mesh::is_key(key)
}

/// The message about a label whose value is not a mode.
pub(crate) fn unknown_mode(label: &str) -> String {
    format!(
        "namespace label {MODE_LABEL}: {} is not a mode, so the policy is enforced; write enforce, warn, audit or off",
        text::quoted(label)
    )
}

/// The mode of a namespace, and its label's value if that is not a mode.
pub(crate) fn mode(
    label: Option<String>,
    policy: &Policy,
    namespace: &str,
) -> (Mode, Option<String>) {
    match label {
        None => (policy.mode(namespace), None),
        Some(label) => match label.parse() {
            Ok(mode) => (mode, None),
            Err(_) => (Mode::Enforce, Some(label)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the other labels and annotations the cluster's cache keeps nothing.
    #[test]
    fn each_key_of_the_view_is_one_that_is_read() {
        let read = |key: &str| {
            assert!(is_read(key), "{key}");
            None
        };
        assert!(NamespaceView::of(read, read).mesh.is_none());
        assert!(!is_read("kubernetes.io/metadata.name"));
    }
}
