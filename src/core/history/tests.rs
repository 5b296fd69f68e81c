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
    let lasted = |status: Value| {
        let (entries, _) = read(None, &[run("a", |run| run["status"] = status)]);
        entries[0].duration_seconds
    };
    let (admitted, started) = ("2026-11-25T03:12:07Z", "2026-11-25T03:12:10Z");
    let finished = "2026-11-25T03:13:22Z";
    let lasted = |times: Value| {
        let of = |outcome: &str| {
            let mut status = times.clone();
            status["outcome"] = json!(outcome);
            lasted(status)
        };
        // A missing Job had already been gone for some time.
        assert_eq!(of("Lost"), None);
        of("Failed")
    };
    assert_eq!(lasted(json!({"admittedAt": admitted})), None);
    assert_eq!(
        lasted(json!({"admittedAt": admitted, "finishedAt": finished})),
        Some(75)
    );
    assert_eq!(
        lasted(json!({"admittedAt": admitted, "startedAt": started, "finishedAt": finished})),
        Some(72)
    );
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
