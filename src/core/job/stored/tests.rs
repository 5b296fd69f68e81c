//! What is kept of a Job that the API server sends: `tests/fixtures/job/stored.yaml` has the cases.

use std::collections::BTreeMap;

use super::*;
use crate::core::policy::testing;
use crate::testing::{merge, table};
use serde::Deserialize;
use serde_json::{Value, json};

/// A failed Job of the guide, with this merge patch.
fn stored(change: &Value) -> StoredJob {
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
    merge(&mut job, Some(change));
    testing::stored(&job, |job| job.into())
}

#[test]
fn keeps_what_is_asked_for() {
    assert_eq!(
        stored(&json!({})),
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
            adopted: None,
            is_timestamped: true,
            deletes_before_creation: true,
            deletes_succeeded: false,
        }
    );
}

/// What can differ in what is kept.
fn kept(job: &StoredJob) -> Value {
    let end = job.end.map(|end| {
        let outcome = if end.succeeded { "succeeded" } else { "failed" };
        format!("{}, {outcome}", end.at)
    });
    json!({
        "base": job.base, "end": end, "is_deleting": job.is_deleting, "is_held": job.is_held,
        "is_opted_out": job.is_opted_out, "deletes_before_creation": job.deletes_before_creation,
        "deletes_succeeded": job.deletes_succeeded,
    })
}

#[test]
fn keeps_what_a_change_says() {
    #[derive(Deserialize)]
    struct Case {
        change: Value,
        #[serde(default)]
        keeps: BTreeMap<String, Value>,
    }

    for (name, case) in table::<BTreeMap<String, Case>>("job/stored") {
        let mut expected = kept(&stored(&json!({})));
        for (fact, value) in case.keeps {
            expected[fact] = value;
        }
        assert_eq!(kept(&stored(&case.change)), expected, "{name}");
    }
}

/// A tenant writes these texts, and each Job of the cluster keeps them.
#[test]
fn names_are_cut() {
    let long = "n".repeat(100_000);
    let owner = json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": long, "uid": "c", "controller": true});
    let job = stored(&json!({"metadata": {
        "ownerReferences": [owner],
        "annotations": {"argocd.argoproj.io/tracking-id": format!("{long}:batch/Job:shop/x")},
    }, "spec": {"template": null}}));
    assert_eq!((job.base.len(), job.release.len()), (MAX_NAME, MAX_NAME));
}
