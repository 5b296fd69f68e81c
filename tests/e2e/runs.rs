//! Runs: what is recorded of a migration, whatever becomes of its Job, of who records it, and of who looks.

mod doubt;
mod kept;
mod refused;
mod renamed;
mod replica;
mod replicas;

use std::{
    sync::{Mutex, MutexGuard, PoisonError, RwLockReadGuard},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::exceptions::crd;
use crate::guards::{self, by_hand, complete, create, is_gone};
use crate::harness::{Chart, Guarded, Helm, Space, Warden, Webhooks, api, eventually};
use replica::Replica;

/// Replicas look at the runs of the whole cluster, so tests that count what one of them does take turns.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) fn alone() -> (MutexGuard<'static, ()>, RwLockReadGuard<'static, ()>) {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (alone, crd::installed())
}

/// The same chart, whose Job is a migration for the replicas of this namespace alone.
fn own(space: &Space, chart: Chart) -> Chart {
    let label = format!("{}: {}", replica::LABEL, space.name());
    chart.with("app.kubernetes.io/component: migration", &label)
}

/// A migration whose pod runs.
fn running(space: &Space, release: &str) -> String {
    let job = create(space, &own(space, by_hand()), release);
    guards::run(space, &job);
    job
}

/// Writes the status of a Job that has failed, with these words.
fn fail(space: &Space, job: &str, reason: &str, message: &str) {
    let now = jiff::Timestamp::now().to_string();
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": now})
    };
    let start = &space.get("job", job)["status"]["startTime"];
    let start = start.as_str().unwrap_or(&now);
    let status = json!({
        "startTime": start, "active": 0, "ready": 0, "failed": 1,
        "conditions": [condition("FailureTarget"), condition("Failed")],
    });
    guards::set_status(space, job, &status);
}

/// What the mutating phase writes on a Job, and only that.
const STAMPS: &str = "before-hook-creation,hook-succeeded
    migration-warden.io/decision: 0199a204-0000-7000-8000-000000000001
    migration-warden.io/requested-by: ci";

/// The good chart's Job, whose client says that it was reviewed.
fn stamped() -> Chart {
    Chart::good().with("before-hook-creation,hook-succeeded", STAMPS)
}

/// One that fails within two seconds.
fn failing() -> Chart {
    Chart::good()
        .with("activeDeadlineSeconds: 600", "activeDeadlineSeconds: 1")
        .with(
            "    spec:\n",
            "    spec:\n      nodeSelector: {none: such}\n",
        )
}

/// Every run of the namespace, oldest first.
pub(crate) fn runs(space: &Space) -> Vec<Value> {
    let mut runs = api::all(api::RUNS, space.name());
    let age = |run: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&run["status"]["admittedAt"]),
            text(&run["metadata"]["name"]),
        )
    };
    runs.sort_by_key(age);
    runs
}

/// What has become of this Job, as its run says.
pub(crate) fn outcome(space: &Space, job: &str) -> Option<String> {
    let run = run_of(space, job)?;
    run["status"]["outcome"].as_str().map(str::to_owned)
}

/// The run of this Job.
pub(crate) fn run_of(space: &Space, job: &str) -> Option<Value> {
    let mut runs = runs(space).into_iter();
    runs.find(|run| run["spec"]["job"]["name"] == *job)
}

/// The runs of the namespace once they have these outcomes, oldest first.
fn eventually_runs(space: &Space, outcomes: &[&str]) -> Vec<Value> {
    eventually(&format!("runs {outcomes:?}"), || {
        let runs = runs(space);
        let found: Vec<_> = runs.iter().map(|run| &run["status"]["outcome"]).collect();
        (found == outcomes).then_some(runs)
    })
}

/// The one run of the namespace, once it has this outcome.
fn one(space: &Space, outcome: &str) -> Value {
    eventually_runs(space, &[outcome]).remove(0)
}

/// The first Event of the namespace with this reason.
fn event(space: &Space, reason: &str) -> Value {
    eventually(reason, || {
        let args = ["get", "events.events.k8s.io", "-o", "json"];
        let events = space.kubectl(&args).succeeds().json();
        let mut events = events["items"].as_array()?.iter();
        events.find(|event| event["reason"] == reason).cloned()
    })
}

