//! MW007: nothing ever stops the migration.

use crate::policy::rule::prelude::*;

rule! {
    /// A migration Job without `activeDeadlineSeconds`.
    ///
    /// ## Why is this bad?
    /// `helm --timeout` stops Helm, not the Job. A migration that waits for a lock goes on after the deploy
    /// was given up, and the next deploy meets it.
    ///
    /// ## Instead
    /// The longest time the migration may take, somewhat above `helm --timeout`:
    /// ```yaml
    /// spec:
    ///   activeDeadlineSeconds: 600
    /// ```
    ///
    /// Source: the Kubernetes documentation, "Jobs: Job termination and cleanup"; helm/helm#8206.
    pub(super) static NO_DEADLINE = {
        id: "MW007",
        name: "no-deadline",
        reason: "nothing stops it",
        remediation: "write activeDeadlineSeconds: 600, or the longest it may take",
        path: "spec.activeDeadlineSeconds",
        guide: Audit,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Refused("only its author knows how long a migration may take"),
        options: &[],
        cel: Cel::Expression(expression),
        check: check,
    };
}

fn check(job: &Job<'_>, _: Selection, _: &Options, report: &mut Report) {
    if job.spec.active_deadline_seconds.is_none() {
        report.add(
            FieldPath::of("spec.activeDeadlineSeconds"),
            "there is none, and Helm's timeout does not stop the Job",
        );
    }
}

fn expression(_: &Options) -> String {
    "has(object.spec.activeDeadlineSeconds)".to_owned()
}

#[cfg(test)]
mod tests {
    use crate::policy::testing::{findings, job};
    use serde_json::json;

    #[test]
    fn asks_for_one() {
        let with = |value| {
            findings(
                "MW007",
                &job(|j| j["spec"]["activeDeadlineSeconds"] = value),
            )
        };
        assert_eq!(
            with(json!(null)),
            ["spec.activeDeadlineSeconds: there is none, and Helm's timeout does not stop the Job"]
        );
        assert!(with(json!(60)).is_empty());
    }
}
