//! Tests of what is kept of a Job that the API server sends.

use super::*;
use serde_json::{Value, json};

/// A failed Job of the guide, with one thing changed.
fn stored(change: impl FnOnce(&mut Value)) -> StoredJob {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": "shop-migrate-1766361600", "namespace": "team", "uid": "u1", "resourceVersion": "7",
            "creationTimestamp": "2025-12-22T00:00:00Z",
            "labels": {"app.kubernetes.io/component": "migration"},
            "annotations": {
                "helm.sh/hook": "pre-install,pre-upgrade",
                "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
            },
            "managedFields": [{"manager": "helm", "operation": "Apply"}],
        },
        "spec": {
            "activeDeadlineSeconds": 600,
            "template": {"metadata": {"labels": {"app.kubernetes.io/instance": "shop"}}},
        },
        "status": {"failed": 1, "startTime": "2025-12-22T00:00:01Z", "conditions": [
            {"type": "FailureTarget", "status": "True", "lastTransitionTime": "2025-12-22T00:01:00Z"},
            {"type": "Failed", "status": "True", "lastTransitionTime": "2025-12-22T00:02:00Z"},
        ]},
    });
    change(&mut job);
    serde_json::from_value::<WatchedJob>(job).unwrap().into()
}

#[test]
fn keeps_what_is_asked_for() {
    assert_eq!(
        stored(|_| {}),
        StoredJob {
            namespace: "team".to_owned(),
            name: "shop-migrate-1766361600".to_owned(),
            uid: "u1".to_owned(),
            resource_version: "7".to_owned(),
            base: "shop-migrate".to_owned(),
            release: "shop".to_owned(),
            release_source: Source::InstanceLabel,
            created: "2025-12-22T00:00:00Z".parse().unwrap(),
            started: Some("2025-12-22T00:00:01Z".parse().unwrap()),
            deadline: Some(600),
            said: Said::Idle,
            has_tried: true,
            end: Some(End {
                at: "2025-12-22T00:02:00Z".parse().unwrap(),
                succeeded: false,
            }),
            is_deleting: false,
            is_held: false,
            is_opted_out: false,
            deletes_before_creation: true,
            deletes_succeeded: false,
        }
    );
}

/// Until then its pods may still be running.
#[test]
fn has_ended_with_its_last_condition() {
    let with = |conditions: Value| stored(|j| j["status"]["conditions"] = conditions).end;
    let time = "2025-12-22T00:01:00Z";
    let condition = |kind: &str, status: &str| json!([{"type": kind, "status": status, "lastTransitionTime": time}]);
    for unfinished in [
        condition("FailureTarget", "True"),
        condition("SuccessCriteriaMet", "True"),
        condition("Suspended", "True"),
        condition("Failed", "False"),
        json!([{"type": "Failed", "status": "True"}]),
        json!([]),
    ] {
        assert_eq!(with(unfinished.clone()), None, "{unfinished}");
    }
    let end = with(condition("Complete", "True")).unwrap();
    assert_eq!((end.at.to_string().as_str(), end.succeeded), (time, true));
    assert_eq!(stored(|j| j["status"] = json!({})).end, None);
}

#[test]
fn tells_who_else_is_at_it() {
    let held = json!(["argocd.argoproj.io/hook-finalizer"]);
    assert!(stored(|j| j["metadata"]["finalizers"] = held).is_held);
    let other = json!(["batch.kubernetes.io/job-tracking"]);
    assert!(!stored(|j| j["metadata"]["finalizers"] = other).is_held);
    let time = json!("2025-12-22T00:03:00Z");
    assert!(stored(|j| j["metadata"]["deletionTimestamp"] = time).is_deleting);
    let out = json!("false");
    assert!(
        stored(|j| j["metadata"]["labels"]["migration-warden.io/migration"] = out).is_opted_out
    );
}

/// Otherwise its deployer would create it again.
#[test]
fn what_its_deployer_keeps_as_desired_state_is_not_tidied_up() {
    let managed = |manager: &str| json!([{"manager": manager, "operation": "Update"}]);
    for (kept, managers) in [
        (false, managed("helm")),
        (false, managed("werf")),
        (false, managed("kubectl-annotate")),
        (true, managed("kubectl-create")),
        (true, managed("kustomize-controller")),
        (
            false,
            json!([{"manager": "kubectl-replace", "operation": "Update", "subresource": "status"}]),
        ),
    ] {
        let job = stored(|j| {
            j["metadata"]["annotations"]["helm.sh/hook"] = json!("pre-install,pre-upgrade");
            j["metadata"]["annotations"]["migration-warden.io/patched"] = json!("MW003");
            j["metadata"]["annotations"]["helm.sh/hook-delete-policy"] =
                json!("before-hook-creation,hook-succeeded");
            j["metadata"]["managedFields"] = managers.clone();
        });
        assert_eq!(
            (job.deletes_before_creation, job.deletes_succeeded),
            (!kept, !kept),
            "{managers}"
        );
    }
}

