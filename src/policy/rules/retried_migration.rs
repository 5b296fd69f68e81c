//! MW006: a failed migration is run again by the Job controller.

use crate::policy::rule::prelude::*;

rule! {
    /// A migration Job with a `backoffLimit` above 0; Kubernetes' default is 6.
    ///
    /// ## Why is this bad?
    /// A migration that failed half-way is run again, up to seven times, on a schema that is neither old
    /// nor new. Many tools then stop at their own "dirty" mark, and the first error, the one that matters,
    /// is hidden behind it.
    ///
    /// ## Instead
    /// ```yaml
    /// spec:
    ///   backoffLimit: 0
    /// ```
    ///
    /// Source: the Kubernetes documentation, "Jobs: Pod backoff failure policy".
    pub(super) static RETRIED_MIGRATION = {
        id: "MW006",
        name: "retried-migration",
        reason: "a failed attempt is retried",
        remediation: "write backoffLimit: 0",
        path: "spec.backoffLimit",
        guide: Audit,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Refused("whether a migration may be retried is for its author to say"),
        options: &[],
        cel: Cel::Expression(expression),
        check: check,
    };
}

fn check(job: &Job<'_>, _: Selection, _: &Options, report: &mut Report) {
    let limit = job.backoff_limit();
    if limit > 0 {
        report.add(FieldPath::of("spec.backoffLimit"), format!("found {limit}"));
    }
}

fn expression(_: &Options) -> String {
    "object.spec.?backoffLimit.orValue(6) <= 0".to_owned()
}

#[cfg(test)]
mod tests {
    use crate::policy::testing::{findings, job};
    use serde_json::json;

    #[test]
    fn absent_means_six() {
        let with = |value| findings("MW006", &job(|j| j["spec"]["backoffLimit"] = value));
        assert_eq!(with(json!(null)), ["spec.backoffLimit: found 6"]);
        assert_eq!(with(json!(3)), ["spec.backoffLimit: found 3"]);
        assert!(with(json!(0)).is_empty());
    }
}
