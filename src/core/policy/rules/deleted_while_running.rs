//! MW102: a migration is deleted while it runs.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A DELETE of a migration Job while one of its containers runs, or an update that takes away the label by which
    /// it is a migration Job.
    ///
    /// Deleting the Job kills the migration, and leaves the schema half migrated. Init containers count, and so
    /// does each container of several. Sidecars do not count: native ones, and well-known proxies (MW019). The
    /// Job's status says whether a pod is ready; where it cannot say more, migration-warden asks for the pods.
    /// Allowed are deletions of Jobs that have finished or never started, and all that the control plane
    /// deletes: garbage collection, `ttlSecondsAfterFinished`, a namespace that is deleted.
    ///
    /// ## Why is this bad?
    /// Helm 3 takes a hook Job that is gone for one that has succeeded: exit code 0, STATUS deployed, and
    /// the new version starts on the old schema. Helm 4 waits for it until its timeout. With
    /// `before-hook-creation` and a name without a timestamp Helm itself does the deleting, when an
    /// upgrade that was interrupted is tried again.
    ///
    /// ## Instead
    /// Wait for its end: `kubectl wait --for=condition=complete job/NAME -n NAMESPACE`. If it must not go on,
    /// say so on the Job first, and delete it then:
    /// `kubectl annotate job NAME -n NAMESPACE migration-warden.io/allow-delete=true`. The decision log keeps
    /// who did it.
    ///
    /// Source: `helm/helm: pkg/kube/client.go`, `watchUntilReady` (3.22.0): a deleted hook counts as a success.
    pub static DELETED_WHILE_RUNNING = {
        id: "MW102",
        name: "deleted-while-running",
        reason: "the migration is running",
        remediation: "wait for its end, or annotate it and delete it again",
        path: "metadata.name",
        guide: Deny,
        strict: Deny,
        scope: Scope::Cluster,
        cel: NOT_A_CREATION,
        check: Check::None,
    };
}

/// The breach that `job` runs and is to be deleted.
pub fn running(namespace: &str, job: &str) -> Breach {
    let key = Annotation::AllowDelete.key();
    let detail = format!(
        "{namespace}/{job} is running, and deleting it stops the migration halfway \
         (allow it: kubectl annotate job {job} -n {namespace} {key}=true)"
    );
    Breach::new("metadata.name", detail)
}

/// The breach that `job` runs and is deleted on purpose.
pub fn allowed(namespace: &str, job: &str) -> Breach {
    let key = Annotation::AllowDelete.key();
    let detail = format!("{namespace}/{job} is running, and may be deleted: {key} is \"true\"");
    Breach::new("metadata.name", detail)
}

/// The breach that `job` runs and is to be a migration no more.
pub fn unlabelled(namespace: &str, job: &str) -> Breach {
    let detail = format!(
        "{namespace}/{job} is running, and without its label nothing would keep it from being deleted halfway"
    );
    Breach::new("metadata.labels", detail)
}

/// The breach that nobody could tell whether `job` runs.
pub fn unknown(namespace: &str, job: &str, why: &str) -> Breach {
    let detail = format!(
        "could not determine whether {namespace}/{job} is running, so the request is allowed: {why}"
    );
    Breach::new("metadata.name", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::testing;

    fn told(breach: Breach) -> String {
        testing::told(&DELETED_WHILE_RUNNING, breach)
    }

    #[test]
    fn the_way_out_is_told() {
        assert_eq!(
            told(running("shop", "web-migrate-1766361600")),
            "MW102 deleted-while-running: metadata.name: shop/web-migrate-1766361600 is running, and deleting \
             it stops the migration halfway (allow it: kubectl annotate job web-migrate-1766361600 -n shop \
             migration-warden.io/allow-delete=true); wait for its end, or annotate it and delete it again"
        );
    }

    #[test]
    fn what_could_not_be_asked_is_told() {
        let late = "the API server did not answer in time";
        assert_eq!(
            told(unknown("shop", "web-migrate-1766361600", late)),
            "MW102 deleted-while-running: metadata.name: could not determine whether shop/web-migrate-1766361600 \
             is running, so the request is allowed: the API server did not answer in time; wait for its end, or annotate \
             it and delete it again"
        );
    }

    #[test]
    fn a_permission_is_told_as_one() {
        assert_eq!(
            told(allowed("shop", "web-migrate-1766361600")),
            "MW102 deleted-while-running: metadata.name: shop/web-migrate-1766361600 is running, and may be \
             deleted: migration-warden.io/allow-delete is \"true\"; wait for its end, or annotate it and \
             delete it again"
        );
    }
}
