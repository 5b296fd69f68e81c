//! The guide's own chart, word for word but for its image, under the policy that serves without a file: what
//! migration-warden changes, and that without it the opposite happens.
//!
//! After the installations, which bring the CRDs themselves.

use std::thread;

use serde_json::{Value, json};

use super::migration::{BRIEF, FAILING, SLOW, Watch, images};
use crate::exceptions::crd;
use crate::harness::{
    Chart, Guarded, Helm, NodeKind, Outcome, Space, Warden, Webhooks, api, eventually,
};
use crate::tidy::replica::Replica;

/// The guide's chart, with an image that the node has.
fn guide(image: &str) -> Chart {
    images();
    Chart::guide().with("registry.example/app:1.0.0", image)
}

fn guarded() -> Guarded {
    let warden = Warden::with("").cluster().serve();
    Guarded::by(warden, Space::on(NodeKind::Real), Webhooks::guarding)
}

/// A release of the guide's chart.
struct Release<'a> {
    space: &'a Space,
    helm: Helm,
    watch: Watch,
}

impl<'a> Release<'a> {
    fn install(space: &'a Space, helm: Helm) -> Self {
        let watch = Watch::begin();
        watch.one_at_a_time(space, |_| "");
        space.install(helm, "shop", &guide(BRIEF)).succeeds();
        Self { space, helm, watch }
    }

    /// Upgrades, and does something to the Job once its migration runs.
    fn upgrade(&self, image: &str, meanwhile: impl FnOnce(&str)) -> Outcome {
        let before = self.watch.jobs(self.space);
        let chart = guide(image).write();
        let path = chart.path().to_str().unwrap();
        let upgrade = [
            "upgrade",
            "shop",
            path,
            "--timeout",
            "40s",
            "--set",
            "version=2",
        ];
        thread::scope(|scope| {
            let upgrade = scope.spawn(|| self.space.helm(self.helm, &upgrade));
            meanwhile(&self.watch.runs(self.space, &before));
            upgrade.join().unwrap()
        })
    }

    /// A pipeline is killed while its migration runs, rolls back, and tries again. Whether two were active at once.
    fn two_at_once(&self) -> bool {
        let before = self.watch.jobs(self.space);
        let chart = guide(SLOW).write();
        let mut upgrade = self.space.begin(self.helm, "upgrade", "shop", &chart);
        self.watch.runs(self.space, &before);
        upgrade.kill().unwrap();
        upgrade.wait().unwrap();
        self.space.helm(self.helm, &["rollback", "shop"]).succeeds();
        self.space
            .upgrade(self.helm, "shop", &guide(BRIEF))
            .succeeds();
        self.watch.rests(self.space);
        !self.watch.together(self.space).is_empty()
    }

    /// Three attempts fail, the next succeeds, and the release is uninstalled.
    fn three_failures(&self) {
        for _ in 0..3 {
            // It would be tried again for ten minutes.
            let ends = json!({"spec": {"activeDeadlineSeconds": 1}});
            self.upgrade(FAILING, |job| {
                self.space.patch(job, &ends, &[]).succeeds();
            })
            .fails();
        }
        self.upgrade(BRIEF, |_| {}).succeeds();
        self.space
            .helm(self.helm, &["uninstall", "shop"])
            .succeeds();
    }

    fn version(&self) -> Value {
        self.space.get("configmap", "shop")["data"]["version"].take()
    }

    fn jobs(&self) -> Vec<Value> {
        let mut jobs = self.space.jobs();
        jobs.retain(|job| job["metadata"]["deletionTimestamp"].is_null());
        jobs
    }
}

/// The adopter and the outcome of each run.
fn recorded(space: &Space) -> Vec<[Value; 2]> {
    let runs = api::all(api::RUNS, space.name()).into_iter();
    let of = |run: Value| {
        [
            run["spec"]["adopted"].clone(),
            run["status"]["outcome"].clone(),
        ]
    };
    runs.map(of).collect()
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_migration_that_runs_is_not_deleted_and_the_next_waits() {
    let _crd = crd::installed();
    for helm in Helm::BOTH {
        let space = guarded();
        let release = Release::install(&space, helm);
        let upgraded = release.upgrade(SLOW, |job| {
            let refused = space.kubectl(&["delete", "job", job]).fails();
            refused.says("MW102 deleted-while-running: ");
        });
        upgraded.succeeds();
        assert_eq!(release.version(), "2");
        assert!(!release.two_at_once());
        let decisions = space.warden.decisions().into_iter();
        let waiting = decisions.filter(|decision| decision["verdict"] == "waiting");
        assert_eq!(waiting.count(), 1);

        let jobs = release.watch.jobs(&space);
        assert_eq!(jobs.len(), 4, "{jobs:?}");
        eventually("each to be recorded once", || {
            let succeeded = [json!("detected"), json!("Succeeded")];
            (recorded(&space) == vec![succeeded; 4]).then_some(())
        });
        space.helm(helm, &["uninstall", "shop"]).succeeds();
        let left = release.jobs();
        assert!(left.len() < 2, "only that of the killed one: {left:#?}");
    }
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn without_it_one_is_deleted_and_the_next_runs_beside_another() {
    for helm in Helm::BOTH {
        let space = Space::on(NodeKind::Real);
        let release = Release::install(&space, helm);
        let upgraded = release.upgrade(SLOW, |job| {
            space.kubectl(&["delete", "job", job]).succeeds();
        });
        match helm {
            Helm::V3 => {
                upgraded.succeeds();
                assert_eq!(release.version(), "2", "deployed beside half a migration");
            }
            Helm::V4 => {
                upgraded.fails();
                space.helm(helm, &["rollback", "shop"]).succeeds();
            }
        }
        assert!(release.two_at_once());
    }
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn of_failed_attempts_the_newest_stays() {
    let _crd = crd::installed();
    for helm in Helm::BOTH {
        let space = guarded();
        let _replica = Replica::of(&space, "a", "{}");
        let release = Release::install(&space, helm);
        release.three_failures();
        let left = eventually("the earlier ones to be removed", || {
            <[Value; 1]>::try_from(release.jobs()).ok()
        });
        assert_eq!(left[0]["spec"]["ttlSecondsAfterFinished"], 604_800);
        let outcomes = eventually("all to be recorded", || {
            let runs = recorded(&space);
            runs.iter().all(|run| run[1] != "Running").then_some(runs)
        });
        let of = |outcome: &str| outcomes.iter().filter(|run| run[1] == *outcome).count();
        assert_eq!((of("Succeeded"), of("Failed")), (2, 3), "{outcomes:?}");
    }
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn without_it_all_failed_attempts_stay() {
    for helm in Helm::BOTH {
        let space = Space::on(NodeKind::Real);
        let release = Release::install(&space, helm);
        release.three_failures();
        assert_eq!(release.jobs().len(), 3);
    }
}
