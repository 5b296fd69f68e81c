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

/// The event of an element, or `None` for one that Helm does not know: Helm then drops the manifest.
#[must_use]
pub(crate) fn event(element: &str) -> Option<Event> {
    match element {
        "pre-install" => Some(Event::PreInstall),
        "pre-upgrade" => Some(Event::PreUpgrade),
        "post-install" | "pre-delete" | "post-delete" | "post-upgrade" | "pre-rollback"
        | "post-rollback" | "test" | "test-success" => Some(Event::Other),
        _ => None,
    }
}

/// Whether Go's `strconv.Atoi` accepts this weight; Helm reads any other as 0.
#[must_use]
pub(crate) fn is_weight(value: &str) -> bool {
    // Like Rust, Go accepts a sign and ASCII digits within 64 bits.
    value.parse::<i64>().is_ok()
}

const BEFORE_HOOK_CREATION: &str = "before-hook-creation";
const HOOK_SUCCEEDED: &str = "hook-succeeded";

/// Whether Helm deletes an earlier hook before it creates the next one. That is the default only if the annotation is
/// missing: Helm keeps a word that it does not know, and then deletes nothing (`execHook` in Helm's
/// `pkg/action/hooks.go`).
#[must_use]
pub(crate) fn deletes_before_creation(policy: Option<&str>) -> bool {
    policy.is_none_or(|policy| elements(policy).any(|element| element == BEFORE_HOOK_CREATION))
}

/// Whether Helm deletes a hook once it has succeeded.
#[must_use]
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
#[must_use]
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
#[must_use]
pub(crate) fn argocd_has(value: Option<&str>, element: &str) -> bool {
    value.is_some_and(|value| value.split(',').any(|found| found.trim() == element))
}

/// Whether Argo CD deletes an earlier hook before it creates the next; that is also its default.
#[must_use]
pub(crate) fn argocd_deletes_before_creation(policy: Option<&str>) -> bool {
    policy.is_none_or(|policy| policy.is_empty() || argocd_has(Some(policy), "BeforeHookCreation"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Vec<String> {
        elements(value).map(Cow::into_owned).collect()
    }

    #[test]
    fn splits_trims_and_lowers_as_helm_does() {
        assert_eq!(
            read("pre-install,pre-upgrade"),
            ["pre-install", "pre-upgrade"]
        );
        assert_eq!(
            read(" Pre-Install ,\u{a0}PRE-UPGRADE\t"),
            ["pre-install", "pre-upgrade"]
        );
        assert_eq!(read("pre-install,"), ["pre-install", ""]);
        assert_eq!(read("PRE-İNSTALL"), ["pre-install"]);
        assert_eq!(read(""), [""]);
        assert_eq!(read("pre-install pre-upgrade"), ["pre-install pre-upgrade"]);
    }

    #[test]
    fn knows_helm_3_events_and_the_helm_2_alias() {
        assert_eq!(event("pre-install"), Some(Event::PreInstall));
        assert_eq!(event("test-success"), Some(Event::Other));
        for unknown in ["crd-install", "pre-instal", "", "test-failure"] {
            assert_eq!(event(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn a_delete_policy_is_before_hook_creation_only_where_none_is_written() {
        for policy in [
            None,
            Some("hook-succeded,before-hook-creation"),
            Some(" Before-Hook-Creation"),
            Some("hook-failed,before-hook-creation"),
        ] {
            assert!(deletes_before_creation(policy), "{policy:?}");
            assert!(!deletes_succeeded(policy), "{policy:?}");
        }
        for unknown in [
            "",
            "hook-succeded",
            "before-hook-creation hook-succeeded",
            "hook-failed",
        ] {
            assert!(!deletes_before_creation(Some(unknown)), "{unknown:?}");
            assert!(!deletes_succeeded(Some(unknown)), "{unknown:?}");
        }
        for policy in ["hook-succeeded", "hook-succeded,Hook-Succeeded"] {
            assert!(!deletes_before_creation(Some(policy)), "{policy:?}");
            assert!(deletes_succeeded(Some(policy)), "{policy:?}");
        }
    }

    #[test]
    fn weights_are_what_atoi_takes() {
        for good in ["0", "-5", "+5", "05", "9223372036854775807"] {
            assert!(is_weight(good), "{good:?}");
        }
        for bad in [
            "",
            " 5",
            "5 ",
            "0x5",
            "1e1",
            "1_0",
            "high",
            "9223372036854775808",
            "+",
            "٣",
        ] {
            assert!(!is_weight(bad), "{bad:?}");
        }
    }
}
