//! The content of Kubernetes Events. Pure; [`crate::cluster::events`] sends them.

use k8s_openapi::api::core::v1::ObjectReference;

use crate::core::text;

/// Longest note that the API server accepts, in bytes (`NoteLengthLimit` of its validation).
pub(crate) const LONGEST_NOTE: usize = 1024;

/// Something that is published as a Kubernetes Event.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    pub regarding: ObjectReference,
    /// Another involved object. Repeated Events with the same two objects are merged, and keep their first note.
    pub related: Option<ObjectReference>,
    /// Whether it may need action.
    pub is_warning: bool,
    /// The reason, in one word.
    pub reason: &'static str,
    /// The action that was taken, in one word.
    pub action: &'static str,
    pub note: String,
}

/// A text as the note of an Event: in one line, and cut to the length that the API server accepts.
pub(crate) fn note(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let note = lines.collect::<Vec<_>>().join("; ");
    text::bounded(&note, LONGEST_NOTE).into_owned()
}

pub(crate) fn job(namespace: &str, name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("batch/v1".to_owned()),
        kind: Some("Job".to_owned()),
        namespace: Some(named(namespace)),
        name: Some(named(name)),
        uid: (!uid.is_empty()).then(|| uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// A reference to a Namespace, with which the Event is stored in that namespace. The Event of a cluster-scoped object
/// would be stored in `default`, which users of the namespace may not be able to read.
pub(crate) fn namespace(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Namespace".to_owned()),
        namespace: Some(named(name)),
        name: Some(named(name)),
        ..ObjectReference::default()
    }
}

fn named(name: &str) -> String {
    text::bounded(name, text::NAME).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line_and_as_long_as_may_be() {
        assert_eq!(note("MW001 a\n  MW002 b\n"), "MW001 a; MW002 b");
        assert_eq!(note(&"x".repeat(1024)), "x".repeat(1024));
        assert_eq!(note(&"x".repeat(1025)), "x".repeat(1021) + "…");
        // Two bytes each, so that the limit is within a character.
        assert_eq!(note(&"ä".repeat(600)), "ä".repeat(510) + "…");
    }
}
