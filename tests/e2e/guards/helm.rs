//! What Helm does to its own Jobs: first without the guards, then with them.

use std::thread;

use serde_json::json;

use super::{by_hand, complete, guarded, is_gone, run};
use crate::harness::{Chart, Guarded, Helm, Outcome, Space, eventually};

/// Nobody waits for a claim here: one thing at a time.
const GUARDS_ALONE: &str = "rules: {MW101: off}\n";
/// Names without timestamps are what these stories are about, and the rules refuse them.
const OLD_HABITS: &str = "rules: {MW001: off, MW003: off, MW101: off}\n";

/// The one Job of the release, by its name.
fn job(space: &Space, release: &str) -> Option<String> {
    let jobs = space.jobs_of(release);
    let job = jobs
        .iter()
        .find(|job| job["metadata"]["deletionTimestamp"].is_null())?;
    Some(job["metadata"]["name"].as_str()?.to_owned())
}

fn uid(space: &Space, job: &str) -> String {
    space.get("job", job)["metadata"]["uid"].to_string()
}

fn status(space: &Space, helm: Helm, release: &str) -> String {
    let status = space.helm(helm, &["status", release, "-o", "json"]);
    let status = status.succeeds().json();
    status["info"]["status"].as_str().unwrap().to_owned()
}

/// Upgrades, and does something to the running migration meanwhile.
fn upgrade(space: &Space, helm: Helm, release: &str, meanwhile: impl FnOnce(&str)) -> Outcome {
    let dir = by_hand().write();
    let path = dir.path().to_str().unwrap();
    let args = [
        "upgrade",
        release,
        path,
        "--timeout",
        "10s",
        "--set",
        "version=2",
    ];
    thread::scope(|scope| {
        let upgrade = scope.spawn(|| space.helm(helm, &args));
        let job = eventually("the migration", || job(space, release));
        run(space, &job);
        meanwhile(&job);
        upgrade.join().unwrap()
    })
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_deleted_migration_counts_as_one_that_ran() {
    let space = Space::new();
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &Chart::good()).succeeds();
        let upgraded = upgrade(&space, helm, &release, |job| {
            space.kubectl(&["delete", "job", job]).succeeds();
        });
        match helm {
            Helm::V3 => {
                upgraded.succeeds();
                assert_eq!(status(&space, helm, &release), "deployed");
                assert_eq!(space.get("configmap", &release)["data"]["version"], "2");
            }
            Helm::V4 => {
                upgraded.fails();
            }
        }
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_guarded_migration_runs_to_its_end() {
    let space = guarded(GUARDS_ALONE);
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &Chart::good()).succeeds();
        let upgraded = upgrade(&space, helm, &release, |job| {
            let refused = space.kubectl(&["delete", "job", job]).fails();
            refused.says("MW102 deleted-while-running: ");
            complete(&space, job);
        });
        upgraded.succeeds();
        assert_eq!(status(&space, helm, &release), "deployed");
        // `hook-succeeded`: Helm deletes what has ended, and is not asked why.
        assert_eq!(job(&space, &release), None);
    }
}

/// The same name each time, and Helm killed in the middle of it.
fn interrupted(space: &Space, helm: Helm, release: &str) -> (Chart, String) {
    let chart = by_hand().with("-migrate-{{ now | unixEpoch }}", "-migrate");
    let job = format!("{release}-migrate");
    let dir = chart.write();
    let mut install = space.begin(helm, "install", release, &dir);
    eventually("the first migration", || self::job(space, release));
    complete(space, &job);
    install.wait().unwrap();
    is_gone(space, &job);
    let mut upgrade = space.begin(helm, "upgrade", release, &dir);
    eventually("the second migration", || self::job(space, release));
    run(space, &job);
    upgrade.kill().unwrap();
    upgrade.wait().unwrap();
    space.helm(helm, &["rollback", release]).succeeds();
    (chart, job)
}

