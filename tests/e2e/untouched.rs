//! What the webhook must never stand in the way of, however bad the Job.

use serde_json::json;

use crate::harness::{Chart, Guarded, RESTARTING_POD, Space, Webhooks, action, eventually, rules};

/// A denied UPDATE or DELETE can leave a Job that no one can finish or remove.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn updates_deletion_status_and_finalizers() {
    let space = Space::new();
    let name = "app-migrate";
    // It was there before the webhook was, and it never runs.
    let chart = Chart::broken().with(
        "    spec:\n",
        "    spec:\n      nodeSelector: {none: such}\n",
    );
    space
        .kubectl_with(&["create", "-f", "-"], &chart.render("app"))
        .succeeds();
    let space = Guarded::over(space, "", Webhooks::for_everything);
    space.rejects(&Chart::broken().render("other"), &["MW004"]);

    let patch = |patch: serde_json::Value, more: &[&str]| {
        let patch = patch.to_string();
        let args = [
            &["patch", "job", name, "--type=merge", "--patch", &patch],
            more,
        ]
        .concat();
        space
            .kubectl(&args)
            .succeeds()
            .never_says("MW")
            .never_says("denied");
    };
    patch(json!({"metadata": {"labels": {"touched": "yes"}}}), &[]);
    patch(
        json!({"metadata": {"annotations": {"touched": "yes"}}}),
        &[],
    );
    patch(json!({"spec": {"suspend": true}}), &[]);
    patch(json!({"spec": {"suspend": false, "backoffLimit": 9}}), &[]);
    patch(
        json!({"metadata": {"finalizers": ["e2e.migration-warden.io/hold"]}}),
        &[],
    );
    patch(json!({"status": {"active": 0}}), &["--subresource=status"]);
    space
        .kubectl(&["delete", "job", name, "--wait=false"])
        .succeeds();
    assert_ne!(
        space.get("job", name)["metadata"]["deletionTimestamp"],
        json!(null)
    );
    patch(json!({"metadata": {"finalizers": null}}), &[]);
    eventually("the Job to go", || {
        space
            .kubectl(&["get", "job", name])
            .stderr
            .contains("NotFound")
            .then_some(())
    });
    // The controllers' own work, with the webhook watching all of it.
    let job = space.accepts(&Chart::good().render("good"));
    let job = job["metadata"]["name"].as_str().unwrap();
    let complete = [
        "wait",
        "--for=condition=Complete",
        "--timeout=30s",
        "job",
        job,
    ];
    space.kubectl(&complete).succeeds();
}

/// A `CronJob` whose Jobs break all four rules.
const CRON_JOB: &str = r#"apiVersion: batch/v1
kind: CronJob
metadata:
  name: nightly
  labels: {app.kubernetes.io/component: migration}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate:
    metadata:
      labels: {app.kubernetes.io/component: migration}
    spec:
      template:
        spec:
          restartPolicy: OnFailure
          containers: [{name: migrate, image: "rig.local/busybox:1"}]
"#;

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_cron_job_controller_is_not_stopped() {
    let space = Guarded::with("");
    // Its author is told, where someone is there to read it.
    let created = space
        .kubectl_with(&["create", "-f", "-"], CRON_JOB)
        .succeeds();
    created.warns("MW004");

    // A Job made from it by hand is like any other, except that no deployer runs it as a hook.
    let by_hand = space
        .kubectl(&["create", "job", "manual", "--from=cronjob/nightly"])
        .fails();
    by_hand.says("MW004");
    by_hand.warns("MW002 metadata.annotations['helm.sh/hook']: started by hand from a CronJob");

    // One that was due long ago makes the controller start one now.
    let patch = |patch: serde_json::Value, more: &[&str]| {
        let patch = patch.to_string();
        let args = [
            "patch",
            "cronjob",
            "nightly",
            "--type=merge",
            "--patch",
            &patch,
        ];
        space.kubectl(&[&args[..], more].concat()).succeeds();
    };
    patch(json!({"spec": {"schedule": "* * * * *"}}), &[]);
    let long_ago = json!({"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}});
    patch(long_ago, &["--subresource=status"]);
    let job = eventually("the controller's Job", || space.jobs().pop());
    assert_eq!(
        job["metadata"]["ownerReferences"][0]["kind"], "CronJob",
        "{job:#}"
    );
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_that_opts_out_gets_in_and_is_recorded() {
    let space = Guarded::with("");
    let out = |chart: Chart| {
        chart.with(
            "labels:\n",
            "labels:\n    migration-warden.io/migration: \"false\"\n",
        )
    };
    let job = space.accepts(&out(Chart::broken()).render("app"));
    let decision = space.decision(job["metadata"]["name"].as_str().unwrap());
    assert_eq!(decision["verdict"], "allowed", "{decision:#}");
    for rule in rules(&decision) {
        assert_eq!(action(&decision, rule), Some("audit"), "{decision:#}");
    }
    // And the other way round.
    let chart = RESTARTING_POD.chart().with(
        "app.kubernetes.io/component: migration",
        "migration-warden.io/migration: \"true\"",
    );
    space.rejects(&chart.render("app"), &["MW004 restarting-pod: "]);
}
