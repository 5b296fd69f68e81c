//! MW102: a migration is deleted while it runs.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A DELETE of a migration Job while one of its containers is running, or an update that removes its migration
    /// label.
    ///
    /// Deleting the Job kills the migration and leaves the schema half migrated. Init containers count, and so does
    /// each of several containers. Sidecars do not count: native ones, and well-known proxies (MW019). The Job's status
    /// shows whether a pod is ready. If the status shows too little, migration-warden reads the pods.
    ///
    /// The rule allows the deletion of Jobs that have finished or never started. It also allows each deletion by the
    /// control plane: garbage collection, `ttlSecondsAfterFinished`, and a namespace that is being deleted.
    ///
    /// ## Why is this bad?
    /// Helm 3 treats a hook Job that was deleted as one that succeeded, with exit code 0 and STATUS deployed. The new
    /// version then starts on the old schema. Helm 4 waits for it until its timeout. With `before-hook-creation` and a name
    /// without a timestamp, Helm itself deletes the Job when you retry an upgrade that was interrupted.
    ///
    /// ## Instead
    /// Wait for its end:
    /// ```sh
    /// kubectl wait --for=condition=complete job/NAME -n NAMESPACE
    /// ```
    /// If it must not continue, allow the deletion with an annotation, and then delete it:
    /// ```sh
    /// kubectl annotate job NAME -n NAMESPACE migration-warden.io/allow-delete=true
    /// kubectl delete job NAME -n NAMESPACE
    /// ```
    /// The decision log records who did it.
    ///
    /// Source: `helm/helm: pkg/kube/client.go`, `watchUntilReady` (3.22.0): a deleted hook counts as a success.
    pub static DELETED_WHILE_RUNNING = {
        id: "MW102",
        name: "deleted-while-running",
        reason: "the migration is running",
        remediation: "wait for its end, or allow the deletion with an annotation",
        path: "metadata.name",
        guide: Deny,
        strict: Deny,
        scope: Scope::Cluster,
        cel: NOT_A_CREATION,
        check: Check::None,
    };
}

/// The breach of a deletion of `job`, which is running.
pub fn running(namespace: &str, job: &str) -> Breach {
    let detail =
        format!("{namespace}/{job} is running, and deleting it stops the migration halfway");
    let key = Annotation::AllowDelete.key();
    let allow = format!("kubectl annotate job {job} -n {namespace} {key}=true");
    Breach::new("metadata.name", detail).command("To allow the deletion", allow)
}

/// The breach of a deletion of `job`, which is running, on purpose.
pub fn allowed(namespace: &str, job: &str) -> Breach {
    let key = Annotation::AllowDelete.key();
    let detail = format!("{namespace}/{job} is running, and {key}: \"true\" allows the deletion");
    Breach::new("metadata.name", detail)
}

/// The breach of an update after which `job`, which is running, is not a migration Job.
pub fn unlabelled(namespace: &str, job: &str) -> Breach {
    let detail = format!(
        "{namespace}/{job} is running, and without its label nothing protects it from being deleted halfway"
    );
    Breach::new("metadata.labels", detail)
}

/// The breach of a deletion of `job`, which may be running.
pub fn unknown(namespace: &str, job: &str, why: &str) -> Breach {
    let detail = format!(
        "could not determine whether {namespace}/{job} is running, so the request is allowed: {why}"
    );
    Breach::new("metadata.name", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::testing::told;

    #[test]
    fn each_breach_has_its_words() {
        let late = "the API server did not answer in time";
        let end = "; wait for its end, or allow the deletion with an annotation";
        let job = "metadata.name: shop/migrate-1";
        for (breach, words) in [
            (
                running("shop", "migrate-1"),
                format!(
                    "{job} is running, and deleting it stops the migration halfway{end}\nTo allow the deletion:\n  \
                     kubectl annotate job migrate-1 -n shop migration-warden.io/allow-delete=true"
                ),
            ),
            (
                allowed("shop", "migrate-1"),
                format!(
                    "{job} is running, and migration-warden.io/allow-delete: \"true\" allows the deletion{end}"
                ),
            ),
            (
                unknown("shop", "migrate-1", late),
                format!(
                    "metadata.name: could not determine whether shop/migrate-1 is running, so the request is allowed: \
                     {late}{end}"
                ),
            ),
            (
                unlabelled("shop", "migrate-1"),
                format!(
                    "metadata.labels: shop/migrate-1 is running, and without its label nothing protects it from being \
                     deleted halfway{end}"
                ),
            ),
        ] {
            let told = told(&DELETED_WHILE_RUNNING, breach);
            assert_eq!(told, format!("MW102 deleted-while-running: {words}"));
        }
    }
}
