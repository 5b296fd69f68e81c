//! MW019: a sidecar keeps the finished migration running.

use crate::job::mesh;
use crate::policy::rule::prelude::*;

rule! {
    /// A migration whose pod gets a service-mesh sidecar.
    ///
    /// Judged by what the pod template asks for, and by the namespace's own labels where a cluster can be
    /// asked. Linkerd's native sidecars are fine.
    ///
    /// ## Why is this bad?
    /// The migration ends, its sidecar does not, and the Job never completes: the deploy fails at its
    /// timeout although the migration succeeded.
    ///
    /// ## Instead
    /// ```yaml
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels:
    ///         sidecar.istio.io/inject: "false"
    ///       annotations:
    ///         linkerd.io/inject: disabled
    /// ```
    ///
    /// Source: the Istio documentation, "Installing the Sidecar"; the Linkerd documentation, "Automatic
    /// Proxy Injection"; linkerd/linkerd2#8194.
    pub(super) static BLOCKING_SIDECAR = {
        id: "MW019",
        name: "blocking-sidecar",
        reason: "a sidecar keeps it running",
        remediation: "switch injection off in the pod template",
        path: "spec.template.metadata.annotations",
        guide: Off,
        strict: Warn,
        scope: Scope::Template,
        patch: Patch::Refused("a migration may need the mesh to reach its database"),
        options: &[],
        cel: Cel::Expression(expression),
        check: check,
    };
}

fn check(job: &Job<'_>, _: Selection, _: &Options, report: &mut Report) {
    if let Some(mesh) = mesh::injected(job) {
        report.add(
            FieldPath::of("spec.template.metadata.annotations"),
            format!("{mesh} puts a sidecar into the pod, which does not end with the migration"),
        );
    }
}

fn expression(_: &Options) -> String {
    let own = "object.spec.template.?metadata.?labels";
    let istio = cel::pod_annotation(Annotation::IstioInject);
    let linkerd = cel::pod_annotation(Annotation::LinkerdInject);
    let native = cel::pod_annotation(Annotation::LinkerdNativeSidecar);
    let space = "namespaceObject.metadata";
    let by_istio = format!(
        "{space}.?labels[?'istio-injection'].optMap(v, v == 'enabled')\
         .orValue({space}.?labels[?'istio.io/rev'].hasValue())"
    );
    let by_linkerd =
        format!("{space}.?annotations[?'linkerd.io/inject'].orValue('') in ['enabled', 'ingress']");
    format!(
        "[{own}[?'sidecar.istio.io/inject'].or({istio}).orValue('')].all(i, i != 'true' && \
         (i == 'false' || !({own}[?'istio.io/rev'].hasValue() || {by_istio}))) && \
         [{linkerd}.orValue('')].all(l, {native}.orValue('') == 'true' || \
         !(l in ['enabled', 'ingress'] || l != 'disabled' && !({by_istio}) && {by_linkerd}))"
    )
}

#[cfg(test)]
mod tests {
    use crate::policy::testing::{findings, job};
    use serde_json::json;

    #[test]
    fn sees_what_the_pod_asks_for() {
        let with = |metadata| {
            findings(
                "MW019",
                &job(|j| j["spec"]["template"]["metadata"] = metadata),
            )
        };
        let text = |mesh| {
            vec![format!(
                "spec.template.metadata.annotations: {mesh} puts a sidecar into the pod, which does not end with the migration"
            )]
        };
        assert_eq!(
            with(json!({"labels": {"sidecar.istio.io/inject": "true"}})),
            text("Istio")
        );
        assert_eq!(
            with(json!({"labels": {"istio.io/rev": "canary"}})),
            text("Istio")
        );
        assert_eq!(
            with(json!({"annotations": {"linkerd.io/inject": "enabled"}})),
            text("Linkerd")
        );
        assert!(with(json!({})).is_empty());
        assert!(
            with(json!({"annotations": {
                "linkerd.io/inject": "enabled",
                "config.beta.linkerd.io/proxy-enable-native-sidecar": "true",
            }}))
            .is_empty()
        );
    }
}
