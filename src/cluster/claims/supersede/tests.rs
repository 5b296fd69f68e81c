//! What a claim asks of the API server while a Job that never started holds it.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use jiff::SignedDuration;
use serde::Deserialize;

use super::*;
use crate::cluster::api::testing;
use crate::cluster::claims::key::Key;
use crate::cluster::claims::lease;
use crate::cluster::claims::metrics::ClaimMetrics;
use crate::cluster::claims::protocol::Version;
use crate::cluster::claims::store::{Claimant, Taken};
use crate::cluster::jobs::Jobs;
use crate::core::job::object::Object;
use crate::core::job::{self, Kind};
use crate::core::policy_file::validate::builtin;
use crate::host::metrics::Registry;

const HOLDER: &str = "shop-migrate-1766361600";

/// A Job that holds the claim, its pods, and the answer to a PATCH of it.
struct Case {
    since: Timestamp,
    /// The state of its pod's container.
    state: Value,
    answer: u16,
    supersedes: Option<&'static str>,
    /// When the next attempt was created.
    now: Timestamp,
}

struct Found {
    holder: Blocker,
    /// The requests for the holder, each with its body.
    asked: Vec<(String, Value)>,
    registry: Registry,
}

fn case() -> Case {
    let since: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
    Case {
        since,
        state: json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
        answer: 200,
        supersedes: Some("shop-migrate"),
        now: since + SignedDuration::from_secs(60),
    }
}

fn holder(since: Timestamp) -> Value {
    crate::testing::job(|job| {
        job["metadata"]["uid"] = json!("u1");
        job["metadata"]["resourceVersion"] = json!("7");
        job["metadata"]["creationTimestamp"] = json!(since);
        job["status"] = json!({"startTime": since, "active": 1, "ready": 0});
    })
}

async fn take(case: Case) -> Found {
    let (policy, job) = (Arc::new(builtin()), holder(case.since));
    let object = Object::deserialize(&job).unwrap();
    let keys = Key::all_of(
        &job::Job::new(&object, Kind::Job, "shop"),
        &policy.claims,
        None,
    );
    let [key] = &keys[..] else { panic!("{keys:?}") };
    let claim = Claim {
        namespace: "shop".to_owned(),
        job: HOLDER.to_owned(),
        uid: "u1".to_owned(),
        since: case.since,
        seen: true,
        ..Claim::default()
    };
    let version = Version {
        uid: "l1".to_owned(),
        resource_version: "1".to_owned(),
    };
    let lease = lease::to_lease(key.lease_name(), &key.to_string(), &claim, Some(&version));
    let lease = serde_json::to_value(lease).unwrap();
    let container = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": case.state});
    let pod = json!({"status": {"phase": "Pending", "containerStatuses": [container]}});
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (log, code) = (Arc::clone(&asked), case.answer);
    let client = testing::client(move |request| {
        let (log, job, lease, pod) = (Arc::clone(&log), job.clone(), lease.clone(), pod.clone());
        async move {
            let (parts, body) = request.into_parts();
            let (method, path) = (parts.method.as_str(), parts.uri.path());
            let list = |item| (200, json!({"metadata": {}, "items": [item]}));
            let status = |code| {
                (
                    code,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "code": code}),
                )
            };
            if path.ends_with(&format!("/jobs/{HOLDER}")) {
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                log.lock().unwrap().push((method.to_owned(), body));
            }
            match method {
                "POST" => status(409),
                "PATCH" if code != 200 => status(code),
                _ if path.ends_with("/jobs") => list(job),
                _ if path.ends_with("/pods") => list(pod),
                _ if path.contains("/leases/") => (200, lease),
                _ => (200, job),
            }
        }
    });
    let mut registry = Registry::new();
    let claims = Claims::new(client, Jobs::default(), ClaimMetrics::new(&mut registry));
    let wanted = Wanted {
        keys: &keys,
        policy: &policy,
        claimant: Claimant {
            namespace: "shop",
            job: "shop-migrate-1766361660",
            generate_name: None,
            uid: "u2",
            created: case.now,
            user: "ci",
        },
        is_adopted: false,
        dry_run: false,
        supersedes: case.supersedes,
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let Ok(Taken::Waiting(holder)) = claims.take(&wanted, deadline).await else {
        panic!("it does not wait");
    };
    let asked = asked.lock().unwrap().clone();
    Found {
        holder,
        asked,
        registry,
    }
}

#[tokio::test]
async fn the_job_is_failed_as_it_was_read_and_the_message_says_so() {
    let Found {
        holder,
        asked,
        registry,
    } = take(case()).await;
    let why = "ErrImagePull: not found; shop-migrate-1766361660 waited for it";
    let patch = json!({
        "metadata": {
            "uid": "u1",
            "resourceVersion": "7",
            "annotations": {"migration-warden.io/superseded": why},
        },
        "spec": {"activeDeadlineSeconds": 1},
    });
    let [look, get, patched] = &asked[..] else {
        panic!("{asked:?}")
    };
    // The first one tells that the Job is active, and may be shared with others.
    let verbs = [look, get, patched].map(|(verb, _)| &**verb);
    assert_eq!(verbs, ["GET", "GET", "PATCH"]);
    assert_eq!(patched.1, patch);
    assert!(holder.first);
    assert!(matches!(holder.facts.state, State::Superseded(_)));
    registry.assert_has(&[
        r#"claims_superseded_total{result="success"} 1"#,
        r#"claims_superseded_total{result="failure"} 0"#,
    ]);
}

#[tokio::test]
async fn an_answer_that_refuses_leaves_the_job_to_the_next_try() {
    for (answer, failures) in [(404, 0), (409, 0), (422, 0), (403, 1), (500, 1)] {
        let found = take(Case { answer, ..case() }).await;
        assert_eq!(found.asked.len(), 3, "{answer}");
        let state = &found.holder.facts.state;
        assert!(matches!(state, State::Active(Progress::NotStarted(_))));
        let failed = format!(r#"claims_superseded_total{{result="failure"}} {failures}"#);
        found.registry.assert_has(&[&failed]);
    }
}

#[tokio::test]
async fn nothing_is_changed_where_it_cannot_give_way() {
    let running = json!({"running": {}});
    for (change, asked) in [
        (
            Case {
                supersedes: None,
                ..case()
            },
            1,
        ),
        (
            Case {
                state: running,
                ..case()
            },
            1,
        ),
        (
            Case {
                supersedes: Some("web-migrate"),
                ..case()
            },
            2,
        ),
        (
            Case {
                now: case().since + SignedDuration::from_secs(59),
                ..case()
            },
            1,
        ),
        // A review may be forged: the Job is young, whatever it says.
        (
            Case {
                since: Timestamp::now(),
                now: Timestamp::now() + SignedDuration::from_hours(24),
                ..case()
            },
            1,
        ),
    ] {
        let found = take(change).await;
        assert_eq!(found.asked.len(), asked, "{:?}", found.asked);
        assert!(found.asked.iter().all(|(method, _)| method == "GET"));
        assert!(!matches!(found.holder.facts.state, State::Superseded(_)));
    }
}
