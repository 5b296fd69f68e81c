//! `migration-warden history`: runs that the cluster has, as they are shown.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{CHART, Cluster, Outcome, Space, eventually};

fn history(space: &Space, args: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migration-warden"));
    command
        .env_clear()
        .env("KUBECONFIG", Cluster::get().kubeconfig())
        .args(["history", "-n", space.name()])
        .args(args);
    let outcome = Outcome::of(&mut command, "");
    assert!(!outcome.to_string().contains("s3cr3t-"), "{outcome}");
    outcome
}

/// A namespace in a cluster that has the CRD.
fn space() -> Space {
    let space = Space::new();
    let file = format!("{CHART}/files/migrationrun.yaml");
    let args = ["apply", "--server-side", "-f", &file];
    space.kubectl(&args).succeeds();
    eventually("the kind to be served", || {
        (space.kubectl(&["get", "mrun"]).code == Some(0)).then_some(())
    });
    space
}

fn run(name: &str, release: &str, status: &Value) -> Value {
    json!({
        "apiVersion": "migration-warden.io/v1alpha1",
        "kind": "MigrationRun",
        "metadata": {"name": name},
        "spec": {
            "job": {"name": format!("{release}-migrate-{name}"), "uid": format!("uid-{name}")},
            "release": {"name": release, "source": "instance-label"},
            "migration": format!("{release}-migrate"),
            "chart": format!("{release}-1.4.2"),
            "deployer": "Helm",
            "requestedBy": "ci",
            "decision": "01a204ca-c67a-7567-9db1-6e854088d7b1",
            "reviewed": true,
            "attempt": 1,
        },
        "status": status,
    })
}

fn recorded() -> Space {
    let space = space();
    let runs = [
        run(
            "1764040327",
            "shop",
            &json!({
                "outcome": "Failed", "admittedAt": "2026-11-25T03:12:07Z", "startedAt": "2026-11-25T03:12:07Z",
                "finishedAt": "2026-11-25T03:13:19Z", "duration": "1m12s", "reason": "BackoffLimitExceeded",
                "exitCode": 3, "message": "cannot reach postgres://shop:s3cr3t-plant@db/shop",
            }),
        ),
        run(
            "1764036000",
            "shop",
            &json!({
                "outcome": "Succeeded", "admittedAt": "2026-11-25T02:00:00Z", "finishedAt": "2026-11-25T02:00:04Z",
            }),
        ),
        run(
            "1764040000",
            "pay",
            &json!({
                "outcome": "Lost", "admittedAt": "2026-11-25T03:06:40Z", "finishedAt": "2026-11-25T03:08:10Z",
            }),
        ),
    ];
    let runs: Vec<_> = runs.iter().map(Value::to_string).collect();
    space
        .kubectl_with(&["create", "-f", "-"], &runs.join("\n---\n"))
        .succeeds();
    space
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn runs_are_shown_by_release_and_the_newest_last() {
    let space = recorded();
    let outcome = history(&space, &[]).succeeds();
    assert_eq!(
        outcome.stdout,
        format!(
            "  \
  WHEN (UTC)           OUTCOME    TOOK   TRY  JOB                      BY
release pay in namespace {0}
  2026-11-25 03:06:40  Lost       -      1    pay-migrate-1764040000   ci
release shop in namespace {0}
  2026-11-25 02:00:00  Succeeded  4s     1    shop-migrate-1764036000  ci
  2026-11-25 03:12:07  Failed     1m12s  1    shop-migrate-1764040327  ci
                       BackoffLimitExceeded, exit code 3: cannot reach postgres://shop:***@db/shop
",
            space.name()
        ),
        "{outcome}"
    );
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn programs_read_the_runs_of_a_release() {
    let space = recorded();
    let args = ["--release", "shop", "-o", "json"];
    let runs = history(&space, &args).succeeds().json();
    let runs = runs.as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(
        runs[0],
        json!({
            "namespace": space.name(), "release": "shop", "migration": "shop-migrate",
            "job": "shop-migrate-1764036000", "job_uid": "uid-1764036000", "attempt": 1,
            "outcome": "Succeeded", "admitted_at": "2026-11-25T02:00:00Z", "started_at": null,
            "finished_at": "2026-11-25T02:00:04Z", "duration_seconds": 4, "reason": null,
            "exit_code": null, "message": null, "requested_by": "ci", "deployer": "Helm",
            "chart": "shop-1.4.2", "tool": null, "images": [], "image_ids": [], "reviewed": true,
            "decision": "01a204ca-c67a-7567-9db1-6e854088d7b1", "exceptions": [], "run": "1764036000", "adopted": null,
        })
    );
    let csv = history(&space, &["--release", "pay", "-o", "csv"]).succeeds();
    let line = format!(
        "\r\n{},pay,pay-migrate,pay-migrate-1764040000,uid-1764040000,1,Lost,2026-11-25T03:06:40Z,,2026-11-25T03:08:10Z,,,,,ci,Helm,\
         pay-1.4.2,,,,true,01a204ca-c67a-7567-9db1-6e854088d7b1,,1764040000,\r\n",
        space.name()
    );
    assert!(csv.stdout.ends_with(&line), "{csv}");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_namespace_without_runs_has_an_empty_history() {
    let space = space();
    let outcome = history(&space, &["-o", "json"]).succeeds();
    assert_eq!(outcome.stdout, "[]\n", "{outcome}");
    outcome.says(&format!(
        "note: no runs found in namespace {}\n",
        space.name()
    ));
}
