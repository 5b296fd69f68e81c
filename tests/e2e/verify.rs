//! `migration-warden verify`: whether the webhook is in force in a namespace.

use std::{fs, path::Path, process::Command};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Cluster, Guarded, Outcome, Space, Warden, Webhooks, eventually};

/// Runs `verify` for this namespace, as the one this kubeconfig is for.
fn verify_as(kubeconfig: &Path, namespace: &str) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migration-warden"));
    command
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .args(["verify", "--namespace", namespace]);
    Outcome::of(&mut command, "")
}

/// Runs it as an administrator, and sees to it that it leaves nothing behind.
fn verify(space: &Space) -> Outcome {
    let outcome = verify_as(&Cluster::get().kubeconfig(), space.name());
    assert_eq!(space.jobs(), [json!(null); 0], "{outcome}");
    outcome
}

/// The exit code, and the lines without those of the findings.
#[track_caller]
fn tells(outcome: &Outcome, code: i32, text: &str) {
    assert_eq!(outcome.code, Some(code), "{outcome}");
    let lines = outcome.stdout.lines();
    let lines: Vec<_> = lines.filter(|line| !line.starts_with("  ")).collect();
    let told = lines.join("\n") + "\n";
    assert!(
        told.starts_with(text),
        "should have said {text:?}: {outcome}"
    );
}

