//! Advice to the author of a hook that several rules share: what the hook is for, and where its annotations belong.
//!
//! Advice that is right for an upgrade would destroy data in a Job that undoes a migration, so each rule about hook
//! events asks here first. Nothing here decides whether there is a finding.

use std::borrow::Cow;

use crate::core::job::Job;
use crate::core::job::annotation::Annotation;
use crate::core::job::hooks::{self, Event};
use crate::core::policy::breach::shown;
use crate::core::policy::options::RuleOption;
use crate::core::policy::path::FieldPath;

/// Advice for a Job that is not a migration before an upgrade.
const NO_UPGRADE: &str = "let a MigrationException admit it, or label it migration-warden.io/migration: \"false\" \
                          if it is not a migration";

/// Advice for a Job that undoes a migration.
pub(crate) const DOWNGRADE: &str =
    "a Job that undoes a migration must not run before upgrades: let a MigrationException admit it";

/// What a hook Job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To migrate before the new version starts; the default without another sign.
    Upgrade,
    /// To undo a migration.
    Downgrade,
    /// To run once the new version is installed, even if only after an install: then a database of the same release
    /// exists.
    After,
    /// To run at another moment: a test, or the end of the release.
    Other,
}

/// The option of the rules that Argo CD's own annotations may satisfy. Each of them has one of its own.
pub(crate) const ARGOCD_OPTION: RuleOption<bool> = RuleOption {
    key: "argocd",
    about: "For `missing-hook` and `wrong-delete-policy`: accept Argo CD's own hook annotations too.",
    default: false,
    needs: None,
};

impl Purpose {
    /// What `job` is for, by these hook events and by what it runs.
    #[must_use]
    pub(crate) fn of(job: &Job<'_>, events: &str) -> Self {
        if job.is_downward() {
            return Self::Downgrade;
        }
        let has = |wanted: &str| hooks::elements(events).any(|element| element == wanted);
        let is_after =
            |moment: &str| has(&format!("post-{moment}")) && !has(&format!("pre-{moment}"));
        let is_before = has("pre-install") || has("pre-upgrade");
        let has_other =
            hooks::elements(events).any(|element| hooks::event(&element) == Some(Event::Other));
        if !is_before && (has("pre-rollback") || has("post-rollback")) {
            Self::Downgrade
        } else if is_after("install") || is_after("upgrade") {
            Self::After
        } else if !is_before && has_other {
            Self::Other
        } else {
            Self::Upgrade
        }
    }

    /// What an Argo CD hook is for, by these hook types and by what it runs.
    #[must_use]
    pub(crate) fn of_argocds(job: &Job<'_>, types: &str) -> Self {
        let has = |wanted: &str| hooks::argocd_has(Some(types), wanted);
        if job.is_downward() || has("SyncFail") {
            Self::Downgrade
        } else if has("PreSync") || has("Sync") {
            Self::Upgrade
        } else if has("PostSync") {
            Self::After
        } else if has("PreDelete") || has("PostDelete") || has("Skip") {
            Self::Other
        } else {
            Self::Upgrade
        }
    }

    /// The advice for a Job whose hook is not that of a migration before upgrades; `write` is what that needs.
    #[must_use]
    pub(crate) fn advice(self, write: Cow<'static, str>) -> Cow<'static, str> {
        match self {
            Self::Upgrade => write,
            Self::Downgrade => DOWNGRADE.into(),
            Self::After => format!(
                "{write}; or, if it needs a database of this same release, let a MigrationException admit it"
            )
            .into(),
            Self::Other => NO_UPGRADE.into(),
        }
    }
}

/// The words for an annotation that is missing, with the key that is most like its own.
pub(crate) fn missing(job: &Job<'_>, annotation: Annotation) -> String {
    let key = annotation.key();
    match job.annotations.misspelt(annotation) {
        Some(written) => format!("the annotation is called {} and not {key}", shown(written)),
        None => format!("the annotation {key} is missing"),
    }
}

/// An annotation in a place where no deployer reads it.
#[derive(Debug)]
pub(crate) struct Stray<'a> {
    /// The annotation that is misplaced.
    pub annotation: Annotation,
    /// The field that holds it.
    pub path: FieldPath,
    /// The words for that place in a message.
    pub place: &'static str,
    /// The annotation's value.
    pub value: &'a str,
}

impl<'a> Stray<'a> {
    /// Looks for `annotation` as a label, and on the pod template.
    #[must_use]
    pub(crate) fn of(job: &Job<'a>, annotation: Annotation) -> Option<Self> {
        let (key, template) = (annotation.key(), &job.spec.template.metadata);
        let pods = template.annotations.get(annotation);
        let places = [
            ("metadata.labels", "a label", job.metadata.labels.get(key)),
            (
                "spec.template.metadata.annotations",
                "an annotation of the pod template",
                pods,
            ),
            (
                "spec.template.metadata.labels",
                "a label of the pod template",
                template.labels.get(key),
            ),
        ];
        places.into_iter().find_map(|(path, place, value)| {
            Some(Self {
                annotation,
                path: FieldPath::of(path).key(key),
                place,
                value: value?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::testing::{job, stored};

    #[test]
    fn events_say_what_a_job_is_for() {
        for (expected, events) in [
            (Purpose::Upgrade, ""),
            (Purpose::Upgrade, "pre-instal"),
            (Purpose::Upgrade, "pre-install,pre-upgrade,post-upgrade"),
            (Purpose::After, "post-install,pre-upgrade"),
            (Purpose::After, "post-install, Pre-Upgrade,post-rollback"),
            (Purpose::After, "pre-install,post-upgrade"),
            (Purpose::Downgrade, "pre-rollback"),
            (Purpose::Downgrade, "test, Post-Rollback ,post-install"),
            (Purpose::After, "post-install,post-upgrade"),
            (Purpose::After, "test,post-upgrade"),
            (Purpose::Other, "test"),
            (Purpose::Other, "post-delete,pre-delete"),
        ] {
            let purpose = stored(&job(|_| {}), |job| Purpose::of(job, events));
            assert_eq!(purpose, expected, "{events:?}");
        }
    }
}
