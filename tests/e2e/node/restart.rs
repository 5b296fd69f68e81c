//! Helm runs a migration while the API server is restarted: what became of it is recorded.
//!
//! Not beside other tests, whose requests would fail.

use std::time::Duration;

use super::running;
use crate::exceptions::crd;
use crate::harness::{Guarded, Helm, NodeKind, Space, Warden, Webhooks, eventually, within};
use crate::restart::{assert_none_is_lost, restart, restarts};
use crate::runs::outcome;

/// The release's migration, once it runs. After a restart Kubernetes' own controllers take up to a minute to come back.
fn begun(space: &Space, release: &str) -> String {
    let limit = Duration::from_secs(120);
    within(limit, &format!("{release} to migrate"), || {
        let jobs = space.jobs_of(release);
        let job = jobs.iter().find(|job| job["status"]["ready"] == 1)?;
        Some(job["metadata"]["name"].as_str().unwrap().to_owned())
    })
}

/// Helm may lose patience with the API server; the migration ends anyway.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_migration_of_helms_is_not_lost() {
    let _crd = crd::installed();
    let space = Space::alone_on(NodeKind::Real);
    let args = ["--webhook-configuration", space.name()];
    let policy = "tidyUp: {mode: 'off'}\n";
    let leader = Warden::with(policy).cluster().args(&args).serve();
    eventually("a leader", || (leader.metric("leader") > 0).then_some(()));
    let warden = Warden::with(policy).cluster().args(&args).serve();
    let space = Guarded::by(warden, space, Webhooks::guarding);
    let chart = running("sleep 8").write();
    let mut migrated = Vec::new();
    for round in 0..restarts(2) {
        let helm = Helm::BOTH[round % 2];
        let release = helm.release(&format!("app-{round}"));
        let mut install = space.begin(helm, "install", &release, &chart);
        let job = begun(&space, &release);
        eventually("its run", || {
            outcome(&space, &job).filter(|is| is == "Running")
        });
        restart();
        let installed = install.wait().unwrap();
        eprintln!("{job}: {helm:?} {installed}");
        migrated.push(job);
    }
    assert_none_is_lost(&space, &migrated, [&leader, &space.warden]);
}
