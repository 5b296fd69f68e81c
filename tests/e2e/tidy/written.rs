//! What is written down of a removal, and what becomes of one that is refused.

use std::fs::File;

use serde_json::json;

use super::{Replica, names, three_failures_and_a_success};
use crate::harness::{Helm, Recorder, Space, Webhooks, eventually};

/// The line comes first: where it cannot be written and must be, nothing is removed, and where the apiserver
/// refuses, a second one says so.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn nothing_is_removed_that_is_not_written_down() {
    let space = Space::new();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let replica = Replica::made(&[&space], Vec::new(), "a", "{}", Some(full()), "deny", None);
    let failed = three_failures_and_a_success(&space, Helm::V3, "app");
    eventually("a try", || replica.counts("failed").then_some(()));
    assert_eq!(names(&space.jobs_of("app")), failed);
    drop(replica);

    // One who may look and not delete.
    let user = format!("looks-{}", space.name());
    let name = space.name();
    space.bind(name, "view", &user);
    let rights = [
        "create",
        "clusterrole",
        name,
        "--verb=get,list,watch",
        "--resource=namespaces",
    ];
    space.kubectl(&rights).succeeds();
    space.bind(&format!("{name}-namespaces"), name, &user);
    let replica = Replica::made(&[&space], Vec::new(), "b", "{}", None, "allow", Some(&user));
    let lines = eventually("a refusal", || {
        let lines = replica.lines();
        (lines.len() >= 4).then_some(lines)
    });
    assert_eq!(names(&space.jobs_of("app")), failed);
    assert_eq!(lines.len(), 4, "two for each: {lines:#?}");
    for (pair, job) in lines.chunks(2).zip(&failed) {
        assert_eq!(
            (&pair[0]["job"], &pair[1]["job"]),
            (&json!(job), &json!(job))
        );
        assert!(pair[0]["stays"].is_null(), "{pair:#?}");
        let why = pair[1]["stays"].as_str().unwrap();
        assert!(why.contains("cannot delete resource \"jobs\""), "{why}");
    }
    drop(replica);

    let replica = Replica::of(&space, "c", "{}");
    eventually("the earlier ones to go", || {
        (space.jobs_of("app").len() == 1).then_some(())
    });
    assert_eq!(replica.lines().len(), 2);
}

/// Somebody writes to the Job while its removal is under way: then it is not the one that was to be removed,
/// and is looked at again.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn one_that_has_changed_is_looked_at_again() {
    let space = Space::new();
    let failed = three_failures_and_a_success(&space, Helm::V3, "app");
    let recorder = Recorder::start();
    let _registration = Webhooks::recorded_by(&recorder)
        .of_deletions()
        .register(&space);
    recorder.hold();
    let replica = Replica::of(&space, "a", "{keepFailed: 2}");
    eventually("the deletion to be under way", || {
        (!recorder.take().is_empty()).then_some(())
    });
    let note = ["annotate", "job", &failed[0], "example.com/note=kept"];
    space.kubectl(&note).succeeds();
    recorder.go_on();
    eventually("the earliest to go", || {
        (names(&space.jobs_of("app")) == failed[1..]).then_some(())
    });
    let lines = replica.lines();
    let stays: Vec<_> = lines.iter().map(|line| &line["stays"]).collect();
    let why = json!("it has changed, and is checked again");
    assert_eq!(stays, [&json!(null), &why, &json!(null)], "{lines:#?}");
    assert!(lines.iter().all(|line| line["job"] == *failed[0]));
    eventually("both to be counted", || {
        (replica.counts("changed") && replica.counts("deleted")).then_some(())
    });
}
