//! Each condition alone keeps a Job that would otherwise give way.

use json_patch::merge;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::core::policy::testing::{job, stored};
use crate::testing::table;

/// `tests/fixtures/supersede.yaml` explains the fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    job: Option<Value>,
    #[serde(default)]
    pods: Option<Vec<Value>>,
    #[serde(default)]
    age: Option<i64>,
    #[serde(default)]
    newer: Option<(String, String)>,
    /// What keeps it from starting.
    gives_way: Option<String>,
    /// Why it stays.
    stays: Option<String>,
}

#[derive(Deserialize)]
struct Table {
    job: Value,
    pod: Value,
    rows: Vec<Row>,
}

#[test]
fn each_condition_alone_keeps_it() {
    let Table {
        job: change,
        pod,
        rows,
    } = table("supersede");
    for row in rows {
        let mut held = self::job(|valid| merge(valid, &change));
        if let Some(change) = &row.job {
            merge(&mut held, change);
        }
        let changes = row.pods.unwrap_or_else(|| vec![json!({})]);
        let pods = changes.iter().map(|change| {
            let mut pod = pod.clone();
            merge(&mut pod, change);
            serde_json::from_value(pod).unwrap()
        });
        let pods: Vec<Pod> = pods.collect();
        let (namespace, base) = row.newer.unwrap_or(("shop".into(), "shop-migrate".into()));
        let held: Held = stored(&held, |job| job.into());
        let created: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let newer = Newer {
            namespace: &namespace,
            base: &base,
            now: created + SignedDuration::from_secs(row.age.unwrap_or(60)),
        };
        let found = held.gives_way(&newer, &pods);
        let found = found.map(|wait| format!("{}: {}", wait.reason, wait.message));
        let expected = row.gives_way.ok_or(row.stays.unwrap_or_default());
        let told = found.map_err(str::to_owned);
        assert_eq!(told, expected, "{:?} {changes:?}", row.job);
    }
}

fn superseded_by(change: &Value) -> Option<String> {
    let mut held = job(|job| {
        job["metadata"]["annotations"]["migration-warden.io/superseded"] = json!("x");
        job["spec"]["activeDeadlineSeconds"] = json!(1);
        job["status"]["conditions"] = json!([
            {"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"},
            {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"},
        ]);
    });
    merge(&mut held, change);
    stored(&held, |job| superseded(job).map(str::to_owned))
}

#[test]
fn a_job_is_superseded_only_if_its_deadline_failed_it() {
    assert_eq!(superseded_by(&json!({})).as_deref(), Some("x"));
    let condition = |kind: &str, reason: &str| json!({"status": {"conditions": [{"type": kind, "status": "True", "reason": reason}]}});
    for change in [
        json!({"metadata": {"annotations": {"migration-warden.io/superseded": null}}}),
        json!({"spec": {"activeDeadlineSeconds": 2}}),
        json!({"spec": {"activeDeadlineSeconds": null}}),
        json!({"status": null}),
        condition("FailureTarget", "DeadlineExceeded"),
        condition("Complete", "DeadlineExceeded"),
        condition("Failed", "BackoffLimitExceeded"),
    ] {
        assert_eq!(superseded_by(&change), None, "{change}");
    }
}

#[test]
fn the_job_says_why() {
    let wait = Wait {
        reason: "ErrImagePull".to_owned(),
        message: "postgres://app:hunter2hunter2@db/x".to_owned(),
    };
    let why = why(&wait, "shop-migrate-2");
    assert_eq!(
        why,
        "ErrImagePull: postgres://app:***@db/x; shop-migrate-2 waited for it"
    );
}
