//! The API server is restarted in the middle of a migration: nothing that is known of it gets lost.
//!
//! Not beside other tests, whose requests would fail.

use std::{env, process::Command};

use crate::exceptions::crd;
use crate::guards::{by_hand, complete, create, run};
use crate::harness::{Cluster, Guarded, NodeKind, Space, Warden, Webhooks, eventually};
use crate::runs::outcome;

/// How often: as `MW_RESTARTS` says, or this often.
pub(crate) fn restarts(unless: usize) -> usize {
    env::var("MW_RESTARTS").map_or(unless, |times| times.parse().unwrap())
}

/// Kills the API server and waits until it serves again.
pub(crate) fn restart() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/restart");
    let status = Command::new(script).arg(Cluster::get().dir()).status();
    assert!(status.unwrap().success());
}

/// Helm deletes the Job as soon as it has succeeded, and the watches of the replicas are still away then. The replica
/// that is asked about the deletion is mostly not the one that was elected.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_migration_that_outlives_the_api_server_is_not_lost() {
    let _crd = crd::installed();
    let space = Space::alone_on(NodeKind::Kwok);
    let args = ["--webhook-configuration", space.name()];
    let leader = Warden::with("tidyUp: {mode: 'off'}\n")
        .cluster()
        .args(&args)
        .serve();
    eventually("a leader", || (leader.metric("leader") > 0).then_some(()));
    let warden = Warden::with("tidyUp: {mode: 'off'}\n")
        .cluster()
        .args(&args)
        .serve();
    let space = Guarded::by(warden, space, Webhooks::guarding);
    let mut migrated = Vec::new();
    for round in 0..restarts(3) {
        let job = create(&space, &by_hand(), &format!("app-{round}"));
        run(&space, &job);
        eventually("its run", || {
            outcome(&space, &job).filter(|is| is == "Running")
        });
        restart();
        complete(&space, &job);
        space.kubectl(&["delete", "job", &job]).succeeds();
        migrated.push(job);
    }
    assert_none_is_lost(&space, &migrated, [&leader, &space.warden]);
}

/// The runs of these Jobs say that they succeeded, and no replica has counted another end.
pub(crate) fn assert_none_is_lost(space: &Space, migrated: &[String], replicas: [&Warden; 2]) {
    for job in migrated {
        eventually("the run to have ended", || {
            let outcome = outcome(space, job)?;
            (outcome != "Running").then(|| assert_eq!(outcome, "Succeeded", "{job}"))
        });
    }
    for outcome in ["lost", "deleted"] {
        let series = format!("runs_total{{outcome=\"{outcome}\"}}");
        let counted = replicas.map(|replica| replica.metric(&series));
        assert_eq!(counted, [0, 0], "{outcome}");
    }
}
