//! What is read of the Job that a claim names.

use serde_json::{Value, json};

use super::*;
use crate::cluster::api::testing;
use crate::core::job::attempts::Unfinished;

/// Looks in a cluster that has a Job with this metadata, and these pods.
fn looks(metadata: &Value, pods: &Value) -> Looks {
    let (metadata, pods) = (metadata.clone(), pods.clone());
    Looks::new(testing::client(move |request| {
        let job = json!({"metadata": metadata, "spec": {}, "status": {"active": 1}});
        let pods = json!({"metadata": {}, "items": pods});
        let is_list = request.uri().path().ends_with("/pods");
        async move { (200, if is_list { pods } else { job }) }
    }))
}

fn listed(is_terminating: bool) -> Listed {
    Listed {
        claim: Claim {
            namespace: "shop".to_owned(),
            job: "shop-migrate-1".to_owned(),
            uid: "u1".to_owned(),
            ..Claim::default()
        },
        job: Unfinished {
            is_terminating,
            ..Unfinished::default()
        },
        keys: vec![0],
    }
}

#[tokio::test]
async fn a_job_that_is_being_deleted_counts_by_its_pods() {
    let plain = json!({"uid": "u1"});
    let deleted = json!({"uid": "u1", "deletionTimestamp": "2026-01-01T00:00:00Z"});
    let none = json!([]);
    let over = json!([{"status": {"phase": "Failed"}}]);
    let live = json!([{"status": {"phase": "Running"}}]);
    let pending = json!([{"status": {"phase": "Pending"}}]);
    for (metadata, pods, is_active) in [
        (&plain, &none, true),
        (&deleted, &none, false),
        (&deleted, &over, false),
        (&deleted, &live, true),
        (&deleted, &pending, true),
    ] {
        let looks = looks(metadata, pods);
        let job = listed(metadata == &deleted);
        let found = looks.job(&job.claim).await.unwrap();
        assert_eq!(
            matches!(found, Found::Unfinished(_)),
            is_active,
            "{metadata} {pods}"
        );
        assert_ne!(found, Found::Gone);
        // A LIST has it, too, and says the same.
        let running = looks.running(vec![job.clone(), job]).await.unwrap();
        assert_eq!(!running.is_empty(), is_active, "{metadata} {pods}");
    }
    let other = looks(&json!({"uid": "u2"}), &none);
    let found = other.job(&listed(false).claim).await.unwrap();
    assert_eq!(found, Found::Gone);
}
