//! MW020: a drain or the autoscaler may stop it in the middle.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration that the cluster's autoscaler may evict.
    ///
    /// ## Why is this bad?
    /// The autoscaler removes a node that it finds underused, and so stops the migration on it halfway.
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
    /// Only a PodDisruptionBudget protects the pod from `kubectl drain`.
    ///
    /// Source: the Cluster Autoscaler FAQ; the Karpenter documentation, "Disruption".
    pub(super) static EVICTABLE_MIGRATION = {
        id: "MW020",
        name: "evictable-migration",
        reason: "the autoscaler may stop it halfway",
        remediation: "annotate the pod: cluster-autoscaler.kubernetes.io/safe-to-evict: \"false\"",
        path: "spec.template.metadata.annotations",
        guide: Off,
        strict: Warn,
        scope: Scope::Template,
        patch: Patch::Refused("the webhook does not know which autoscaler the cluster has"),
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let annotations = &job.spec.template.metadata.annotations;
    let kept = annotations.get(Annotation::SafeToEvict) == Some("false")
        || annotations.get(Annotation::DoNotDisrupt) == Some("true");
    let detail = "no annotation keeps the autoscaler from evicting it";
    (!kept).then(|| Breach::new("spec.template.metadata.annotations", detail))
}

fn expression(_: &Options) -> String {
    format!(
        "{}.orValue('') == 'false' || {}.orValue('') == 'true'",
        cel::pod_annotation(Annotation::SafeToEvict),
        cel::pod_annotation(Annotation::DoNotDisrupt)
    )
}
