//! MW102: a migration is deleted while it runs.

use crate::core::job::running::Said;
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
    pub(crate) static DELETED_WHILE_RUNNING = {
        id: "MW102",
        name: "deleted-while-running",
        reason: "the migration is running",
        remediation: "wait for its end, or allow the deletion with an annotation",
        path: "metadata.name",
        guide: Deny,
        strict: Deny,
        scope: Scope::Cluster(Promise::Guards),
        cel: NOT_A_CREATION,
        check: Check::None,
    };
}

/// How a request would lose a stored migration Job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// It is deleted. Otherwise it loses its label, without which nothing guards it.
    pub(crate) is_deletion: bool,
    /// Its namespace is being deleted, with all its objects.
    pub(crate) is_namespace_terminating: bool,
}

impl Loss {
    /// Whether only the pods of `job` show whether it is running.
    #[must_use]
    pub(crate) fn is_unclear(self, job: &Job<'_>) -> bool {
        self.said(job) == Said::Unclear
    }

    fn said(self, job: &Job<'_>) -> Said {
        if self.is_namespace_terminating || job.is_terminating() {
            Said::Idle
        } else {
            job.said()
        }
    }
}

/// The breach that `job` is running and would be lost. `pods` is whether its pods show it running, or why they could not
/// be read; `None` if they were not asked about. What is allowed on purpose, or because nothing could be seen, is only
/// audited: a guard that cannot see must not block a cluster.
#[must_use]
pub(crate) fn check(
    job: &Job<'_>,
    loss: Loss,
    pods: Option<&Result<bool, String>>,
) -> Option<Breach> {
    let (namespace, name) = (job.namespace, job.name.shown());
    let key = Annotation::AllowDelete.key();
    let breach = match (loss.said(job), pods) {
        (Said::Running, _) | (Said::Unclear, Some(Ok(true))) => {
            let running = format!("{namespace}/{name} is running, and");
            if !loss.is_deletion {
                let detail = format!(
                    "{running} without its label nothing protects it from being deleted halfway"
                );
                Breach::new("metadata.labels", detail)
            } else if job.annotations.get(Annotation::AllowDelete) == Some("true") {
                let detail = format!("{running} {key}: \"true\" allows the deletion");
                Breach::new("metadata.name", detail).at_most(Audit)
            } else {
                let detail = format!("{running} deleting it stops the migration halfway");
                let allow = format!("kubectl annotate job {name} -n {namespace} {key}=true");
                Breach::new("metadata.name", detail).command("To allow the deletion", allow)
            }
        }
        (Said::Unclear, Some(Err(why))) => {
            let detail = format!(
                "could not determine whether {namespace}/{name} is running, so the request is allowed: {why}"
            );
            Breach::new("metadata.name", detail).at_most(Audit)
        }
        _ => return None,
    };
    Some(breach)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::job::Kind;
    use crate::core::policy::Action;
    use crate::core::policy::finding::Finding;
    use crate::core::policy::testing;

    const DELETION: Loss = Loss {
        is_deletion: true,
        is_namespace_terminating: false,
    };
    const UNLABELLED: Loss = Loss {
        is_deletion: false,
        ..DELETION
    };
    const NAMESPACE_GOES: Loss = Loss {
        is_namespace_terminating: true,
        ..DELETION
    };

    fn changed(change: &Value) -> Value {
        let mut job = json!({
            "metadata": {
                "name": "migrate-1", "namespace": "shop", "annotations": {"helm.sh/hook": "pre-install,pre-upgrade"},
            },
            "status": {"ready": 1, "active": 1},
        });
        json_patch::merge(&mut job, change);
        job
    }

    fn permitted(value: &str) -> Value {
        changed(&json!({"metadata": {"annotations": {"migration-warden.io/allow-delete": value}}}))
    }

    /// The action and the message if the pods, which are asked only when they are needed, show this.
    fn judged(job: &Value, loss: Loss, pods: Result<bool, &str>) -> Option<(Action, String)> {
        testing::stored(job, |job| {
            let pods = pods.map_err(str::to_owned);
            let is_unclear = loss.is_unclear(job);
            assert!(!is_unclear || check(job, loss, None).is_none());
            let breach = check(job, loss, is_unclear.then_some(&pods))?;
            let found = Finding::new(&DELETED_WHILE_RUNNING, Deny, Kind::Job, breach);
            let message = found.message();
            let told = message.strip_prefix("MW102 deleted-while-running: metadata.")?;
            Some((found.action, told.to_owned()))
        })
    }

    const LATE: Result<bool, &str> = Err("the API server did not answer in time");

    #[test]
    fn what_runs_is_not_lost() {
        let end = "; wait for its end, or allow the deletion with an annotation";
        let denied = format!(
            "name: shop/migrate-1 is running, and deleting it stops the migration halfway{end}\nTo allow the deletion:\n  \
             kubectl annotate job migrate-1 -n shop migration-warden.io/allow-delete=true"
        );
        let allowed = format!(
            "name: shop/migrate-1 is running, and migration-warden.io/allow-delete: \"true\" allows the deletion{end}"
        );
        let unlabelled = format!(
            "labels: shop/migrate-1 is running, and without its label nothing protects it from being deleted halfway{end}"
        );
        let half = json!({"conditions": [
            {"type": "SuccessCriteriaMet", "status": "True"},
            {"type": "Complete", "status": "False"},
        ]});
        let init = changed(&json!({"status": {"ready": 0}}));
        for (job, loss, pods, action, message) in [
            (changed(&json!({})), DELETION, LATE, Deny, &denied),
            (
                changed(&json!({"status": half})),
                DELETION,
                LATE,
                Deny,
                &denied,
            ),
            (init.clone(), DELETION, Ok(true), Deny, &denied),
            (permitted("true"), DELETION, LATE, Audit, &allowed),
            (permitted(""), DELETION, LATE, Deny, &denied),
            (permitted("yes"), DELETION, LATE, Deny, &denied),
            (permitted("True"), DELETION, LATE, Deny, &denied),
            (permitted("false"), DELETION, LATE, Deny, &denied),
            (changed(&json!({})), UNLABELLED, LATE, Deny, &unlabelled),
            (permitted("true"), UNLABELLED, LATE, Deny, &unlabelled),
            (init, UNLABELLED, Ok(true), Deny, &unlabelled),
        ] {
            let expected = Some((action, message.clone()));
            assert_eq!(judged(&job, loss, pods), expected, "{job}");
        }
    }

    #[test]
    fn what_does_not_run_or_goes_anyway_is() {
        let ended = |condition| json!({"status": {"ready": 0, "conditions": [{"type": condition, "status": "True"}]}});
        for change in [
            json!({"status": null}),
            json!({"status": {"ready": 0, "active": 0, "terminating": 0}}),
            json!({"status": {"ready": null, "active": null, "conditions": null}}),
            json!({"status": {"ready": 0}, "spec": {"managedBy": "kueue.x-k8s.io/multikueue"}}),
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            ended("Complete"),
            ended("Failed"),
        ] {
            assert_eq!(judged(&changed(&change), DELETION, LATE), None, "{change}");
        }
        assert_eq!(judged(&changed(&json!({})), NAMESPACE_GOES, LATE), None);
    }

    /// Init containers, a second container, a failing probe: only the pods show whether it is running.
    #[test]
    fn what_may_run_is_asked_about() {
        let message = "name: could not determine whether shop/migrate-1 is running, so the request is allowed: the API \
                       server did not answer in time; wait for its end, or allow the deletion with an annotation";
        for status in [
            json!({"ready": 0}),
            json!({"ready": null}),
            json!({"ready": 0, "active": 0, "terminating": 1}),
        ] {
            let job = changed(&json!({"status": status}));
            let unknown = Some((Audit, message.to_owned()));
            assert_eq!(judged(&job, DELETION, LATE), unknown, "{job}");
            for (loss, pods) in [
                (DELETION, Ok(false)),
                (UNLABELLED, Ok(false)),
                (NAMESPACE_GOES, LATE),
            ] {
                assert_eq!(judged(&job, loss, pods), None, "{job}");
            }
        }
    }
}