/// Helm deletes a successful hook within seconds, and a failed one never.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_run_outlives_its_job() {
    let _crd = crd::installed();
    for helm in Helm::BOTH {
        let warden = Warden::with("").cluster().serve();
        let space = Guarded::by(warden, Space::new(), |webhooks| webhooks);
        space.install(helm, "app", &Chart::good()).succeeds();
        assert!(space.jobs().is_empty());
        let run = one(&space, "Succeeded");
        let (spec, status) = (&run["spec"], &run["status"]);
        let job = spec["job"]["name"].as_str().unwrap();
        let uid = spec["job"]["uid"].as_str().unwrap();
        assert_eq!(run["metadata"]["name"], format!("{job}-{}", &uid[..8]));
        assert_eq!(
            run["metadata"]["labels"]["migration-warden.io/release"],
            "app"
        );
        let owners = &run["metadata"]["ownerReferences"];
        assert!(owners.is_null(), "it would go with {owners}");
        assert_eq!(
            spec["release"],
            json!({"name": "app", "source": "instance-label"})
        );
        assert_eq!(spec["migration"], "app-migrate");
        assert_eq!(spec["deployer"], "Helm", "{helm:?}");
        assert_eq!(spec["images"], json!(["rig.local/busybox:1"]));
        let decision = space.decision("app-migrate");
        assert_eq!(spec["requestedBy"], decision["user"]);
        assert_eq!(spec["decision"], decision["id"]);
        assert_eq!(spec["job"]["uid"], decision["job_uid"]);
        assert_eq!(
            (&spec["reviewed"], &spec["attempt"]),
            (&json!(true), &json!(1))
        );
        let times =
            ["admittedAt", "startedAt", "finishedAt"].map(|key| status[key].as_str().unwrap());
        assert!(times.is_sorted(), "{times:?}");
        assert!(status["duration"].as_str().unwrap().ends_with('s'));
        assert_eq!(status["reason"], Value::Null);

        // Until one succeeds, the attempts are counted.
        for _ in 0..2 {
            space.upgrade(helm, "app", &failing()).fails();
        }
        space.upgrade(helm, "app", &Chart::good()).succeeds();
        let outcomes = ["Succeeded", "Failed", "Failed", "Succeeded"];
        let all = eventually_runs(&space, &outcomes);
        let attempts: Vec<_> = all
            .iter()
            .map(|run| run["spec"]["attempt"].as_i64())
            .collect();
        assert_eq!(attempts, [1, 1, 2, 3].map(Some));
        let failed = &all[1]["status"];
        assert_eq!(failed["reason"], "DeadlineExceeded");
        let message = failed["message"].as_str().unwrap();
        assert!(message.contains("deadline"), "{message}");
        let note = event(&space, "MigrationFailed")["note"].to_string();
        assert!(note.contains("attempt 1: DeadlineExceeded"), "{note}");
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_that_is_deleted_half_way_has_a_run_that_says_so() {
    let _alone = alone();
    let space = Space::new();
    let replica = Replica::start(&space, "{}");
    let job = running(&space, "app");
    let run = one(&space, "Running");
    assert_eq!(run["spec"]["deployer"], "Helm");
    space.kubectl(&["delete", "job", &job]).succeeds();
    let run = one(&space, "Deleted");
    assert!(run["status"]["finishedAt"].is_string());
    assert_eq!(replica.counted("runs_total{outcome=\"lost\"}"), 0);
}

/// A foreground deletion waits for the pods, and the Job may end meanwhile.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_that_ends_while_it_is_being_deleted_has_its_real_end() {
    let _alone = alone();
    let space = Space::new();
    let _replica = Replica::start(&space, "{}");
    let job = running(&space, "app");
    let held_by = |finalizers: Value| {
        let patch = json!({"metadata": {"finalizers": finalizers}});
        space.patch(&job, &patch, &[]).succeeds();
    };
    held_by(json!(["e2e.migration-warden.io/wait"]));
    space
        .kubectl(&["delete", "job", &job, "--wait=false"])
        .succeeds();
    one(&space, "Running");
    complete(&space, &job);
    one(&space, "Succeeded");
    held_by(Value::Null);
    is_gone(&space, &job);
    one(&space, "Succeeded");
}

