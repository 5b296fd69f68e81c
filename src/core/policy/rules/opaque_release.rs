//! MW021: a migration Job whose release is unknown.

use crate::core::job::release::{self, FLUX_NAME, INSTANCE, Source};
use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job without a label or annotation that names its release.
    ///
    /// The rule looks for the label `app.kubernetes.io/instance` on the Job or its pod template, Flux's
    /// `helm.toolkit.fluxcd.io/name` and Argo CD's `argocd.argoproj.io/tracking-id`.
    ///
    /// ## Why is this bad?
    /// Helm does not write the release on hooks. Without a release, you cannot find the record of a migration by
    /// release, and migration-warden does not know that two migrations belong to one release.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   labels:
    ///     app.kubernetes.io/instance: {{ .Release.Name }}
    /// ```
    ///
    /// Source: the Kubernetes documentation, "Recommended Labels".
    pub(super) static OPAQUE_RELEASE = {
        id: "MW021",
        name: "opaque-release",
        reason: "only its name indicates the release",
        remediation: "write the label app.kubernetes.io/instance with the release's name",
        path: "metadata.labels",
        guide: Audit,
        strict: Warn,
        scope: Scope::Template,
        patch: Patch::Refused("the webhook does not know the release either"),
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    if release::find(job).1 != Source::BaseName {
        return None;
    }
    let breach = Breach::new("metadata.labels", "only the name indicates the release");
    Some(if job.deployer.runs_hooks() && !job.is_in_argocds_words() {
        breach.advise("write the label app.kubernetes.io/instance: {{ .Release.Name }}")
    } else {
        breach
    })
}

fn expression(_: &Options) -> String {
    let job = "object.metadata.?labels";
    let pod = "object.spec.template.?metadata.?labels";
    let tracking = cel::annotation(Annotation::ArgoCdTrackingId);
    format!(
        "{job}[?'{INSTANCE}'].orValue('') != '' || {pod}[?'{INSTANCE}'].orValue('') != '' || \
         {job}[?'{FLUX_NAME}'].orValue('') != '' || {tracking}.orValue('').split(':')[0] != ''"
    )
}
