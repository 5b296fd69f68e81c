//! Guards: which deletions and updates of an existing migration Job are blocked, and which stamps of a new one are
//! forged.
//!
//! Pure. The rules explain why, this module decides when. It never blocks the control plane: a guard that stops a
//! cluster from working is worse than none.

mod unlabelled;
pub mod webhook_config;

pub use unlabelled::{unlabelled, unlabelled_while_running};

use crate::core::job::annotation::Annotation;
use crate::core::job::deployer;
use crate::core::job::running::Said;
use crate::core::job::stamp::{self, STAMPS};
use crate::core::job::{Job, Kind};
use crate::core::policy::breach::Breaches;
use crate::core::policy::finding::Finding;
use crate::core::policy::rule::Rule;
use crate::core::policy::rules::deleted_while_running::{self, DELETED_WHILE_RUNNING};
use crate::core::policy::rules::forged_stamp::{self, FORGED_STAMP};
use crate::core::policy::rules::reapplied_job::{self, REAPPLIED_JOB};
use crate::core::policy::select::Selection;
use crate::core::policy::{Action, Policy};

/// The control plane's own users. Not all of `kube-system`: k3s runs its helm-controller there.
const CONTROL_PLANE: [&str; 9] = [
    "system:apiserver",
    // The user of all controllers without `--use-service-account-credentials`.
    "system:kube-controller-manager",
    "system:serviceaccount:kube-system:cronjob-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:job-controller",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:node-controller",
    "system:serviceaccount:kube-system:pod-garbage-collector",
    "system:serviceaccount:kube-system:ttl-after-finished-controller",
];

/// Prefix of the name of a node's user.
const NODE: &str = "system:node:";

/// Whether this is one of the control plane's own users, which are never blocked.
#[must_use]
pub fn is_control_plane(user: &str) -> bool {
    CONTROL_PLANE.contains(&user) || user.starts_with(NODE)
}

/// The findings about deleting `job`, whose namespace may be `terminating`. The flag says that only its pods show
/// whether it is running; if it is, [`stopped`] has the findings.
#[must_use]
pub fn deleted(
    job: &Job<'_>,
    terminating: bool,
    policy: &Policy,
    cap: Action,
) -> (Vec<Finding>, bool) {
    ask(job, terminating, policy, cap, stopped)
}

