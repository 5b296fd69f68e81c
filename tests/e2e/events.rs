//! What is seen of migrations in `kubectl get events`, in their own namespace.

use std::{thread, time::Duration};

use kube::api::PostParams;
use serde_json::Value;

use crate::claims::{again, create};
use crate::harness::{Chart, Guarded, Helm, RESTARTING_POD, Space, Warden, eventually};

fn guarded(policy: &str) -> Guarded {
    Guarded::by(
        Warden::with(policy).cluster().serve(),
        Space::new(),
        |webhooks| webhooks,
    )
}

/// Our Events of the namespace.
pub(crate) fn events(space: &Space) -> Vec<Value> {
    let args = ["get", "events.v1.events.k8s.io", "-o", "json"];
    let mut list = space.kubectl(&args).succeeds().json();
    let mut events: Vec<Value> = serde_json::from_value(list["items"].take()).unwrap();
    events.retain(|event| event["reportingController"] == "migration-warden.io/webhook");
    events
}

/// The one with this reason, as soon as it is there.
pub(crate) fn event(space: &Space, reason: &str) -> Value {
    eventually(&format!("an Event {reason}"), || {
        let mut events = events(space).into_iter();
        events.find(|event| event["reason"] == reason)
    })
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_is_denied_is_seen_in_the_namespace() {
    let space = guarded("");
    for helm in Helm::BOTH {
        let refused = space.install(helm, &helm.release("app"), &RESTARTING_POD.chart());
        assert_ne!(refused.code, Some(0));
    }
    let denied = event(&space, "MigrationDenied");
    assert_eq!(denied["type"], "Warning");
    assert_eq!(denied["regarding"]["kind"], "Namespace");
    assert_eq!(denied["regarding"]["name"], *space.name());
    assert_eq!(denied["related"]["kind"], "Job");
    let note = denied["note"].as_str().unwrap();
    assert!(note.starts_with("CREATE of app-"), "{note}");
    assert!(note.contains("MW004 restarting-pod"), "{note}");
    let shown = space.kubectl(&["get", "events"]).succeeds();
    assert!(shown.stdout.contains("MigrationDenied"), "{shown}");
}

/// A pipeline that tries again and again is one Event that counts.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn attempts_of_one_migration_are_one_event() {
    let space = guarded("");
    let first = RESTARTING_POD.chart().render("app");
    for manifest in [&first, &again(&first), &first] {
        let refused = space.kubectl_with(&["create", "-f", "-"], manifest);
        assert_ne!(refused.code, Some(0));
    }
    let counted = eventually("a series", || {
        let events = events(&space);
        assert!(events.len() <= 1, "{events:?}");
        (events.first()?["series"]["count"] == 3).then(|| events[0].clone())
    });
    assert_eq!(counted["reason"], "MigrationDenied");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_was_corrected_is_seen_at_the_job() {
    let space = guarded("rules: {restarting-pod: patch}");
    let created = space.kubectl_with(
        &["create", "-f", "-"],
        &RESTARTING_POD.chart().render("app"),
    );
    created.succeeds();
    let patched = event(&space, "MigrationPatched");
    assert_eq!(patched["type"], "Normal");
    assert_eq!(patched["regarding"]["kind"], "Job");
    let name = patched["regarding"]["name"].as_str().unwrap();
    assert_eq!(
        patched["regarding"]["uid"],
        space.get("job", name)["metadata"]["uid"]
    );
    assert_eq!(
        patched["note"],
        "corrected MW004 in the Job; correct the chart too"
    );
    let described = space.kubectl(&["describe", "job", name]).succeeds();
    assert!(described.stdout.contains("MigrationPatched"), "{described}");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_waits_is_seen_once_with_its_holder() {
    let space = guarded("");
    let endless = Chart::good().with("spec:\n  template", "spec:\n  suspend: true\n  template");
    let holder = endless.render("app");
    space
        .kubectl_with(&["create", "-f", "-"], &holder)
        .succeeds();
    let again = again(&holder);
    for _ in 0..3 {
        create(&space, &again, &PostParams::default()).unwrap_err();
    }
    let waiting = event(&space, "MigrationWaiting");
    assert_eq!(waiting["type"], "Normal");
    let note = waiting["note"].as_str().unwrap();
    assert!(note.contains("MW101 concurrent-migration"), "{note}");
    thread::sleep(Duration::from_secs(2));
    let waiting = event(&space, "MigrationWaiting");
    assert!(waiting["series"].is_null(), "{waiting}");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_dry_run_leaves_no_event() {
    let space = guarded("");
    let tried = space.kubectl_with(
        &["create", "--dry-run=server", "-f", "-"],
        &RESTARTING_POD.chart().render("app"),
    );
    assert_ne!(tried.code, Some(0));
    // One that is no dry run is sent after it.
    let refused = space.kubectl_with(
        &["create", "-f", "-"],
        &RESTARTING_POD.chart().render("other"),
    );
    assert_ne!(refused.code, Some(0));
    event(&space, "MigrationDenied");
    assert_eq!(events(&space).len(), 1);
}