fn try_again(space: &Space, helm: Helm, release: &str, chart: &Chart) -> Outcome {
    let dir = chart.write();
    let path = dir.path().to_str().unwrap();
    space.helm(helm, &["upgrade", release, path, "--timeout", "5s"])
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn helm_deletes_the_migration_that_still_runs() {
    let space = Space::new();
    for helm in Helm::BOTH {
        let release = helm.release("app");
        let (chart, job) = interrupted(&space, helm, &release);
        let before = uid(&space, &job);
        // The new one never ends, so that Helm gives up; what counts is what became of the old one.
        try_again(&space, helm, &release, &chart).fails();
        assert_ne!(uid(&space, &job), before, "the running migration lives on");
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn helm_may_not_delete_the_migration_that_still_runs() {
    let space = guarded(OLD_HABITS);
    for helm in Helm::BOTH {
        let release = helm.release("app");
        let (chart, job) = interrupted(&space, helm, &release);
        let before = uid(&space, &job);
        let refused = try_again(&space, helm, &release, &chart).fails();
        refused
            .says("UPGRADE FAILED: pre-upgrade hooks failed: ")
            .says("denied the request: MW102 deleted-while-running: ");
        assert_eq!(uid(&space, &job), before);
    }
}

/// A name without a timestamp, which nothing deletes.
fn kept() -> Chart {
    Chart::good()
        .with("-migrate-{{ now | unixEpoch }}", "-migrate")
        .with("before-hook-creation,hook-succeeded", "hook-failed")
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn helm_takes_a_finished_job_for_a_new_run() {
    let space = Space::new();
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &kept()).succeeds();
        let job = format!("{release}-migrate");
        let before = space.get("job", &job);
        let upgraded = space.upgrade(helm, &release, &kept());
        match helm {
            Helm::V3 => {
                upgraded.fails().says("already exists");
            }
            Helm::V4 => {
                upgraded.succeeds();
                assert_eq!(status(&space, helm, &release), "deployed");
            }
        }
        let after = space.get("job", &job);
        for field in ["/metadata/uid", "/status/completionTime"] {
            assert_eq!(before.pointer(field), after.pointer(field), "{field}");
        }
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_finished_job_is_not_applied_again() {
    let space = guarded(OLD_HABITS);
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &kept()).succeeds();
        let refused = space.upgrade(helm, &release, &kept()).fails();
        match helm {
            Helm::V3 => refused.says("already exists"),
            Helm::V4 => refused
                .says("UPGRADE FAILED: pre-upgrade hooks failed: ")
                .says("denied the request: MW103 reapplied-job: ")
                .says("before-hook-creation"),
        };
        // What the message says to do helps.
        let job = format!("{release}-migrate");
        space.kubectl(&["delete", "job", &job]).succeeds();
        space.upgrade(helm, &release, &kept()).succeeds();
    }
}

/// Helm 4 applies what belongs to the release on each upgrade, also a Job that has long ended.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_that_is_no_hook_is_applied_as_before() {
    let policy = "rules: {MW001: off, MW002: off, MW003: off}\n";
    let space = guarded(policy);
    let chart = kept().without("helm.sh/hook").without("annotations:");
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &chart).succeeds();
        let job = format!("{release}-migrate");
        eventually("the Job to end", || {
            let job = space.get("job", &job);
            (job["status"]["succeeded"] == 1).then_some(())
        });
        space.upgrade(helm, &release, &chart).succeeds();
    }
}

/// What Argo CD's Terminate does to a hook that runs: a plain DELETE by its own account, the finalizer still
/// in place. It shows what it gets for an answer: `Failed to delete: failed to delete resource: …`.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn argocds_terminate_meets_the_guard() {
    let space = guarded("");
    let argocd = "--as=system:serviceaccount:argocd:argocd-application-controller";
    let group = "--as-group=system:masters";
    let id = "annotations:\n    argocd.argoproj.io/tracking-id: shop:batch/Job:shop/app\n    \
              argocd.argoproj.io/hook: PreSync";
    let chart = by_hand().with("annotations:", id).with(
        "metadata:\n  name",
        "metadata:\n  finalizers: [argocd.argoproj.io/hook-finalizer]\n  name",
    );
    let name = apply(&space, &chart, &[argocd, group]);
    run(&space, &name);
    let delete = ["delete", "job", &name, "--wait=false", argocd, group];
    let refused = space.kubectl(&delete).fails();
    refused.says("denied the request: MW102 deleted-while-running: ");
    // A sync that is let finish ends as always: the finalizer goes, and then the Job.
    complete(&space, &name);
    let patch = json!({"metadata": {"finalizers": null}}).to_string();
    let patch = [
        "patch",
        "job",
        &name,
        "--type=merge",
        "--patch",
        &patch,
        argocd,
        group,
    ];
    space.kubectl(&patch).succeeds();
    space.kubectl(&delete).succeeds();
    is_gone(&space, &name);
}

fn apply(space: &Guarded, chart: &Chart, who: &[&str]) -> String {
    let manifest = chart.render("app");
    let args = [
        "apply",
        "--field-manager=argocd-controller",
        "-o",
        "json",
        "-f",
        "-",
    ];
    let applied = space.kubectl_with(&[&args[..], who].concat(), &manifest);
    let job = applied.succeeds().json();
    // Again, as at the next sync: an update that changes nothing.
    space
        .kubectl_with(&[&args[..], who].concat(), &manifest)
        .succeeds();
    job["metadata"]["name"].as_str().unwrap().to_owned()
}