#[track_caller]
fn adds(outcome: &Outcome, text: &str) {
    assert!(
        outcome.stdout.contains(text),
        "should have said {text:?}: {outcome}"
    );
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_guarded_namespace_is_in_force() {
    let space = Guarded::with("");
    let outcome = verify(&space);
    tells(
        &outcome,
        0,
        &format!(
            "\
ok       good migration Job: allowed
ok       broken migration Job: denied by mutate.migration-warden.io
ok       unlabelled migration Job: allowed, and adopted as detected

migration-warden is in force in namespace {}
",
            space.name()
        ),
    );
    for id in ["MW001", "MW002", "MW003", "MW004"] {
        adds(&outcome, &format!("\n         {id} "));
    }
    let decision = space.decision("migration-warden-verify-");
    assert_eq!(
        (&decision["verdict"], &decision["dry_run"]),
        (&json!("allowed"), &json!(true))
    );
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_strictest_profile_lets_the_good_job_through_without_warnings() {
    let space = Guarded::with("profile: strict\n");
    let outcome = verify(&space);
    adds(&outcome, "ok       good migration Job: allowed\nok  ");
    assert_eq!(outcome.code, Some(0), "{outcome}");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn an_unguarded_namespace_is_not_in_force() {
    let space = Space::new();
    let outcome = verify(&space);
    tells(
        &outcome,
        1,
        &format!(
            "\
ok       good migration Job: allowed
failed   broken migration Job: allowed without a warning from migration-warden
ok       unlabelled migration Job: allowed, but not adopted

migration-warden is not in force in namespace {}
no webhook evaluated the Job, or its findings were only logged:
",
            space.name()
        ),
    );
    adds(
        &outcome,
        &format!("\n- does their namespaceSelector exclude {}?", space.name()),
    );
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_policy_that_corrects_is_in_force() {
    let space = Guarded::with(
        "rules: {untimestamped-name: off, missing-hook: off, wrong-delete-policy: patch, restarting-pod: patch}\n",
    );
    let outcome = verify(&space);
    tells(
        &outcome,
        0,
        "ok       good migration Job: allowed\nok       broken migration Job: allowed, and corrected\n",
    );
    adds(&outcome, "\n         MW004 ");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_policy_that_adopts_none_is_in_force() {
    let space = Guarded::with("detection: {promises: []}\n");
    let outcome = verify(&space);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    adds(
        &outcome,
        "\nok       unlabelled migration Job: allowed, but not adopted\n",
    );
    adds(
        &outcome,
        "\n- is detection.promises in the policy empty, or detection.maxAction off?\n",
    );
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_namespace_that_only_warns_is_not_in_force() {
    let space = Space::new();
    let policy = format!(
        "namespaces:\n  - {{names: [{}], mode: warn}}\n",
        space.name()
    );
    let space = Guarded::over(space, &policy, |webhooks| webhooks);
    let outcome = verify(&space);
    tells(
        &outcome,
        1,
        "ok       good migration Job: allowed\nfailed   broken migration Job: allowed with warnings\n",
    );
    for id in ["MW001", "MW002", "MW003", "MW004"] {
        adds(&outcome, &format!("\n         {id} "));
    }
    adds(&outcome, "\nit evaluates Jobs there, but only warns:\n");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_webhook_that_is_gone_is_not_in_force() {
    let mut space = Guarded::with("");
    space.warden.kill();
    let outcome = verify(&space);
    tells(
        &outcome,
        1,
        &format!(
            "\
failed   good migration Job: refused, because the webhook does not answer
failed   broken migration Job: refused, because the webhook does not answer
failed   unlabelled migration Job: refused, because the webhook does not answer

migration-warden is not in force in namespace {}
the API server cannot call it, and no migration Job is created as long as its failurePolicy is Fail:
",
            space.name()
        ),
    );
    adds(
        &outcome,
        "failed calling webhook \"mutate.migration-warden.io\"",
    );
    adds(&outcome, "connection refused");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn failing_open_is_not_in_force() {
    let mut space = Guarded::by(Warden::serve(""), Space::new(), Webhooks::failing_open);
    assert_eq!(verify(&space).code, Some(0));
    space.warden.kill();
    let outcome = verify(&space);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    adds(
        &outcome,
        "\n- is it down while its failurePolicy is Ignore?\n",
    );
}

/// A kubeconfig of a `ServiceAccount` that may do nothing.
pub(crate) fn powerless(space: &Space) -> TempDir {
    space
        .kubectl(&["create", "serviceaccount", "powerless"])
        .succeeds();
    let token = space.kubectl(&["create", "token", "powerless"]).succeeds();
    let args = ["config", "view", "--raw", "--flatten", "-o", "json"];
    let mut config = space.kubectl(&args).succeeds().json();
    let user = config["contexts"][0]["context"]["user"].clone();
    config["users"] = json!([{"name": user, "user": {"token": token.stdout.trim()}}]);
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("kubeconfig"), config.to_string()).unwrap();
    dir
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn whoever_may_not_create_jobs_cannot_tell() {
    let space = Guarded::with("");
    let dir = powerless(&space);
    let kubeconfig = dir.path().join("kubeconfig");
    let name = space.name();
    let outcome = verify_as(&kubeconfig, name);
    tells(
        &outcome,
        2,
        &format!(
            "\
unknown  good migration Job: refused, but not by migration-warden
unknown  broken migration Job: refused, but not by migration-warden
unknown  unlabelled migration Job: refused, but not by migration-warden

could not determine whether migration-warden is in force in namespace {name}
the permission to create jobs.batch in namespace {name} is missing, which a dry run needs too:
kubectl auth can-i create jobs.batch --namespace {name}
"
        ),
    );
    adds(
        &outcome,
        &format!("User \"system:serviceaccount:{name}:powerless\" cannot create resource \"jobs\""),
    );

    // With that permission, and no other, it can.
    space
        .kubectl(&[
            "create",
            "role",
            "verify",
            "--verb=create",
            "--resource=jobs",
        ])
        .succeeds();
    let subject = format!("--serviceaccount={name}:powerless");
    space
        .kubectl(&["create", "rolebinding", "verify", "--role=verify", &subject])
        .succeeds();
    eventually("the permission to be granted", || {
        (verify_as(&kubeconfig, name).code == Some(0)).then_some(())
    });
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_does_not_exist_cannot_be_told() {
    let cluster = Cluster::get();
    let outcome = verify_as(&cluster.kubeconfig(), "no-such-namespace");
    assert_eq!(outcome.code, Some(2), "{outcome}");
    adds(&outcome, "namespaces \"no-such-namespace\" not found");
    adds(&outcome, "\nthis namespace does not exist: ");

    let dir = TempDir::new().unwrap();
    let outcome = verify_as(&dir.path().join("none"), "default");
    assert_eq!(outcome.code, Some(2), "{outcome}");
    outcome.says("/none: No such file or directory; name another kubeconfig with --kubeconfig");
}
