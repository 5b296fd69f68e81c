//! A deploy that was interrupted and is tried again while its migration still runs.

use std::thread;

use serde_json::Value;

use super::running;
use crate::harness::{Chart, Guarded, Helm, NodeKind, Space, Warden, eventually};

/// A chart whose migration runs this script, as it is deployed.
type Deployed = fn(&str) -> Chart;

/// Flux's helm-controller has Helm's library send the same requests, and these labels on all it deploys.
fn by_flux(script: &str) -> Chart {
    let labels = "labels:\n    helm.toolkit.fluxcd.io/name: app\n    helm.toolkit.fluxcd.io/namespace: flux-system\n";
    running(script).with("labels:\n", labels)
}

/// Upgrades the release, kills Helm while the migration runs, and rolls back. Returns the Job's name.
fn interrupted(space: &Space, helm: Helm, release: &str, slow: &Chart, plain: &Chart) -> String {
    space.install(helm, release, plain).succeeds();
    let chart = slow.write();
    let mut upgrade = space.begin(helm, "upgrade", release, &chart);
    let job = eventually("the migration to run", || {
        let jobs = space.jobs_of(release);
        let running = jobs.iter().find(|job| job["status"]["ready"] == 1)?;
        Some(running["metadata"]["name"].as_str()?.to_owned())
    });
    upgrade.kill().unwrap();
    upgrade.wait().unwrap();
    space.helm(helm, &["rollback", release]).succeeds();
    assert!(is_active(&space.get("job", &job)));
    job
}

fn is_active(job: &Value) -> bool {
    job["status"]["active"] == 1
}

/// When the apiserver took the Jobs of this release, in order; those it refused are not among them.
fn created(space: &Space, release: &str) -> Vec<(String, String)> {
    let mut events = space.audit("create");
    events.extend(space.audit("patch"));
    let mut created: Vec<_> = events
        .iter()
        .map(|event| &event["responseObject"]["metadata"])
        .filter(|metadata| metadata["labels"]["app.kubernetes.io/instance"] == *release)
        .filter_map(|metadata| {
            let text = |field: &str| Some(metadata[field].as_str()?.to_owned());
            Some((text("creationTimestamp")?, text("name")?))
        })
        .collect();
    created.sort();
    created.dedup();
    created
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn without_a_claim_two_run_at_once() {
    let space = Space::on(NodeKind::Real);
    for helm in Helm::BOTH {
        let release = helm.release("app");
        let (slow, plain) = (running("sleep 20"), running("true"));
        let first = interrupted(&space, helm, &release, &slow, &plain);
        space.upgrade(helm, &release, &running("true")).succeeds();
        assert!(is_active(&space.get("job", &first)), "the first is over");
    }
}

/// Helm is told to wait, does, and goes on by itself.
fn waits(helm: Helm, seconds: u32, chart: Deployed) {
    let space = Space::on(NodeKind::Real);
    let warden = Warden::with("").cluster().serve();
    let space = Guarded::by(warden, space, |webhooks| webhooks);
    let release = helm.release("app");
    let (slow, plain) = (chart(&format!("sleep {seconds}")), chart("true"));
    let first = interrupted(&space, helm, &release, &slow, &plain);
    space.upgrade(helm, &release, &plain).succeeds();

    let jobs = created(&space, &release);
    let (second, _) = jobs.last().unwrap();
    let first = space.get("job", &first);
    let ended = first["status"]["completionTime"].as_str().unwrap();
    // Both are UTC in whole seconds, so they compare as text.
    assert!(ended <= &**second, "{ended} is after {second}: {jobs:?}");
    let waiting: Vec<_> = space
        .warden
        .decisions()
        .into_iter()
        .filter(|d| d["verdict"] == "waiting" && d["release"]["name"] == *release)
        .collect();
    assert_eq!(waiting.len(), 1, "{waiting:#?}");
    let findings = waiting[0]["findings"].as_array().unwrap();
    let found = findings.iter().find(|f| f["rule"] == "MW101").unwrap();
    let detail = found["detail"].as_str().unwrap();
    let holder = first["metadata"]["name"].as_str().unwrap();
    assert!(detail.contains(holder), "{detail}");
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_retry_waits_for_the_migration_that_still_runs() {
    for (helm, chart) in [
        (Helm::V3, running as Deployed),
        (Helm::V4, running),
        (Helm::V4, by_flux),
    ] {
        waits(helm, 12, chart);
    }
}

/// More than clients wait if they try again every 15 seconds.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_migration_of_400_seconds_is_waited_for() {
    thread::scope(|scope| {
        for helm in Helm::BOTH {
            scope.spawn(move || waits(helm, 400, running));
        }
    });
}

/// Migrations of two names belong to one release, and Helm runs one after the other.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn two_hooks_of_one_upgrade_do_not_wait_for_each_other() {
    let policy = "claims: {key: release}\n";
    let space = Space::on(NodeKind::Real);
    let warden = Warden::with(policy).cluster().serve();
    let space = Guarded::by(warden, space, |webhooks| webhooks);
    for helm in Helm::BOTH {
        let release = helm.release("app");
        let chart = running("true").and_another();
        space.install(helm, &release, &chart).succeeds();
        space.upgrade(helm, &release, &chart).succeeds();
        let waited = space.warden.decisions().into_iter();
        let waited: Vec<_> = waited.filter(|d| d["verdict"] == "waiting").collect();
        assert!(waited.is_empty(), "{waited:#?}");
        assert_eq!(created(&space, &release).len(), 4);
    }
}

/// Nobody waits for a migration of another name.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn others_run_beside_it() {
    let warden = Warden::with("").cluster().serve();
    let space = Guarded::by(warden, Space::on(NodeKind::Real), |webhooks| webhooks);
    let slow = |release: &str| running("sleep 20").render(release);
    let jobs = [space.accepts(&slow("one")), space.accepts(&slow("two"))];
    for job in jobs {
        let name = job["metadata"]["name"].as_str().unwrap();
        eventually("both to run", || {
            is_active(&space.get("job", name)).then_some(())
        });
    }
}
