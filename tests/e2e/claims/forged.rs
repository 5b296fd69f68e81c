//! Reviews that no API server has sent: what they leave, and whom they keep waiting.

use std::thread;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{endless, guarded, is_created, review};
use crate::harness::{Chart, Cluster, Outcome, Space, Warden, eventually};

/// The answer to the creation of a migration of this key, posted by a client that reaches the port.
fn forged(warden: &Warden, namespace: &str, key: &str) -> Value {
    let mut job: Value = serde_saphyr::from_str(&Chart::good().render(key)).unwrap();
    job["metadata"]["uid"] = json!(uuid::Uuid::now_v7());
    job["metadata"]["creationTimestamp"] = json!(Timestamp::now());
    let review = review(namespace, "CREATE", &job);
    warden.post("/validate", &review)["response"].take()
}

/// The claims of Jobs in this namespace. Replicas of the tests keep theirs in `default`.
fn claims(namespace: &str) -> Vec<Value> {
    let mut command = Cluster::get().kubectl();
    let selector = format!("migration-warden.io/holder-namespace={namespace}");
    let args = [
        "get", "leases", "-n", "default", "-o", "json", "-l", &selector,
    ];
    let mut list = Outcome::of(command.args(args), "").succeeds().json();
    serde_json::from_value(list["items"].take()).unwrap()
}

fn told(answer: &Value) -> &str {
    assert_eq!(answer["status"]["code"], 429, "{answer:#}");
    answer["status"]["message"].as_str().unwrap()
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_namespace_that_does_not_exist_gets_no_claim() {
    let warden = Warden::with("").cluster().serve();
    let space = Space::new();
    let nowhere = format!("{}-not", space.name());
    let answer = forged(&warden, &nowhere, "app");
    assert!(
        told(&answer).contains(&format!("there is no namespace {nowhere}")),
        "{answer:#}"
    );
    assert!(claims(&nowhere).is_empty());
    let long = "a".repeat(100_000);
    for odd in [
        "default?watch=true",
        "../namespaces/default",
        "default/status",
        "x y",
        "x\n2026-01-01 ERROR fake",
        "%2e%2e",
        "é",
        &long,
    ] {
        let answer = forged(&warden, odd, "app");
        assert!(told(&answer).contains("no valid namespace"), "{answer:#}");
    }
    let said = warden.stderr();
    assert!(
        said.lines()
            .all(|line| line.starts_with('{') || line.starts_with("20")),
        "{said}"
    );
    assert!(said.lines().all(|line| line.len() < 4096), "{said}");
}

/// A namespace of many tenants: each of these Jobs is seen before the next one comes.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn as_many_migrations_get_in_as_there_are_once_their_jobs_are_seen() {
    let space = guarded("");
    for number in 0..60 {
        is_created(&space, &endless(&format!("tenant{number}")));
    }
    assert_eq!(space.warden.metric("claims_total{outcome=\"crowded\"}"), 0);
    assert_eq!(claims(space.name()).len(), 60);
}

/// Of a Job that does not exist nobody asks whether it runs.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_forged_deletion_lists_no_pods() {
    let space = guarded("");
    let mut job: Value = serde_saphyr::from_str(&endless("app")).unwrap();
    job["metadata"]["uid"] = json!(uuid::Uuid::now_v7());
    job["status"] = json!({"active": 1, "ready": 0});
    let review = review(space.name(), "DELETE", &job);
    for _ in 0..20 {
        let answer = space.warden.post("/validate?timeout=30s", &review);
        assert_eq!(answer["response"]["allowed"], true, "{answer:#}");
    }
    let idle = "guard_pod_lookups_total{result=\"idle\"}";
    assert_eq!(space.warden.metric(idle), 20);
    let listed = space.audit("list");
    let pods = |event: &&Value| event["objectRef"]["resource"] == "pods";
    assert_eq!(listed.iter().filter(pods).count(), 0);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn three_thousand_forged_reviews_leave_nothing_and_stop_nobody_else() {
    let space = guarded("");
    let other = guarded("");
    let namespace = space.name().to_owned();
    let (peak, refused) = thread::scope(|scope| {
        let asking: Vec<thread::ScopedJoinHandle<'_, Vec<Value>>> = (0..12)
            .map(|hand| {
                let (warden, namespace) = (&space.warden, &namespace);
                scope.spawn(move || {
                    let answers = (0..250).map(|n| {
                        let key = format!("k{hand}x{n}");
                        forged(warden, namespace, &key)
                    });
                    answers
                        .filter(|answer| answer["allowed"] == false)
                        .collect()
                })
            })
            .collect();
        let (mut peak, mut others) = (0, 0);
        while asking.iter().any(|hand| !hand.is_finished()) {
            peak = peak.max(claims(&namespace).len());
            // Those are not seen at once either.
            if others < 20 {
                is_created(&other, &endless(&format!("other{others}")));
                others += 1;
            }
        }
        let refused = asking.into_iter().flat_map(|hand| hand.join().unwrap());
        (peak, refused.collect::<Vec<_>>())
    });
    assert!((1..=50).contains(&peak), "{peak} claims at once");
    assert!(!refused.is_empty());
    for answer in &refused {
        assert!(
            told(answer).contains("has 50 claims whose Jobs have not been seen yet"),
            "{answer:#}"
        );
    }
    // Expired ones go, and nothing stays.
    for _ in 0..3 {
        thread::sleep(std::time::Duration::from_secs(25));
    }
    eventually("all claims to go", || {
        claims(&namespace).is_empty().then_some(())
    });
    is_created(&space, &endless("app"));
}
