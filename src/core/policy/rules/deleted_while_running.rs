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
        scope: Scope::Cluster,
        cel: NOT_A_CREATION,
        check: Check::None,
    };
}

/// How a request would lose a stored migration Job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// It is deleted. Otherwise it loses its label, without which nothing guards it.
    pub is_deletion: bool,
    /// Its namespace is being deleted, with all its objects.
    pub is_namespace_terminating: bool,
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
    let is_allowed = || job.annotations.get(Annotation::AllowDelete) == Some("true");
    Some(match (loss.said(job), pods) {
        (Said::Running, _) | (Said::Unclear, Some(Ok(true))) => match loss.is_deletion {
            true if is_allowed() => allowed(namespace, name).at_most(Audit),
            true => running(namespace, name),
            false => unlabelled(namespace, name),
        },
        (Said::Unclear, Some(Err(why))) => unknown(namespace, name, why).at_most(Audit),
        _ => return None,
    })
}

/// The breach of a deletion of `job`, which is running.
fn running(namespace: &str, job: &str) -> Breach {
    let detail =
        format!("{namespace}/{job} is running, and deleting it stops the migration halfway");
    let key = Annotation::AllowDelete.key();
    let allow = format!("kubectl annotate job {job} -n {namespace} {key}=true");
    Breach::new("metadata.name", detail).command("To allow the deletion", allow)
}

/// The breach of a deletion of `job`, which is running, on purpose.
fn allowed(namespace: &str, job: &str) -> Breach {
    let key = Annotation::AllowDelete.key();
    let detail = format!("{namespace}/{job} is running, and {key}: \"true\" allows the deletion");
    Breach::new("metadata.name", detail)
}

/// The breach of an update after which `job`, which is running, is not a migration Job.
fn unlabelled(namespace: &str, job: &str) -> Breach {
    let detail = format!(
        "{namespace}/{job} is running, and without its label nothing protects it from being deleted halfway"
    );
    Breach::new("metadata.labels", detail)
}

/// The breach of a deletion of `job`, which may be running.
fn unknown(namespace: &str, job: &str, why: &str) -> Breach {
    let detail = format!(
        "could not determine whether {namespace}/{job} is running, so the request is allowed: {why}"
    );
    Breach::new("metadata.name", detail)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::job::Kind;
    use crate::core::policy::Action;
    use crate::core::policy::finding::Finding;
    use crate::core::policy::testing::{self, told};

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

    fn changed(tweak: impl FnOnce(&mut Value)) -> Value {
        let mut job = json!({
            "metadata": {
                "name": "web-migrate",
                "annotations": {"helm.sh/hook": "pre-install,pre-upgrade"},
            },
            "status": {"ready": 1, "active": 1},
        });
        tweak(&mut job);
        job
    }

    fn job() -> Value {
        changed(|_| {})
    }

    fn ended(condition: &str, status: &str) -> Value {
        changed(|job| {
            job["status"] = json!({"ready": 0, "conditions": [
                {"type": "SuccessCriteriaMet", "status": "True"},
                {"type": condition, "status": status},
            ]});
        })
    }

    fn with_permission(value: &str) -> Value {
        changed(|job| {
            job["metadata"]["annotations"]["migration-warden.io/allow-delete"] = json!(value);
        })
    }

    /// What is found if the pods show this wherever they are needed.
    fn findings(job: &Value, loss: Loss, pods: Result<bool, &str>, action: Action) -> Vec<Finding> {
        testing::stored(job, |job| {
            let pods = pods.map_err(str::to_owned);
            let is_unclear = loss.is_unclear(job);
            assert!(!is_unclear || check(job, loss, None).is_none());
            let breach = check(job, loss, is_unclear.then_some(&pods));
            let breaches = breach.into_iter().collect();
            Finding::list(&DELETED_WHILE_RUNNING, action, Kind::Job, breaches)
        })
    }

    fn actions(job: &Value, loss: Loss, action: Action) -> Vec<Action> {
        let found = findings(job, loss, Err("no answer"), action);
        found.iter().map(|found| found.action).collect()
    }

    #[test]
    fn what_runs_is_not_deleted() {
        assert_eq!(actions(&job(), DELETION, Deny), [Deny]);
        let half = changed(|job| {
            job["status"]["conditions"] = ended("Complete", "False")["status"]["conditions"].take();
        });
        assert_eq!(actions(&half, DELETION, Deny), [Deny]);
        assert_eq!(actions(&job(), DELETION, Warn), [Warn]);
        assert_eq!(actions(&job(), DELETION, Off), []);
    }

    #[test]
    fn what_does_not_run_or_goes_anyway_is() {
        for job in [
            changed(|job| job["status"] = Value::Null),
            changed(|job| job["status"] = json!({"ready": 0, "active": 0, "terminating": 0})),
            changed(|job| job["status"] = json!({"ready": null, "conditions": null})),
            changed(|job| {
                job["status"]["ready"] = json!(0);
                job["spec"] = json!({"managedBy": "kueue.x-k8s.io/multikueue"});
            }),
            changed(|job| {
                job["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }),
            ended("Complete", "True"),
            ended("Failed", "True"),
        ] {
            assert_eq!(actions(&job, DELETION, Deny), [], "{job}");
        }
        assert_eq!(actions(&job(), NAMESPACE_GOES, Deny), []);
    }

    /// Init containers, a second container, a failing probe: only the pods show whether it is running.
    #[test]
    fn what_may_run_is_asked_about() {
        for status in [
            json!({"ready": 0, "active": 1}),
            json!({"active": 1}),
            json!({"ready": 0, "active": 0, "terminating": 1}),
        ] {
            let job = changed(|job| job["status"] = status.clone());
            assert_eq!(actions(&job, DELETION, Deny), [Audit], "{job}");
            assert_eq!(actions(&job, DELETION, Off), [], "{job}");
            assert_eq!(actions(&job, NAMESPACE_GOES, Deny), [], "{job}");
        }
    }

    #[test]
    fn a_permission_is_written_down() {
        assert_eq!(actions(&with_permission("true"), DELETION, Deny), [Audit]);
        for other in ["", "yes", "True", "false"] {
            assert_eq!(actions(&with_permission(other), DELETION, Deny), [Deny]);
        }
    }

    #[test]
    fn the_label_is_guarded_like_the_job() {
        let init = changed(|job| job["status"] = json!({"ready": 0, "active": 1}));
        for job in [&job(), &init, &with_permission("true")] {
            let found = findings(job, UNLABELLED, Ok(true), Deny);
            let found: Vec<_> = found
                .iter()
                .map(|f| (f.path.to_string(), f.action))
                .collect();
            assert_eq!(found, [("metadata.labels".to_owned(), Deny)]);
        }
        assert!(findings(&init, UNLABELLED, Ok(false), Deny).is_empty());
    }
}
