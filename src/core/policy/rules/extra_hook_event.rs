//! MW017: the migration runs at another moment, too.

use crate::core::job::hooks::Event;
use crate::core::job::name::cut;
use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job that is also a hook for an event other than `pre-install` and `pre-upgrade`.
    ///
    /// ## Why is this bad?
    /// The migration runs again after the install, at a rollback, at the uninstall or as a test. Users do not
    /// expect the schema to change then. A rollback runs the old release's Job under its old name.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   annotations:
    ///     helm.sh/hook: pre-install,pre-upgrade
    /// ```
    ///
    /// Undo a migration at a rollback with a separate Job, which must not run before upgrades.
    ///
    /// Source: the Helm documentation, "Chart Hooks: The Available Hooks".
    pub(super) static EXTRA_HOOK_EVENT = {
        id: "MW017",
        name: "extra-hook-event",
        reason: "it runs at another event",
        remediation: "keep only the events that this Job is for in helm.sh/hook",
        path: "metadata.annotations['helm.sh/hook']",
        guide: Warn,
        strict: Deny,
        scope: Scope::Hook,
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

/// Most of the events' names that is repeated; each of the eight once has less.
const MAX: usize = 120;

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let value = job.annotations.get(Annotation::Hook)?;
    let extra: Vec<_> = hooks::elements(value)
        .filter(|e| hooks::event(e) == Some(Event::Other))
        .collect();
    if extra.is_empty() {
        return None;
    }
    let extra = extra.join(", ");
    let breach = Breach::new(Annotation::Hook, format!("it runs at {extra}"));
    let take_out = || format!("remove {} from helm.sh/hook", cut(&extra, MAX)).into();
    let advice = Purpose::of(job, value).advice();
    Some(breach.advise(advice.unwrap_or_else(take_out)))
}

fn expression(_: &Options) -> String {
    format!(
        "!variables.hook.exists(e, e in {})",
        cel::list(&cel::OTHER_EVENTS)
    )
}

#[cfg(test)]
mod tests {
    use crate::core::policy::testing::{findings, job, told_of};
    use serde_json::json;

    #[test]
    fn names_the_other_events() {
        let with = |value: &str| {
            findings(
                "MW017",
                &job(|j| j["metadata"]["annotations"]["helm.sh/hook"] = json!(value)),
            )
        };
        assert_eq!(
            with("pre-install,pre-upgrade,post-rollback,Test"),
            ["metadata.annotations['helm.sh/hook']: it runs at post-rollback, test"]
        );
        assert!(with("pre-install,pre-upgrade").is_empty());
    }

    #[test]
    fn says_which_events_are_too_many() {
        let told = |value: &str| {
            told_of(
                "MW017",
                &job(|j| j["metadata"]["annotations"]["helm.sh/hook"] = json!(value)),
            )
            .concat()
        };
        assert!(
            told("pre-install,pre-upgrade,post-rollback,Test")
                .ends_with("; remove post-rollback, test from helm.sh/hook")
        );
        let bundled = told("post-install,pre-upgrade");
        assert!(
            bundled.contains("; if it needs a database of this same release, let"),
            "{bundled}"
        );
        let rollback = told("pre-rollback");
        assert!(
            rollback.ends_with("before upgrades: let a MigrationException admit it"),
            "{rollback}"
        );
    }
}