/// The findings of `running`, if the status of `job` shows it running. The flag says that only its pods can show that.
fn ask(
    job: &Job<'_>,
    terminating: bool,
    policy: &Policy,
    cap: Action,
    running: fn(&Job<'_>, &Policy, Action) -> Vec<Finding>,
) -> (Vec<Finding>, bool) {
    if terminating || job.is_terminating() {
        return (Vec::new(), false);
    }
    let action = policy.action(&DELETED_WHILE_RUNNING, job, Selection::Labelled, cap);
    match job.said() {
        Said::Running => (running(job, policy, cap), false),
        said => (Vec::new(), said == Said::Unclear && action > Action::Off),
    }
}

/// The finding that `job` is deleted while it is running.
#[must_use]
pub fn stopped(job: &Job<'_>, policy: &Policy, cap: Action) -> Vec<Finding> {
    let (namespace, name) = (job.namespace, job.name.shown());
    if job.annotations.get(Annotation::AllowDelete) == Some("true") {
        let allowed = deleted_while_running::allowed(namespace, name);
        return found(
            &DELETED_WHILE_RUNNING,
            job,
            policy,
            cap.min(Action::Audit),
            allowed,
        );
    }
    let running = deleted_while_running::running(namespace, name);
    found(&DELETED_WHILE_RUNNING, job, policy, cap, running)
}

/// The finding that `job` is lost without knowing whether it is running, because its pods could not be read. It is only
/// audited: a guard that cannot see must not block a cluster.
#[must_use]
pub fn unseen(job: &Job<'_>, why: &str, policy: &Policy, cap: Action) -> Vec<Finding> {
    let (namespace, name) = (job.namespace, job.name.shown());
    let unknown = deleted_while_running::unknown(namespace, name, why);
    found(
        &DELETED_WHILE_RUNNING,
        job,
        policy,
        cap.min(Action::Audit),
        unknown,
    )
}

/// The findings about an update from `old` to `new` by this field manager.
#[must_use]
pub fn updated(
    old: &Job<'_>,
    new: &Job<'_>,
    manager: &str,
    policy: &Policy,
    cap: Action,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_hook = old.is_pre_hook() && new.is_pre_hook();
    let is_going = old.is_terminating() || new.is_terminating();
    if is_applied(new, manager) && is_hook && old.is_finished() && !is_going {
        let finished = reapplied_job::finished(old.namespace, old.name.shown());
        findings = found(&REAPPLIED_JOB, old, policy, cap, finished);
    }
    let stamps = STAMPS.map(|stamp| {
        (
            stamp,
            old.annotations.get(stamp),
            new.annotations.get(stamp),
        )
    });
    let changed = stamps.into_iter().filter(|(_, old, new)| old != new);
    let changed = changed.map(|(stamp, old, new)| forged_stamp::changed(stamp, old, new));
    findings.extend(found(
        &FORGED_STAMP,
        old,
        policy,
        cap,
        changed.collect::<Breaches>(),
    ));
    findings
}

/// The field managers of Helm and of Flux, which embeds Helm: every update of theirs applies a release.
const HELMS: [&str; 2] = ["helm", "helm-controller"];

/// Whether Helm, or a program that embeds it, applies the whole Job under this field manager.
///
/// Controllers also write labels and annotations under field managers of their own, but those updates are not an apply.
fn is_applied(new: &Job<'_>, manager: &str) -> bool {
    let fields = new.metadata.managed_fields.iter();
    let mut theirs = fields
        .filter(|field| &*field.manager == manager && field.subresource.is_empty())
        // The API server lists the fields. Without a list, nothing shows that the Job was not applied.
        .filter(|field| field.fields.metadata.is_some() || field.fields.spec.is_some())
        .peekable();
    let sets_the_spec = HELMS.contains(&manager)
        || theirs.peek().is_none()
        || theirs.any(|field| &*field.operation == "Apply" && field.fields.spec.is_some());
    deployer::may_embed_helm(manager) && sets_the_spec
}

/// The findings about a Job that an update makes a migration: any stamp on it is forged.
#[must_use]
pub fn became(job: &Job<'_>, policy: &Policy, cap: Action) -> Vec<Finding> {
    let stamps = STAMPS.into_iter();
    let carried =
        stamps.filter_map(|stamp| Some(forged_stamp::carried(stamp, job.annotations.get(stamp)?)));
    found(
        &FORGED_STAMP,
        job,
        policy,
        cap,
        carried.collect::<Breaches>(),
    )
}

/// The findings about the stamps on a new `job`: they must come from [`crate::core::admit`] and name this user.
#[must_use]
pub fn created(
    job: &Job<'_>,
    user: &str,
    selection: Selection,
    policy: &Policy,
    cap: Action,
) -> Vec<Finding> {
    // A detected Job that was corrected has only the stamp with the patched rules.
    let mut stamps = STAMPS
        .iter()
        .filter(|stamp| selection == Selection::Labelled || **stamp != Annotation::Patched);
    let stamped = stamps.any(|stamp| job.annotations.get(*stamp).is_some());
    let named = job.annotations.get(Annotation::RequestedBy);
    // The Jobs of a CronJob would copy the stamps in its template.
    let is_his = job.kind == Kind::Job && named == Some(&*stamp::requested_by(user));
    if !stamped || is_his {
        return Vec::new();
    }
    let action = policy.action(&FORGED_STAMP, job, selection, cap);
    let brought = forged_stamp::brought(named, user);
    Finding::list(&FORGED_STAMP, action, job.kind, brought.into())
}

fn found(
    rule: &'static Rule,
    job: &Job<'_>,
    policy: &Policy,
    cap: Action,
    breaches: impl Into<Breaches>,
) -> Vec<Finding> {
    let action = policy.action(rule, job, Selection::Labelled, cap);
    Finding::list(rule, action, Kind::Job, breaches.into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::job::object::Object;
    use crate::core::policy_file::validate;

    fn job() -> Value {
        json!({
            "metadata": {
                "name": "web-migrate",
                "annotations": {"helm.sh/hook": "pre-install,pre-upgrade"},
            },
            "status": {"ready": 1, "active": 1},
        })
    }

    fn changed(tweak: impl FnOnce(&mut Value)) -> Value {
        let mut job = job();
        tweak(&mut job);
        job
    }

    fn ended(condition: &str, status: &str) -> Value {
        changed(|job| {
            job["status"] = json!({"ready": 0, "conditions": [
                {"type": "SuccessCriteriaMet", "status": "True"},
                {"type": condition, "status": status},
            ]});
        })
    }

    fn told(findings: &[Finding]) -> Vec<(&'static str, Action)> {
        findings.iter().map(|f| (f.rule.id, f.action)).collect()
    }

    fn on_delete(job: &Value, terminating: bool, cap: Action) -> Vec<(&'static str, Action)> {
        let text = job.to_string();
        let object: Object<'_> = serde_json::from_str(&text).unwrap();
        let job = Job::new(&object, Kind::Job, "shop");
        let policy = validate::builtin();
        let (findings, is_unclear) = deleted(&job, terminating, &policy, cap);
        if is_unclear {
            assert!(findings.is_empty());
            return told(&unseen(&job, "no answer", &policy, cap));
        }
        told(&findings)
    }

    fn on_update(old: &Value, new: &Value, manager: &str) -> Vec<(&'static str, Action)> {
        let (old, new) = (old.to_string(), new.to_string());
        let (old, new): (Object<'_>, Object<'_>) = (
            serde_json::from_str(&old).unwrap(),
            serde_json::from_str(&new).unwrap(),
        );
        let (old, new) = (
            Job::new(&old, Kind::Job, "shop"),
            Job::new(&new, Kind::Job, "shop"),
        );
        let policy = validate::builtin();
        told(&updated(&old, &new, manager, &policy, Action::Deny))
    }

    #[test]
    fn what_runs_is_not_deleted() {
        let denied = [("MW102", Action::Deny)];
        assert_eq!(on_delete(&job(), false, Action::Deny), denied);
        let half = changed(|job| {
            job["status"]["conditions"] = ended("Complete", "False")["status"]["conditions"].take();
        });
        assert_eq!(on_delete(&half, false, Action::Deny), denied);
        assert_eq!(
            on_delete(&job(), false, Action::Warn),
            [("MW102", Action::Warn)]
        );
        assert_eq!(on_delete(&job(), false, Action::Off), []);
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
            assert_eq!(on_delete(&job, false, Action::Deny), [], "{job}");
        }
        assert_eq!(on_delete(&job(), true, Action::Deny), []);
    }

    /// Init containers, a second container, a failing probe: only the pods show whether it is running.
    #[test]
    fn what_may_run_is_asked_about() {
        let audited = [("MW102", Action::Audit)];
        for status in [
            json!({"ready": 0, "active": 1}),
            json!({"active": 1}),
            json!({"ready": 0, "active": 0, "terminating": 1}),
        ] {
            let job = changed(|job| job["status"] = status.clone());
            assert_eq!(on_delete(&job, false, Action::Deny), audited, "{job}");
            assert_eq!(on_delete(&job, false, Action::Off), [], "{job}");
            assert_eq!(on_delete(&job, true, Action::Deny), [], "{job}");
        }
    }

    #[test]
    fn a_permission_is_written_down() {
        let with = |value: &str| {
            changed(|job| {
                job["metadata"]["annotations"]["migration-warden.io/allow-delete"] = json!(value);
            })
        };
        let allowed = [("MW102", Action::Audit)];
        assert_eq!(on_delete(&with("true"), false, Action::Deny), allowed);
        for other in ["", "yes", "True", "false"] {
            let denied = [("MW102", Action::Deny)];
            assert_eq!(on_delete(&with(other), false, Action::Deny), denied);
        }
    }

    #[test]
    fn what_has_ended_is_not_applied_again() {
        for condition in ["Complete", "Failed"] {
            let job = ended(condition, "True");
            for manager in [
                "helm",
                "helm-controller",
                "terraform-provider-helm_v3.0.2",
                "werf",
            ] {
                assert_eq!(on_update(&job, &job, manager), [("MW103", Action::Deny)]);
            }
        }
    }

    /// Managed fields as the API server shows them: programs that embed Helm apply the spec, others only annotate or
    /// label the Job.
    #[test]
    fn only_an_apply_of_the_whole_job_is_one() {
        let job = ended("Complete", "True");
        let with = |operation: &str, fields: Value| {
            let mut new = job.clone();
            new["metadata"]["managedFields"] = json!([
                {"manager": "werf", "operation": operation, "fieldsV1": fields},
                {"manager": "werf", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
            ]);
            on_update(&job, &new, "werf")
        };
        let whole = json!({"f:metadata": {}, "f:spec": {"f:template": {}}});
        assert_eq!(with("Apply", whole.clone()), [("MW103", Action::Deny)]);
        assert_eq!(with("Update", whole), []);
        assert_eq!(with("Apply", json!({"f:metadata": {"f:labels": {}}})), []);
    }

    #[test]
    fn every_other_update_passes() {
        let done = ended("Complete", "True");
        let tweaked = |tweak: fn(&mut Value)| {
            let mut job = done.clone();
            tweak(&mut job);
            job
        };
        let plain = tweaked(|job| job["metadata"]["annotations"] = Value::Null);
        let late = tweaked(|job| {
            job["metadata"]["annotations"]["helm.sh/hook"] = json!("post-upgrade");
        });
        let going = tweaked(|job| {
            job["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        });
        for (old, new, manager) in [
            (&done, &done, "kubectl-client-side-apply"),
            (&done, &done, "argocd-controller"),
            (&done, &done, "kustomize-controller"),
            (&done, &done, "kubectl"),
            (&done, &done, ""),
            (&job(), &job(), "helm"),
            (&plain, &plain, "helm"),
            (&plain, &done, "helm"),
            (&done, &plain, "helm"),
            (&late, &late, "helm"),
            (&going, &going, "helm"),
            (&done, &going, "helm"),
        ] {
            assert_eq!(on_update(old, new, manager), [], "{old} {new} {manager}");
        }
    }

    #[test]
    fn the_control_plane_is_known_by_name() {
        for user in [
            "system:kube-controller-manager",
            "system:serviceaccount:kube-system:generic-garbage-collector",
            "system:node:worker-1",
        ] {
            assert!(is_control_plane(user), "{user}");
        }
        for user in [
            "",
            "ci",
            "system:admin",
            "system:serviceaccount:kube-system:helm-controller",
            "system:serviceaccount:shop:generic-garbage-collector",
        ] {
            assert!(!is_control_plane(user), "{user}");
        }
    }
}
