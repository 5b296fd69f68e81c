//! MW012: the Job may vanish before Helm has seen its end.

use crate::core::policy::rule::prelude::*;
use crate::core::policy::tidy_up::MIN_TTL_SECONDS;

rule! {
    /// A migration Job with a `ttlSecondsAfterFinished` below one hour.
    ///
    /// ## Why is this bad?
    /// Kubernetes may delete the Job before Helm has read its status. Helm 4 and older versions of Argo CD then hang
    /// until their timeout. Kubernetes also deletes a failed Job before its logs are read.
    ///
    /// ## Instead
    /// Leave it out, or write a day or more:
    /// ```yaml
    /// spec:
    ///   ttlSecondsAfterFinished: 86400
    /// ```
    ///
    /// Leave it out of a Job that a `GitOps` tool keeps as desired state. Flux's kustomize-controller creates the Job
    /// again once the TTL has removed it, and the migration runs again. So does Argo CD if the Job is not a hook.
    ///
    /// Source: helm/helm#32586; argoproj/argo-cd#18884.
    pub(super) static SHORT_TTL = {
        id: "MW012",
        name: "short-ttl",
        reason: "Kubernetes may delete it too early",
        remediation: "leave ttlSecondsAfterFinished out; if the Job is a hook, 86400 is fine too",
        path: "spec.ttlSecondsAfterFinished",
        guide: Warn,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Refused("only its author knows how long a finished Job is needed"),
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let ttl = job.spec.ttl_seconds_after_finished;
    let ttl = ttl.filter(|&ttl| ttl < i64::from(MIN_TTL_SECONDS))?;
    let breach = Breach::new("spec.ttlSecondsAfterFinished", format!("found {ttl}"));
    let leave = "leave ttlSecondsAfterFinished out";
    Some(breach.advise(if job.is_recreated() {
        let deployer = job.deployer.name();
        format!("{leave}: {deployer} creates a deleted Job again, and the migration runs again")
    } else {
        format!("{leave}, or write 86400")
    }))
}

fn expression(_: &Options) -> String {
    let least = MIN_TTL_SECONDS;
    format!("object.spec.?ttlSecondsAfterFinished.orValue({least}) >= {least}")
}
