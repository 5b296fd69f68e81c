//! Migrations that really run.

mod argocd;
mod charts;
mod claims;
mod guide;
mod image;
mod kustomize;
mod migration;
mod patience;
mod recorded;
mod restart;
mod running;
mod superseded;

use crate::harness::{Chart, Guarded, Helm, NodeKind, RESTARTING_POD, Space};

fn guarded(policy: &str) -> Guarded {
    Guarded::over(Space::on(NodeKind::Real), policy, |webhooks| webhooks)
}

/// The chart with another migration.
fn running(script: &str) -> Chart {
    Chart::good().with("echo migrated", script)
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn the_new_version_starts_after_its_migration() {
    let space = guarded("");
    for helm in Helm::BOTH {
        let release = helm.release("app");
        let chart = running("sleep 3; echo migrated");
        space.install(helm, &release, &chart).succeeds();
        space.upgrade(helm, &release, &chart).succeeds();
        let deployment = space.get("deployment", &release);
        let started = deployment["metadata"]["creationTimestamp"]
            .as_str()
            .unwrap()
            .to_owned();
        let decision = space.decision(&release);
        let decided = decision["ts"].as_str().unwrap();
        // Both are UTC and begin alike, so they compare as text.
        assert!(
            decided[..19] < started[..19],
            "migrated {decided}, started {started}"
        );
        let rollout = ["rollout", "status", "deployment", &release, "--timeout=30s"];
        space.kubectl(&rollout).succeeds();
        assert!(space.jobs_of(&release).is_empty(), "success cleans up");
    }
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_failed_migration_stops_the_release_and_keeps_its_log() {
    let space = guarded("");
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space
            .install(helm, &release, &running("echo no such table; exit 3"))
            .fails();
        space
            .kubectl(&["get", "deployment", &release])
            .fails()
            .says("NotFound");
        let job = &space.jobs_of(&release)[0];
        let job = format!("job/{}", job["metadata"]["name"].as_str().unwrap());
        let log = space.kubectl(&["logs", &job]).succeeds();
        assert_eq!(log.stdout, "no such table\n");
        // The next attempt has a name of its own, so nothing is in its way.
        space.upgrade(helm, &release, &running("true")).succeeds();
    }
}

/// A patched Job runs, and what it does when it fails is what `Never` promises: the pod stays.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_patched_job_keeps_its_failed_pod() {
    let space = guarded("rules: {restarting-pod: patch}\n");
    let chart = RESTARTING_POD
        .chart()
        .with("echo migrated", "echo broken; exit 1");
    let job = space.patches(&chart.render("app"), "MW004");
    let name = format!("job/{}", job["metadata"]["name"].as_str().unwrap());
    space
        .kubectl(&["wait", "--for=condition=Failed", "--timeout=30s", &name])
        .succeeds();
    assert_eq!(
        space.kubectl(&["logs", &name]).succeeds().stdout,
        "broken\n"
    );
}
