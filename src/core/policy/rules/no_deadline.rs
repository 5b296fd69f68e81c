//! MW007: nothing ever stops the migration.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job without a deadline: neither the Job nor its pod template has `activeDeadlineSeconds`.
    ///
    /// ## Why is this bad?
    /// `helm --timeout` stops Helm, not the Job. A migration that waits for a lock keeps running after the deploy has
    /// failed, and the next deploy meets it.
    ///
    /// ## Instead
    /// Write a deadline below `helm --timeout`, which is 300 seconds by default. The Job then ends first, and Helm
    /// reports why it failed:
    /// ```yaml
    /// spec:
    ///   activeDeadlineSeconds: 270
    /// ```
    /// If the migration may take longer, raise `helm --timeout` as well.
    ///
    /// Source: the Kubernetes documentation, "Jobs: Job termination and cleanup"; helm/helm#8206.
    pub(super) static NO_DEADLINE = {
        id: "MW007",
        name: "no-deadline",
        reason: "it has no deadline",
        remediation: "write activeDeadlineSeconds: 270, or any time below helm --timeout (default 300 s)",
        path: "spec.activeDeadlineSeconds",
        guide: Warn,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Refused("only its author knows how long a migration may take"),
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let pods = job.spec.template.spec.active_deadline_seconds;
    let deadline = job.spec.active_deadline_seconds.or(pods);
    let detail = "activeDeadlineSeconds is not set, and no deployer's timeout stops the Job";
    deadline
        .is_none()
        .then(|| Breach::new("spec.activeDeadlineSeconds", detail))
}

fn expression(_: &Options) -> String {
    "has(object.spec.activeDeadlineSeconds) || has(object.spec.template.spec.activeDeadlineSeconds)"
        .to_owned()
}
