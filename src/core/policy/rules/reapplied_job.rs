//! MW103: a hook Job that has finished is applied again.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A finished hook Job that Helm applies again, so that nothing runs.
    ///
    /// The rule applies only if Helm would take the update for a run. The Job has ended, and it is a pre-install or
    /// pre-upgrade hook before and after the update. Helm 4 or a program that embeds Helm applies it. The rule allows
    /// all other updates.
    ///
    /// ## Why is this bad?
    /// Helm 4 applies hooks on the server side. If a Job of the same name is left from the upgrade before, the apply
    /// changes nothing and no pod starts. Helm finds the Job complete: STATUS deployed, and the new version starts
    /// without its migration. Helm 3 fails in the same place, with `already exists`.
    ///
    /// ## Instead
    /// Give each run its own name, `{{ .Release.Name }}-migrate-{{ now | unixEpoch }}`. Or let Helm delete the old Job
    /// first, with `before-hook-creation` in `helm.sh/hook-delete-policy`. For this upgrade, delete the old Job and
    /// retry.
    ///
    /// Source: `helm/helm: pkg/kube/client.go`, `patchResourceServerSide` (4.3.1).
    pub static REAPPLIED_JOB = {
        id: "MW103",
        name: "reapplied-job",
        reason: "the migration would not run again",
        remediation: "add a timestamp to the name, or before-hook-creation to the delete policy",
        path: "metadata.name",
        guide: Deny,
        strict: Deny,
        scope: Scope::Cluster,
        cel: NOT_A_CREATION,
        check: Check::None,
    };
}

/// The breach of an update that applies `job`, which has finished, again.
pub fn finished(namespace: &str, job: &str) -> Breach {
    let detail =
        format!("{namespace}/{job} has already finished, and applying it again runs nothing");
    let delete = format!("kubectl delete job {job} -n {namespace}");
    Breach::new("metadata.name", detail).command("For this upgrade, before you retry", delete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::testing::told;

    #[test]
    fn what_to_do_now_and_for_good_is_told() {
        assert_eq!(
            told(&REAPPLIED_JOB, finished("shop", "web-migrate")),
            "MW103 reapplied-job: metadata.name: shop/web-migrate has already finished, and applying it again runs \
             nothing; add a timestamp to the name, or before-hook-creation to the delete policy\n\
             For this upgrade, before you retry:\n  kubectl delete job web-migrate -n shop"
        );
    }
}
