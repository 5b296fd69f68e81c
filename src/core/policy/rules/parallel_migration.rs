//! MW008: several pods migrate at once.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job with a `parallelism` above 1.
    ///
    /// ## Why is this bad?
    /// Several pods run the same migration at the same time. Tools that take no lock corrupt the schema. The others
    /// wait for each other until the deadline.
    ///
    /// ## Instead
    /// Leave `parallelism` out, or write:
    /// ```yaml
    /// spec:
    ///   parallelism: 1
    /// ```
    ///
    /// Source: the Kubernetes documentation, "Jobs: Parallel execution for Jobs".
    pub(super) static PARALLEL_MIGRATION = {
        id: "MW008",
        name: "parallel-migration",
        reason: "several pods run at once",
        remediation: "write parallelism: 1",
        path: "spec.parallelism",
        guide: Warn,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Refused("a Job written for several pods may not be right with one"),
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let pods = job.spec.parallelism.filter(|&pods| pods > 1)?;
    Some(Breach::new("spec.parallelism", format!("found {pods}")))
}

fn expression(_: &Options) -> String {
    "object.spec.?parallelism.orValue(1) <= 1".to_owned()
}
