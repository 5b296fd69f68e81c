//! How long it is waited: by clients until they give up, for what never comes, and for what never starts.

use std::{
    thread,
    time::{Duration, Instant},
};

use kube::api::PostParams;

use super::{again, create, endless, guarded, is_created, waits};
use crate::harness::{Chart, Guarded, Helm, Outcome, eventually};

/// Other tests count the runs that their own replicas record, and these are there for long.
const ALONE: &str = "record: {runs: {mode: 'off'}}\n";

/// Ten tries after the first one, each after 15 seconds.
const PATIENCE: Duration = Duration::from_secs(150);

/// F7. Each client waits by itself, and says in the end who was in its way.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn clients_give_up_after_ten_more_tries_and_name_the_holder() {
    let helm = |helm: Helm| {
        move |space: &Guarded| {
            let dir = Chart::good().write();
            let path = dir.path().to_str().unwrap();
            let args = ["install", "app", path, "--timeout", "5m"];
            space.helm(helm, &args)
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| gives_up(helm(Helm::V3)));
        scope.spawn(|| gives_up(helm(Helm::V4)));
        scope.spawn(|| {
            gives_up(|space| space.kubectl_with(&["create", "-f", "-"], &again(&endless("app"))));
        });
    });
}

fn gives_up(deploy: impl Fn(&Guarded) -> Outcome) {
    let space = guarded(ALONE);
    let held = is_created(&space, &endless("app"));
    let holder = held["metadata"]["name"].as_str().unwrap();
    // With the second of the holder in its name, Helm would delete that first.
    thread::sleep(Duration::from_secs(1));
    let since = Instant::now();
    let told = deploy(&space);
    let took = since.elapsed();
    let name = space.name();
    told.fails()
        .says(&format!(
            "MW101 concurrent-migration: metadata.name: {name}/{holder} is suspended, "
        ))
        .says(", created ")
        .says(" ago by \"")
        .says(&format!("kubectl describe job {holder} -n {name}"))
        .says(&format!(
            "To give it up:\n  kubectl delete job {holder} -n {name}"
        ));
    assert!(took >= PATIENCE, "{took:?}");
    let mut tries = space.audit("create");
    tries.extend(space.audit("patch"));
    tries.retain(|event| event["responseStatus"]["code"] == 429);
    assert_eq!(tries.len(), 11);
    let waiting = space.warden.decisions().into_iter();
    let waiting = waiting.filter(|d| d["verdict"] == "waiting").count();
    assert_eq!(waiting, 1, "told once");
    // What the message says to do helps.
    space.kubectl(&["delete", "job", holder]).succeeds();
    is_created(&space, &again(&endless("app")));
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
        "To give it up:\n  kubectl delete job {holder} -n {}",
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
