//! MW017: the migration runs at another moment, too.

use std::borrow::Cow;

use crate::core::job::hooks::Event;
use crate::core::job::name::cut;
use crate::core::policy::advice::DOWNGRADE;
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

/// What an exception for MW002 lacks.
const NAME_BOTH: &str = "name MW017 too in the MigrationException that admits it";
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
    let remove = format!("remove {} from helm.sh/hook", cut(&extra, MAX));
    // MW002 says what to write, and when an exception is right.
    Some(breach.advise(match Purpose::of(job, value) {
        Purpose::Upgrade => remove.into(),
        Purpose::After => format!("{remove}, or {NAME_BOTH}").into(),
        Purpose::Other => NAME_BOTH.into(),
        Purpose::Downgrade => Cow::from(DOWNGRADE),
    }))
}

fn expression(_: &Options) -> String {
    let [_, _, others @ ..] = &hooks::EVENTS;
    format!("!variables.hook.exists(e, e in {})", cel::list(others))
}
