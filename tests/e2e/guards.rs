//! What may not be done to a migration Job that is there already, and what always may.
//!
//! The Jobs say by `managedBy` that another controller than Kubernetes' own looks after them, so that their
//! status is what a test says it is.

mod free;
mod helm;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Chart, Guarded, Space, Warden, Webhooks, epoch, eventually, rules};

/// A migration whose status is a test's business.
pub(super) fn by_hand() -> Chart {
    Chart::good().with(
        "spec:\n  template:",
        "spec:\n  managedBy: e2e.migration-warden.io/hand\n  template:",
    )
}

/// A namespace with the guards, whose webhook may ask the cluster.
pub(super) fn guarded(policy: &str) -> Guarded {
    let warden = Warden::with(policy).cluster().serve();
    Guarded::by(warden, Space::new(), Webhooks::guarding)
}

/// Creates the Job as it is rendered for this release, and returns its name.
pub(super) fn create(space: &Space, chart: &Chart, release: &str) -> String {
    let job = space.kubectl_with(&["create", "-o", "json", "-f", "-"], &chart.render(release));
    let job = job.succeeds().json();
    job["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Writes the status of a Job whose pod runs.
pub(crate) fn run(space: &Space, job: &str) {
    let status = json!({"startTime": now(), "active": 1, "ready": 1});
    set_status(space, job, &status);
}

/// Writes the status of a Job that has succeeded.
pub(super) fn complete(space: &Space, job: &str) {
    // A Job that ended long ago would be deleted at once: it has a time to live.
    let now = now();
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": "CompletionsReached", "message": "",
            "lastTransitionTime": now})
    };
    // When it started may be said once.
    let start = &space.get("job", job)["status"]["startTime"];
    let start = start.as_str().unwrap_or(&now);
    let status = json!({
        "startTime": start, "completionTime": now,
        "active": 0, "ready": 0, "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
    });
    set_status(space, job, &status);
}

/// As Kubernetes writes it, in whole seconds.
fn now() -> String {
    let seconds = i64::try_from(epoch()).unwrap();
    Timestamp::from_second(seconds).unwrap().to_string()
}

pub(super) fn set_status(space: &Space, job: &str, status: &Value) {
    let patch = json!({ "status": status });
    let of_status = ["--subresource=status"];
    space.patch(job, &patch, &of_status).succeeds();
}

/// A migration that cannot run anywhere, and has so many seconds for it.
pub(crate) fn nowhere(seconds: u32) -> Chart {
    let deadline = format!("activeDeadlineSeconds: {seconds}");
    Chart::good()
        .with("activeDeadlineSeconds: 600", &deadline)
        .with(
            "restartPolicy: Never",
            "restartPolicy: Never\n      nodeSelector: {none: such}",
        )
}

/// A migration Job whose pod runs.
pub(super) fn running(space: &Space, release: &str) -> String {
    let job = create(space, &by_hand(), release);
    run(space, &job);
    job
}

/// Waits until the Job is no more.
pub(super) fn is_gone(space: &Space, job: &str) {
    eventually("the Job to go", || {
        let found = space.kubectl(&["get", "job", job]);
        found.stderr.contains("NotFound").then_some(())
    });
}

