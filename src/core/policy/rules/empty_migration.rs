//! MW024: the migration never runs.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job with `completions: 0` or `parallelism: 0`, for which Kubernetes starts no pod.
    ///
    /// ## Why is this bad?
    /// The migration never runs. With `completions: 0` Kubernetes reports the Job as complete at once, and Helm reports
    /// the release as deployed: the new version starts on the old schema. With `parallelism: 0` the Job does nothing,
    /// and Helm waits for it until its timeout.
    ///
    /// ## Instead
    /// Leave both fields out, or write:
    /// ```yaml
    /// spec:
    ///   completions: 1
    ///   parallelism: 1
    /// ```
    /// To leave a migration out of one deploy, do not render the Job.
    ///
    /// Source: the Kubernetes documentation, "Jobs: Controlling parallelism".
    pub(super) static EMPTY_MIGRATION = {
        id: "MW024",
        name: "empty-migration",
        reason: "no pod ever runs",
        remediation: "write 1, or leave the field out",
        path: "spec.completions",
        guide: Deny,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Refused("a Job that does nothing may be intended"),
        cel: Cel::Expression(expression),
        check: Check::All(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Breaches {
    let fields = [
        (
            job.spec.completions,
            "spec.completions",
            "found 0: Kubernetes reports the Job as complete without starting a pod",
        ),
        (
            job.spec.parallelism,
            "spec.parallelism",
            "found 0: Kubernetes starts no pod",
        ),
    ];
    let zero = fields.into_iter().filter(|(value, ..)| *value == Some(0));
    zero.map(|(_, path, detail)| Breach::new(path, detail))
        .collect()
}

fn expression(_: &Options) -> String {
    "object.spec.?completions.orValue(1) != 0 && object.spec.?parallelism.orValue(1) != 0"
        .to_owned()
}
