//! What Kubernetes Events say. Pure; sending them is [`crate::cluster::events`]'.

use k8s_openapi::api::core::v1::ObjectReference;

use crate::core::text;

/// Longest note that the API server takes, in bytes (`NoteLengthLimit` of its validation).
const LONGEST_NOTE: usize = 1024;

/// Something that somebody who looks at the cluster should see.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// What it is about.
    pub regarding: ObjectReference,
    /// What else has to do with it. Repeated Events are one where both are the same, and keep their first note.
    pub related: Option<ObjectReference>,
    /// Whether somebody may have to do something.
    pub is_warning: bool,
    /// What, in one word.
    pub reason: &'static str,
    /// What was done, in one word.
    pub action: &'static str,
    /// What, in words.
    pub note: String,
}

impl Happening {
    /// With a note of one line that the API server takes.
    #[must_use]
    pub fn noted(mut self, note: &str) -> Self {
        let lines = note.lines().map(str::trim).filter(|line| !line.is_empty());
        let note = lines.collect::<Vec<_>>().join("; ");
        self.note = text::bounded(&note, LONGEST_NOTE).into_owned();
        self
    }
}

/// A Job.
#[must_use]
pub fn job(namespace: &str, name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("batch/v1".to_owned()),
        kind: Some("Job".to_owned()),
        namespace: Some(named(namespace)),
        name: Some(named(name)),
        uid: (!uid.is_empty()).then(|| uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// A Namespace, so that the Event is found in it: that of an object without a namespace would be in
/// `default`, where those who work in the namespace cannot look.
#[must_use]
pub fn namespace(name: &str) -> ObjectReference {
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

    fn noted(note: &str) -> String {
        let happening = Happening {
            regarding: namespace("shop"),
            related: None,
            is_warning: true,
            reason: "MigrationDenied",
            action: "Deny",
            note: String::new(),
        };
        happening.noted(note).note
    }

    #[test]
    fn a_note_is_one_line() {
        assert_eq!(noted("MW001 a\n  MW002 b\n"), "MW001 a; MW002 b");
    }

    #[test]
    fn a_note_is_as_long_as_may_be() {
        assert_eq!(noted(&"x".repeat(1024)), "x".repeat(1024));
        assert_eq!(noted(&"x".repeat(1025)), "x".repeat(1021) + "…");
        // Two bytes each, so that the cut would be within one.
        assert_eq!(noted(&"ä".repeat(600)), "ä".repeat(510) + "…");
    }
}
