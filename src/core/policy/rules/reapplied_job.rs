//! MW103: a hook Job that has finished is applied again.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A finished hook Job that Helm applies again, so that nothing runs.
    ///
    /// Only where it would be taken for a run: the Job has the hook pre-install or pre-upgrade before and
    /// after, Helm 4 or a program that embeds Helm applies it, and it has ended. All other updates pass.
    ///
    /// ## Why is this bad?
    /// Helm 4 applies hooks on the server side. Where a Job of the same name is left from the upgrade
    /// before, nothing about it changes, no pod starts, and Helm finds it complete: STATUS deployed, and
    /// the new version starts without its migration. Helm 3 fails in the same place, with
    /// `already exists`.
    ///
    /// ## Instead
    /// Give each run a name of its own, `{{ .Release.Name }}-migrate-{{ now | unixEpoch }}`, or have Helm
    /// delete the old Job first, with `before-hook-creation` in `helm.sh/hook-delete-policy`. For the
    /// upgrade at hand, delete the old Job and try again.
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

/// The breach that `job` has ended and is applied again.
pub fn finished(namespace: &str, job: &str) -> Breach {
    let detail = format!(
        "{namespace}/{job} has already finished, and applying it again runs nothing \
         (for now: kubectl delete job {job} -n {namespace}, and try again)"
    );
    Breach::new("metadata.name", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::testing::told;

    #[test]
    fn what_to_do_now_and_for_good_is_told() {
        assert_eq!(
            told(&REAPPLIED_JOB, finished("shop", "web-migrate")),
            "MW103 reapplied-job: metadata.name: shop/web-migrate has already finished, and applying it again \
             runs nothing (for now: kubectl delete job web-migrate -n shop, and try again); \
             add a timestamp to the name, or before-hook-creation to the delete policy"
        );
    }
}
