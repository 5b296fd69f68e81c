//! Helm's hook annotations, parsed exactly as Helm does.
//!
//! Source: `SortManifests`, `operateAnnotationValues` and `calculateHookWeight` of
//! `helm/helm: pkg/releaseutil/manifest_sorter.go` (3.22.0, the same in 4.3.1). A value is split on commas, each
//! element trimmed of Unicode white space and lower-cased. The rules decide which events and policies are right.

use std::borrow::Cow;

/// A moment in a release's life at which Helm runs hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Before the first install.
    PreInstall,
    PreUpgrade,
    /// Any other event Helm knows.
    Other,
}

/// The elements of an annotation as Helm reads them; an empty value has one empty element.
pub(crate) fn elements(value: &str) -> impl Iterator<Item = Cow<'_, str>> {
    value.split(',').map(|element| {
        let element = element.trim();
        if element
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'-'))
        {
            Cow::Borrowed(element)
        } else {
            // Go maps each character to exactly one; Rust maps some to two.
            Cow::Owned(
                element
                    .chars()
                    .filter_map(|c| c.to_lowercase().next())
                    .collect(),
            )
        }
    })
}

/// The events that Helm knows, those before an install or an upgrade first.
pub(crate) const EVENTS: [&str; 10] = [
    "pre-install",
    "pre-upgrade",
    "post-install",
    "pre-delete",
    "post-delete",
    "post-upgrade",
    "pre-rollback",
    "post-rollback",
    "test",
    "test-success",
];

/// The event of an element, or `None` for one that Helm does not know: Helm then drops the manifest.
pub(crate) fn event(element: &str) -> Option<Event> {
    let found = EVENTS.iter().position(|event| *event == element)?;
    Some(match found {
        0 => Event::PreInstall,
        1 => Event::PreUpgrade,
        _ => Event::Other,
    })
}

/// Whether Go's `strconv.Atoi` accepts this weight; Helm reads any other as 0.
pub(crate) fn is_weight(value: &str) -> bool {
    // Like Rust, Go accepts a sign and ASCII digits within 64 bits.
    value.parse::<i64>().is_ok()
}

const BEFORE_HOOK_CREATION: &str = "before-hook-creation";
const HOOK_SUCCEEDED: &str = "hook-succeeded";

/// Whether Helm deletes an earlier hook before it creates the next one. That is the default only if the annotation is
/// missing: Helm keeps a word that it does not know, and then deletes nothing (`execHook` in Helm's
/// `pkg/action/hooks.go`).
pub(crate) fn deletes_before_creation(policy: Option<&str>) -> bool {
    policy.is_none_or(|policy| elements(policy).any(|element| element == BEFORE_HOOK_CREATION))
}

/// Whether Helm deletes a hook once it has succeeded.
pub(crate) fn deletes_succeeded(policy: Option<&str>) -> bool {
    policy
        .into_iter()
        .flat_map(elements)
        .any(|element| element == HOOK_SUCCEEDED)
}

/// The hook types of Argo CD, the longest first. In lower case they are the phases that Argo CD writes into names.
pub(crate) const ARGOCD_TYPES: [&str; 6] = [
    "PostDelete",
    "PreDelete",
    "SyncFail",
    "PostSync",
    "PreSync",
    "Sync",
];

/// The longest type of an Argo CD hook. Argo CD reads Helm's annotation only if its own does not name a type.
pub(crate) fn argocd_type(own: Option<&str>, helm: Option<&str>) -> Option<&'static str> {
    let mut types = ARGOCD_TYPES.into_iter();
    if let Some(found) = types.find(|name| argocd_has(own, name)) {
        return Some(found);
    }
    if argocd_has(own, "Skip") {
        return None;
    }
    if argocd_has(helm, "post-install") || argocd_has(helm, "post-upgrade") {
        return Some("PostSync");
    }
    let is_pre = argocd_has(helm, "pre-install") || argocd_has(helm, "pre-upgrade");
    is_pre.then_some("PreSync")
}

/// Whether the annotation of an Argo CD hook has `element`. Argo CD compares it case-sensitively.
pub(crate) fn argocd_has(value: Option<&str>, element: &str) -> bool {
    value.is_some_and(|value| value.split(',').any(|found| found.trim() == element))
}

/// Whether Argo CD deletes an earlier hook before it creates the next; that is also its default.
pub(crate) fn argocd_deletes_before_creation(policy: Option<&str>) -> bool {
    policy.is_none_or(|policy| policy.is_empty() || argocd_has(Some(policy), "BeforeHookCreation"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Hooks {
        elements: Vec<(String, Vec<String>)>,
        unknown_events: Vec<String>,
        policies: Vec<(Option<String>, bool, bool)>,
        weights: Vec<String>,
        not_weights: Vec<String>,
    }

    #[test]
    fn annotations_are_read_as_helm_reads_them() {
        let hooks: Hooks = crate::testing::table("job/hooks");
        for (value, expected) in &hooks.elements {
            assert_eq!(&elements(value).collect::<Vec<_>>(), expected, "{value:?}");
        }
        assert_eq!(event("pre-install"), Some(Event::PreInstall));
        assert_eq!(event("pre-upgrade"), Some(Event::PreUpgrade));
        assert_eq!(event("test-success"), Some(Event::Other));
        for unknown in &hooks.unknown_events {
            assert_eq!(event(unknown), None, "{unknown:?}");
        }
        for (policy, before_creation, succeeded) in &hooks.policies {
            let policy = policy.as_deref();
            let deletes = (deletes_before_creation(policy), deletes_succeeded(policy));
            assert_eq!(deletes, (*before_creation, *succeeded), "{policy:?}");
        }
        for (weights, good) in [(&hooks.weights, true), (&hooks.not_weights, false)] {
            for weight in weights {
                assert_eq!(is_weight(weight), good, "{weight:?}");
            }
        }
    }
}