/// The decision on the deletion of this Job.
pub(super) fn deletion(space: &Guarded, job: &str) -> Value {
    space
        .warden
        .decision(&format!("the deletion of {job}"), |decision| {
            decision["operation"] == "DELETE" && decision["job"] == *job
        })
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_running_migration_is_not_deleted() {
    let space = guarded("");
    let job = running(&space, "app");
    let refused = space.kubectl(&["delete", "job", &job]).fails();
    let name = space.name();
    refused
        .says("admission webhook \"guard.migration-warden.io\" denied the request: MW102 deleted-while-running: ")
        .says(&format!("{name}/{job} is running"))
        .says(&format!(
            "kubectl annotate job {job} -n {name} migration-warden.io/allow-delete=true"
        ));
    let decision = deletion(&space, &job);
    assert_eq!(decision["verdict"], "denied", "{decision:#}");
    assert_eq!(rules(&decision), ["MW102"]);
    // Neither is it by a dry run, nor without waiting, nor by force.
    for way in ["--dry-run=server", "--wait=false", "--force"] {
        space
            .kubectl(&["delete", "job", &job, way])
            .fails()
            .says("MW102");
    }
    space.get("job", &job);
}

/// Otherwise the label would go first, and the Job after it.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_running_migration_keeps_its_label() {
    let space = guarded("");
    let job = running(&space, "app");
    for labels in [
        json!({"app.kubernetes.io/component": null}),
        json!({"migration-warden.io/migration": "false"}),
    ] {
        let patch = json!({"metadata": {"labels": labels}});
        let refused = space.patch(&job, &patch, &[]).fails();
        refused
            .says("MW102 deleted-while-running: metadata.labels: ")
            .says("MW104 forged-stamp: metadata.labels: ");
    }
    let decision = space
        .warden
        .decision("an update", |line| line["operation"] == "UPDATE");
    assert_eq!(rules(&decision), ["MW102", "MW104"]);
    // Another label of its own is nobody's business.
    let patch = json!({"metadata": {"labels": {"touched": "yes"}}});
    space.patch(&job, &patch, &[]).succeeds();
}

/// Its label may have gone while no replica answered.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_stamped_job_without_its_label_is_not_deleted_while_it_runs() {
    let space = guarded("");
    let label = "app.kubernetes.io/component: migration";
    let plain = by_hand().with(label, "app.kubernetes.io/component: worker");
    let job = create(&space, &plain, "app");
    let patch = json!({"metadata": {"annotations": {
        "migration-warden.io/decision": "019b435b-2388-7000-8000-000000000007",
    }}});
    space.patch(&job, &patch, &[]).succeeds();
    run(&space, &job);
    let delete = ["delete", "job", &job];
    space.kubectl(&delete).fails().says("MW102");
    assert_eq!(deletion(&space, &job)["verdict"], "denied");
    complete(&space, &job);
    space.kubectl(&delete).succeeds();
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn whoever_means_it_says_so_first() {
    let space = guarded("");
    let job = running(&space, "app");
    let allow = [
        "annotate",
        "job",
        &job,
        "migration-warden.io/allow-delete=true",
    ];
    space.kubectl(&allow).succeeds();
    space.kubectl(&["delete", "job", &job]).succeeds();
    let decision = deletion(&space, &job);
    assert_eq!(decision["verdict"], "allowed", "{decision:#}");
    assert_eq!(decision["findings"][0]["action"], "audit", "{decision:#}");
    assert_eq!(rules(&decision), ["MW102"]);
    is_gone(&space, &job);
}

/// `kubectl delete jobs --all` deletes one by one. Asked to delete all at once, the apiserver takes them in
/// the order of their names, and stops at the first that it may not delete.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_whole_collection_goes_as_far_as_the_first_that_runs() {
    let space = guarded("");
    let idle = create(&space, &by_hand(), "a");
    let kept = running(&space, "b");
    let later = create(&space, &by_hand(), "c");
    let path = format!("/apis/batch/v1/namespaces/{}/jobs", space.name());
    let refused = space.kubectl(&["delete", "--raw", &path]).fails();
    refused.says(&format!("{}/{kept} is running", space.name()));
    is_gone(&space, &idle);
    for job in [&kept, &later] {
        space.get("job", job);
    }
    assert_eq!(deletion(&space, &idle)["verdict"], "allowed");

    complete(&space, &kept);
    space.kubectl(&["delete", "--raw", &path]).succeeds();
    for job in [&kept, &later] {
        is_gone(&space, job);
    }
}

/// A namespace's mode is a limit here as well.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_milder_namespace_is_told_and_not_stopped() {
    let space = guarded("namespaces: [{names: [e2e-*], mode: warn}]\n");
    let job = running(&space, "app");
    let deleted = space.kubectl(&["delete", "job", &job]).succeeds();
    deleted.warns("MW102");
    assert_eq!(deletion(&space, &job)["verdict"], "warned");
}
