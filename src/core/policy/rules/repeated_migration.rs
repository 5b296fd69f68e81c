//! MW009: the migration has to succeed more than once.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job with `completions` above 1, or with the completion mode `Indexed`.
    ///
    /// ## Why is this bad?
    /// Kubernetes runs the migration again after it succeeded, once for each completion. At best a second run does
    /// nothing. At worst it repeats what must happen only once.
    ///
    /// ## Instead
    /// Leave `completions` and `completionMode` out, or write:
    /// ```yaml
    /// spec:
    ///   completions: 1
    /// ```
    ///
    /// Source: the Kubernetes documentation, "Jobs: Completion mode".
    pub(super) static REPEATED_MIGRATION = {
        id: "MW009",
        name: "repeated-migration",
        reason: "it runs several times",
        remediation: "write completions: 1 and leave completionMode out",
        path: "spec.completions",
        guide: Warn,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Refused("a Job written for several completions may not be right with one"),
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    if let Some(count) = job.spec.completions.filter(|&count| count > 1) {
        return Some(Breach::new("spec.completions", format!("found {count}")));
    }
    let is_indexed = job.spec.completion_mode.as_deref() == Some("Indexed");
    is_indexed.then(|| Breach::new("spec.completionMode", "found \"Indexed\""))
}

fn expression(_: &Options) -> String {
    "object.spec.?completions.orValue(1) <= 1 && object.spec.?completionMode.orValue('') != 'Indexed'".to_owned()
}