#[test]
fn two_commits_of_a_hook_of_argo_cd_are_one_migration() {
    for commit in ["abcdef0", "0123456"] {
        let job = stored(|j| {
            j["metadata"]["name"] = json!(format!("db-apply-{commit}-presync-1766361600"));
            j["metadata"]["annotations"]["argocd.argoproj.io/hook"] = json!("PreSync");
        });
        assert_eq!(job.base, "db-apply");
        for deployed in [
            json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:x", "helm.sh/hook": "pre-upgrade"}}),
            json!({
                "annotations": {"helm.sh/hook": "pre-upgrade"},
                "managedFields": [{"manager": "argocd-controller", "operation": "Apply"}],
            }),
        ] {
            let helms = stored(|j| {
                let metadata = j["metadata"].as_object_mut().unwrap();
                metadata.extend(deployed.as_object().unwrap().clone());
                metadata["name"] = json!(format!("db-apply-{commit}-presync-1766361600"));
            });
            assert_eq!(helms.base, "db-apply", "{deployed}");
        }
    }
}

#[test]
fn only_hooks_are_deleted_before_creation() {
    let with = |annotations: Value| {
        stored(|j| j["metadata"]["annotations"] = annotations).deletes_before_creation
    };
    for (expected, annotations) in [
        (false, json!({})),
        (true, json!({"helm.sh/hook": "pre-upgrade"})),
        (
            false,
            json!({"helm.sh/hook": "pre-upgrade", "helm.sh/hook-delete-policy": "hook-succeeded"}),
        ),
        (
            false,
            json!({"helm.sh/hook-delete-policy": "before-hook-creation"}),
        ),
        (
            false,
            json!({"helm.sh/hook": "pre-upgrade", "helm.sh/hook-delete-policy": "before-hook-create"}),
        ),
        (true, json!({"argocd.argoproj.io/hook": "PreSync"})),
        (
            false,
            json!({"argocd.argoproj.io/hook": "PreSync", "argocd.argoproj.io/hook-delete-policy": "HookFailed"}),
        ),
        (
            true,
            json!({"argocd.argoproj.io/hook": "PreSync", "argocd.argoproj.io/hook-delete-policy": "HookFailed,BeforeHookCreation"}),
        ),
    ] {
        assert_eq!(with(annotations.clone()), expected, "{annotations}");
    }
}

#[test]
fn the_jobs_of_a_cron_job_are_attempts_of_one_migration() {
    let owned = stored(|j| {
        j["metadata"]["name"] = json!("nightly-29384756");
        j["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "c", "controller": true},
        ]);
    });
    assert_eq!(owned.base, "nightly");
}

#[test]
fn hook_succeeded_is_ours_where_the_policy_or_the_name_was_patched() {
    let with = |ids: &str| {
        let ids = json!(ids);
        stored(|j| j["metadata"]["annotations"]["migration-warden.io/patched"] = ids)
            .deletes_succeeded
    };
    assert!(with("MW003") && with("MW001") && with("MW001,MW004"));
    assert!(!with("MW004") && !with(""));
}

/// Tenants write these lists, and a replica has little memory.
#[test]
fn nothing_else_is_kept_however_long_it_is() {
    let many = |entry: Value| Value::Array(vec![entry; 1000]);
    let noise: serde_json::Map<_, _> = (0..1000)
        .map(|n| (format!("noise-{n}"), json!("noise")))
        .collect();
    let mut labels = noise.clone();
    labels.insert("helm.sh/chart".to_owned(), json!("shop-1"));
    let mut managers = vec![json!({"manager": "helm", "fieldsV1": {"noise": noise}}); 1000];
    let stamp = json!({"f:metadata": {"f:annotations": {"f:migration-warden.io/patched": {}}}});
    managers.push(json!({"manager": "ci", "fieldsV1": stamp}));
    let container = json!({"name": "noise", "command": many(json!("a")), "args": many(json!("a"))});
    let job = json!({
        "metadata": {
            "labels": labels, "annotations": noise, "finalizers": many(json!("noise")),
            "ownerReferences": many(json!({"kind": "noise", "name": "noise"})), "managedFields": managers,
        },
        "spec": {"template": {"metadata": {"labels": noise}, "spec": {"containers": many(container)}}},
        "status": {"conditions": many(json!({"type": "Complete", "status": "True", "reason": "x"}))},
    });
    let job: WatchedJob = serde_json::from_value(job).unwrap();
    assert!(!format!("{job:?}").contains("noise"), "{job:?}");
    let meta = &job.metadata;
    assert_eq!(meta.labels.get("helm.sh/chart"), Some("shop-1"));
    assert_eq!(meta.managed_fields.managers().count(), 256);
    // Stamps count even beyond the entries that are kept.
    assert!(meta.managed_fields.may_have_a_stamp());
    let containers = &job.spec.template.spec.containers;
    assert_eq!(
        (
            containers.len(),
            containers[255].command.len(),
            containers[255].args.len()
        ),
        (256, 256, 256)
    );
    assert_eq!(job.status.last_words(), (Some("x"), None));
    let twice = r#"{"metadata": {"labels": {"helm.sh/chart": "a", "helm.sh\/chart": "b"}}}"#;
    let twice: WatchedJob = serde_json::from_str(twice).unwrap();
    assert_eq!(twice.metadata.labels.get("helm.sh/chart"), Some("b"));
}