/// With the webhook down under Ignore, or never asked.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_migration_that_nobody_reviewed_is_told() {
    let _alone = alone();
    let space = Space::new();
    let replica = Replica::start(&space, "{}");
    create(&space, &own(&space, Chart::good()), "bypass");
    let run = one(&space, "Succeeded");
    assert_eq!(run["spec"]["reviewed"], false);
    assert_eq!(run["spec"]["decision"], Value::Null);
    assert_eq!(replica.counted("unreviewed_migrations_total"), 1);
    let event = event(&space, "MigrationUnreviewed");
    assert_eq!(event["regarding"]["kind"], "MigrationRun");
    assert_eq!(event["regarding"]["uid"], run["metadata"]["uid"]);
    create(&space, &own(&space, stamped()), "forged");
    for run in eventually_runs(&space, &["Succeeded"; 2]) {
        assert_eq!(run["spec"]["reviewed"], false, "{run:#}");
        assert_eq!(run["spec"]["requestedBy"], Value::Null, "{run:#}");
    }
    assert_eq!(replica.counted("unreviewed_migrations_total"), 2);
    // Opted out, and so no migration.
    let label = "labels:\n    migration-warden.io/migration: \"false\"";
    create(
        &space,
        &own(&space, Chart::good()).with("labels:", label),
        "none",
    );
    thread::sleep(Duration::from_secs(2));
    assert_eq!(runs(&space).len(), 2);
}

/// Wherever a user can write, and wherever a migration can speak.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn no_secret_gets_into_a_run() {
    let _alone = alone();
    let space = Space::new();
    let _replica = Replica::start(&space, "{}");
    let secret = "hunter2hunter2";
    let url = format!("postgres://app:{secret}@db/shop");
    let chart = own(&space, by_hand())
        .with(
            "before-hook-creation,hook-succeeded",
            &format!(
                "before-hook-creation,hook-succeeded\n    migration-warden.io/requested-by: {url}\n    \
                 migration-warden.io/decision: --password={secret}\n    \
                 migration-warden.io/exceptions: a,{url}\n    argocd.argoproj.io/tracking-id: {url}"
            ),
        )
        .with("rig.local/busybox:1", &format!("app:{secret}@registry/app:1"))
        .with("echo migrated", &format!("atlas migrate apply -u {url}"));
    let job = create(&space, &chart, "app");
    let said = format!("said: PGPASSWORD={secret} psql\n--password {secret}");
    fail(&space, &job, "PodFailurePolicy", &said);
    let run = one(&space, "Failed");
    let text = run.to_string();
    assert!(!text.contains(secret), "{run:#}");
    assert!(text.contains("***"), "{run:#}");
    assert_eq!(run["spec"]["tool"], "Atlas");
    assert_eq!(run["spec"]["images"], json!(["registry/app:1"]));
    let events = space.kubectl(&["get", "events.events.k8s.io", "-o", "json"]);
    let text = events.succeeds().stdout;
    assert!(
        text.contains("MigrationFailed") && !text.contains(secret),
        "{text}"
    );
}

/// What the chart grants a replica is all that it takes. Whoever asks has the CRDs for himself, and so is alone.
pub(crate) fn the_charts_rights_are_enough(user: &str) {
    let space = Space::new();
    let replica = Replica::with_rights(&space, user, "{keepPerRelease: 1}");
    for _ in 0..2 {
        let job = running(&space, "app");
        eventually("its run", || {
            let runs = runs(&space);
            let names = runs.iter().map(|run| &run["spec"]["job"]["name"]);
            names.into_iter().any(|name| *name == *job).then_some(())
        });
        complete(&space, &job);
        thread::sleep(Duration::from_millis(1100));
    }
    one(&space, "Succeeded");
    assert_eq!(replica.trouble(), "");
}

/// The whole program: a Job that runs is not deleted, one that has ended is, and both have their run.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_is_refused_changes_no_run() {
    let _crd = crd::installed();
    let warden = Warden::with("").cluster().serve();
    let space = Guarded::by(warden, Space::new(), Webhooks::guarding);
    let job = guards::running(&space, "app");
    one(&space, "Running");
    space
        .kubectl(&["delete", "job", &job])
        .fails()
        .says("MW102");
    thread::sleep(Duration::from_secs(1));
    one(&space, "Running");
    complete(&space, &job);
    space.kubectl(&["delete", "job", &job]).succeeds();
    one(&space, "Succeeded");
}
