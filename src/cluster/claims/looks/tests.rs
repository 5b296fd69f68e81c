//! What is read of the Job that a claim names.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::cluster::api::testing;

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

fn claim() -> Claim {
    Claim {
        namespace: "shop".to_owned(),
        job: "shop-migrate-1".to_owned(),
        uid: "u1".to_owned(),
        ..Claim::default()
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
        let found = looks.job(&claim()).await.unwrap();
        assert_eq!(
            matches!(found, Found::Unfinished(_)),
            is_active,
            "{metadata} {pods}"
        );
        assert_ne!(found, Found::Gone);
        // Of many that a LIST has, too.
        let live = looks.one_live("shop", &["u1"]).await.unwrap();
        assert_eq!(
            live.is_some(),
            is_active && metadata == &deleted,
            "{metadata} {pods}"
        );
    }
    let other = looks(&json!({"uid": "u2"}), &none);
    let found = other.job(&claim()).await.unwrap();
    assert_eq!(found, Found::Gone);
}

/// The API server has pods of one of them.
#[tokio::test]
async fn of_many_jobs_that_are_being_deleted_the_live_one_is_found() {
    let uids: Vec<String> = (0..500).map(|number| format!("u{number:03}")).collect();
    let uids: Vec<&str> = uids.iter().map(String::as_str).collect();
    for place in [0, 1, 250, 499] {
        let asked = Arc::new(AtomicUsize::new(0));
        let (live, count) = (uids[place].to_owned(), Arc::clone(&asked));
        let looks = Looks::new(testing::client(move |request| {
            count.fetch_add(1, Ordering::Relaxed);
            let is_asked = request.uri().query().unwrap().contains(&live);
            let pods = if is_asked {
                json!([{"status": {"phase": "Running"}}])
            } else {
                json!([])
            };
            async move { (200, json!({"metadata": {}, "items": pods})) }
        }));
        assert_eq!(looks.one_live("shop", &uids).await.unwrap(), Some(place));
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked <= 10, "{asked} LISTs");
    }
}
