//! MW004: the kubelet or the Job controller reuses the pod.

use crate::policy::fix::Fix;
use crate::policy::rule::prelude::*;

rule! {
    /// A migration whose pod has a `restartPolicy` other than `Never`.
    ///
    /// ## Why is this bad?
    /// With `OnFailure` the kubelet starts a half-applied migration again in place, and when the Job gives
    /// up its pod is removed, and the logs with it. `Always`, which is what nothing means, Kubernetes
    /// refuses for Jobs.
    ///
    /// ## Instead
    /// ```yaml
    /// spec:
    ///   template:
    ///     spec:
    ///       restartPolicy: Never
    /// ```
    ///
    /// ## Patching
    /// The field is set to `Never`.
    ///
    /// Source: the Kubernetes documentation, "Jobs: Handling Pod and container failures".
    pub(super) static RESTARTING_POD = {
        id: "MW004",
        name: "restarting-pod",
        reason: "restartPolicy is not Never",
        remediation: "write restartPolicy: Never in the pod template",
        path: "spec.template.spec.restartPolicy",
        guide: Deny,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Possible,
        options: &[],
        cel: Cel::Expression(expression),
        check: check,
    };
}

fn check(job: &Job<'_>, _: Selection, _: &Options, report: &mut Report) {
    let found = job.restart_policy();
    if found == "Never" {
        return;
    }
    let path = FieldPath::of("spec.template.spec.restartPolicy");
    let fix = Fix::set(path.clone(), "Never");
    report.add_fixable(path, format!("found {}", shown(found)), Some(fix));
}

fn expression(_: &Options) -> String {
    "object.spec.template.spec.?restartPolicy.orValue('Always') == 'Never'".to_owned()
}

#[cfg(test)]
mod tests {
    use crate::policy::testing::{findings, job};
    use serde_json::json;

    #[test]
    fn absent_means_always() {
        let with = |value| {
            findings(
                "MW004",
                &job(|j| j["spec"]["template"]["spec"]["restartPolicy"] = value),
            )
        };
        let path = "spec.template.spec.restartPolicy";
        assert_eq!(
            with(json!("OnFailure")),
            [format!(r#"{path}: found "OnFailure""#)]
        );
        assert_eq!(with(json!(null)), [format!(r#"{path}: found "Always""#)]);
        assert_eq!(with(json!("")), [format!(r#"{path}: found "Always""#)]);
        assert!(with(json!("Never")).is_empty());
    }
}
