//! How long it is waited: by clients, for what fails, for what never comes, and for what never starts. How long it is
//! until clients give up is among the tests on a real node, because it takes minutes.

use std::{
    thread,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use kube::api::PostParams;

use super::{again, create, endless, guarded, is_created, waits, waits_for};
use crate::harness::{Chart, Guarded, Helm, Outcome, eventually};

/// Other tests count the runs that their own replicas record, and these are there for long.
const ALONE: &str = "record: {runs: {mode: 'off'}}\n";

/// The client waits as long as the answer says: as long as the holder has lasted so far.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn clients_wait_by_themselves_and_get_in() {
    let helm = |helm: Helm| {
        move |space: &Guarded| {
            let dir = Chart::good().write();
            let path = dir.path().to_str().unwrap();
            space.helm(helm, &["install", "app", path])
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| gets_in(helm(Helm::V3)));
        scope.spawn(|| gets_in(helm(Helm::V4)));
        scope.spawn(|| {
            gets_in(|space| space.kubectl_with(&["create", "-f", "-"], &again(&endless("app"))));
        });
    });
}

fn gets_in(deploy: impl Fn(&Guarded) -> Outcome + Sync) {
    let space = guarded(ALONE);
    let held = is_created(&space, &endless("app"));
    let holder = held["metadata"]["name"].as_str().unwrap();
    // With the second of the holder in its name, Helm would delete that first.
    thread::sleep(Duration::from_secs(1));
    let since = Instant::now();
    thread::scope(|scope| {
        let told = scope.spawn(|| deploy(&space));
        // The second try is after 15 seconds.
        thread::sleep(Duration::from_secs(22));
        space.kubectl(&["delete", "job", holder]).succeeds();
        told.join().unwrap().succeeds();
    });
    // By then the holder had lasted 16 seconds.
    let took = since.elapsed();
    assert!(took >= Duration::from_secs(15 + 16), "{took:?}");
    let mut tries = space.audit("create");
    tries.extend(space.audit("patch"));
    tries.retain(|event| event["responseStatus"]["code"] == 429);
    assert_eq!(tries.len(), 2);
}

/// All who wait for one holder wait equally long.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_longer_the_holder_lasts_the_later_is_the_next_try() {
    let space = guarded(ALONE);
    let first = endless("app");
    let since = Instant::now();
    is_created(&space, &first);
    assert_eq!(waits_for(&space, &again(&first)).1, 15);
    thread::sleep(Duration::from_secs(25));
    let (_, one) = waits_for(&space, &again(&first));
    let (_, other) = waits_for(&space, &again(&again(&first)));
    let most = u32::try_from(since.elapsed().as_secs()).unwrap() + 1;
    assert!((25..=most).contains(&one), "{one}");
    assert!((one..=most).contains(&other), "{one}, {other}");
}

/// The Job's status is written as if two of its pods had failed: on the fake node none does.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_holder_that_has_failed_says_how_often_and_when_it_ends() {
    let space = guarded(ALONE);
    let pod = "spec:\n  template:\n    spec:\n";
    let first = Chart::good()
        .with(pod, &format!("{pod}      nodeSelector: {{none: such}}\n"))
        .with("backoffLimit: 0", "backoffLimit: 6")
        .render("app");
    let held = is_created(&space, &first);
    let holder = held["metadata"]["name"].as_str().unwrap();
    let start = eventually("the Job to start", || {
        let job = space.get("job", holder);
        Some(job["status"]["startTime"].as_str()?.to_owned())
    });
    let failed = r#"{"status": {"failed": 2}}"#;
    let patch = [
        "patch",
        "job",
        holder,
        "--subresource=status",
        "--type=merge",
        "-p",
        failed,
    ];
    space.kubectl(&patch).succeeds();
    let told = eventually("the scheduler to have looked", || {
        let told = waits(&space, &again(&first));
        told.contains("Unschedulable").then_some(told)
    });
    let start: Timestamp = start.parse().unwrap();
    let end = start + SignedDuration::from_secs(600);
    let end = end.strftime("%Y-%m-%d %H:%M UTC");
    for part in [
        format!("{holder} has started, but none of its containers is running (Unschedulable: "),
        format!("; 2 of 7 attempts failed, ends by itself at about {end}; retry when "),
    ] {
        assert!(told.contains(&part), "{part} is not in {told}");
    }
    space.kubectl(&["delete", "job", holder]).succeeds();
}

/// It holds, because a pod of it may yet start; the message says why it does not, and how to give it up.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_holder_that_never_started_is_named_with_its_reason() {
    let space = guarded(ALONE);
    let pod = "spec:\n  template:\n    spec:\n";
    let nowhere = Chart::good().with(pod, &format!("{pod}      nodeSelector: {{none: such}}\n"));
    let first = nowhere.render("app");
    let held = is_created(&space, &first);
    let holder = held["metadata"]["name"].as_str().unwrap();
    let told = eventually("the scheduler to have looked", || {
        let told = waits(&space, &again(&first));
        told.contains("Unschedulable").then_some(told)
    });
    assert!(
        told.contains(&format!("{holder} has not started (Unschedulable: ")),
        "{told}"
    );
    let give_up = format!(
        "To give it up, once no Helm waits for it:\n  kubectl delete job {holder} -n {}",
        space.name()
    );
    assert!(told.contains(&give_up), "{told}");
    space.kubectl(&["delete", "job", holder]).succeeds();
    // Its pod is gone in a moment.
    eventually("the next to get in", || {
        create(&space, &again(&first), &PostParams::default()).ok()
    });
}

/// The claim is taken, and then the quota refuses. Tried again, the Job has another name and uid, and meets its
/// own claim: it waits until that has expired.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_generated_name_that_is_refused_later_gets_in_once_its_claim_has_expired() {
    let space = guarded(&format!("{ALONE}rules: {{untimestamped-name: 'off'}}\n"));
    let quota = ["create", "quota", "none", "--hard=count/jobs.batch=0"];
    space.kubectl(&quota).succeeds();
    let manifest = Chart::good()
        .with("  name:", "  generateName:")
        .with("-migrate-{{ now | unixEpoch }}", "-migrate-")
        .render("app");
    let refused = eventually("the quota to count", || {
        create(&space, &manifest, &PostParams::default()).err()
    });
    assert_eq!(refused.code, 403, "{refused:?}");
    space.kubectl(&["delete", "quota", "none"]).succeeds();
    let told = waits(&space, &manifest);
    assert!(told.contains("app-migrate-"), "{told}");
    assert!(told.contains(" is about to be created, "), "{told}");
    let since = Instant::now();
    let created = loop {
        match create(&space, &manifest, &PostParams::default()) {
            Ok(job) => break job,
            Err(status) => assert_eq!(status.code, 429, "{status:?}"),
        }
        assert!(since.elapsed() < Duration::from_secs(60), "it is stuck");
        thread::sleep(Duration::from_secs(1));
    };
    assert!(created.metadata.name.unwrap().starts_with("app-migrate-"));
    let waiting = space.warden.decisions().into_iter();
    let waiting = waiting.filter(|d| d["verdict"] == "waiting").count();
    assert_eq!(waiting, 1, "told once, whatever its name is now");
}
