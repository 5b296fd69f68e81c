//! MW018: the migration does not start.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job that is created suspended.
    ///
    /// ## Why is this bad?
    /// Helm waits until its timeout for a Job that nothing starts. If a queue such as Kueue starts Jobs, the deploy
    /// waits for the queue.
    ///
    /// ## Instead
    /// Leave `suspend` out, or write:
    /// ```yaml
    /// spec:
    ///   suspend: false
    /// ```
    ///
    /// Source: the Kubernetes documentation, "Jobs: Suspending a Job".
    pub(super) static SUSPENDED_MIGRATION = {
        id: "MW018",
        name: "suspended-migration",
        reason: "it does not start",
        remediation: "leave suspend out",
        path: "spec.suspend",
        guide: Warn,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Refused("a Job is suspended on purpose"),
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let is_suspended = job.spec.suspend == Some(true);
    let detail = "found true, so Helm waits until its timeout";
    is_suspended.then(|| Breach::new("spec.suspend", detail))
}

fn expression(_: &Options) -> String {
    "!object.spec.?suspend.orValue(false)".to_owned()
}
