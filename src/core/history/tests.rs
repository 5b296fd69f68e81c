use serde_json::{Value, json};

use super::{Entry, History};
use crate::core::runs::resource::Outcome;

fn run(name: &str, tweak: impl FnOnce(&mut Value)) -> Value {
    let mut run = json!({
        "apiVersion": "migration-warden.io/v1alpha1",
        "kind": "MigrationRun",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-11-25T03:12:08Z"},
        "spec": {
            "job": {"name": format!("{name}-1764040327"), "uid": "u"},
            "release": {"name": "shop", "source": "instance-label"},
            "migration": name, "deployer": "Helm", "reviewed": true, "attempt": 1,
        },
        "status": {"outcome": "Succeeded", "admittedAt": "2026-11-25T03:12:07Z"},
    });
    tweak(&mut run);
    run
}

fn read(release: Option<&str>, items: &[Value]) -> (Vec<Entry>, usize) {
    let mut history = History::of(release.map(str::to_owned));
    let page = json!({"metadata": {}, "items": items}).to_string();
    assert_eq!(history.page(&page).unwrap(), items.len());
    let unreadable = history.unreadable;
    (history.in_order(), unreadable)
}

fn names(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.run).collect()
}

#[test]
fn the_newest_of_a_release_is_last() {
    let items = [
        run("d", |run| run["metadata"]["namespace"] = json!("web")),
        run("c", |run| {
            run["status"]["admittedAt"] = json!("2026-11-25T05:00:00Z");
        }),
        run("e", |run| run["spec"]["release"]["name"] = json!("pay")),
        run("b", |_| {}),
        // Only the creation time of its run is known.
        run("a", |run| {
            run["metadata"]["creationTimestamp"] = json!("2026-11-24T00:00:00Z");
            run["status"].take();
        }),
    ];
    let (entries, _) = read(None, &items);
    assert_eq!(names(&entries), ["e", "a", "b", "c", "d"]);
    assert_eq!(entries[1].outcome, Outcome::Running);
    let (entries, _) = read(Some("pay"), &items);
    assert_eq!(names(&entries), ["e"]);
}

#[test]
fn one_that_cannot_be_read_hides_no_other() {
    let newer = run("newer", |run| run["status"]["outcome"] = json!("Paused"));
    let (entries, unreadable) = read(None, &[newer, run("good", |_| {})]);
    assert_eq!((names(&entries), unreadable), (vec!["good"], 1));
}

#[test]
fn the_duration_is_that_of_the_work() {
    let admitted = ("admittedAt", "2026-11-25T03:12:07Z");
    let started = ("startedAt", "2026-11-25T03:12:10Z");
    let finished = ("finishedAt", "2026-11-25T03:13:22Z");
    for (outcome, times, seconds) in [
        ("Failed", &[admitted][..], None),
        ("Failed", &[admitted, finished], Some(75)),
        ("Failed", &[admitted, started, finished], Some(72)),
        // A missing Job had already been gone for some time.
        ("Lost", &[admitted, started, finished], None),
    ] {
        let mut status = json!({"outcome": outcome});
        for (field, time) in times {
            status[field] = json!(time);
        }
        let (entries, _) = read(None, &[run("a", |run| run["status"] = status)]);
        assert_eq!(entries[0].duration_seconds, seconds, "{outcome}: {times:?}");
    }
}

#[test]
fn a_credential_that_somebody_wrote_there_is_not_shown() {
    let planted = "postgres://shop:s3cr3t-plant@db/shop";
    let (entries, _) = read(
        None,
        &[run("a", |run| {
            run["status"]["message"] = json!(format!("cannot reach {planted}"));
            run["status"]["reason"] = json!(planted);
            run["spec"]["requestedBy"] = json!(planted);
            run["spec"]["images"] = json!([planted]);
        })],
    );
    let text = serde_json::to_string(&entries).unwrap();
    assert!(!text.contains("s3cr3t-plant"), "{text}");
    assert!(text.contains("cannot reach postgres://"), "{text}");
}
