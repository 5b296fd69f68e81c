//! MW020: a drain or the autoscaler may stop it in the middle.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration that the cluster's autoscaler may evict.
    ///
    /// ## Why is this bad?
    /// The autoscaler removes a node it finds underused, and the migration on it is stopped half-way.
    ///
    /// ## Instead
    /// For the Cluster Autoscaler, for Karpenter, or for both:
    /// ```yaml
    /// spec:
    ///   template:
    ///     metadata:
    ///       annotations:
    ///         cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
    ///         karpenter.sh/do-not-disrupt: "true"
    /// ```
    /// Against `kubectl drain` only a PodDisruptionBudget helps.
    ///
    /// Source: the Cluster Autoscaler FAQ; the Karpenter documentation, "Disruption".
    pub(super) static EVICTABLE_MIGRATION = {
        id: "MW020",
        name: "evictable-migration",
        reason: "it may be stopped in the middle",
        remediation: "annotate the pod: cluster-autoscaler.kubernetes.io/safe-to-evict: \"false\"",
        path: "spec.template.metadata.annotations",
        guide: Off,
        strict: Warn,
        scope: Scope::Template,
        patch: Patch::Refused("which autoscaler there is, the webhook does not know"),
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let annotations = &job.spec.template.metadata.annotations;
    let kept = annotations.get(Annotation::SafeToEvict) == Some("false")
        || annotations.get(Annotation::DoNotDisrupt) == Some("true");
    let detail = "nothing keeps the autoscaler from evicting it";
    (!kept).then(|| Breach::new("spec.template.metadata.annotations", detail))
}

fn expression(_: &Options) -> String {
    format!(
        "{}.orValue('') == 'false' || {}.orValue('') == 'true'",
        cel::pod_annotation(Annotation::SafeToEvict),
        cel::pod_annotation(Annotation::DoNotDisrupt)
    )
}

#[cfg(test)]
mod tests {
    use crate::core::policy::testing::{findings, job};
    use serde_json::json;

    #[test]
    fn either_autoscaler_will_do() {
        let with = |annotations| {
            findings(
                "MW020",
                &job(|j| j["spec"]["template"]["metadata"]["annotations"] = annotations),
            )
        };
        assert_eq!(
            with(json!({})),
            ["spec.template.metadata.annotations: nothing keeps the autoscaler from evicting it"]
        );
        assert!(with(json!({"karpenter.sh/do-not-disrupt": "true"})).is_empty());
        assert!(
            with(json!({"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"})).is_empty()
        );
    }
}
