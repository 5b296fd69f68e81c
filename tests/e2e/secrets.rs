//! No password leaves by anything that is written about a migration: logs, runs, Events, metrics, reports.

use std::process::Command;

use kube::api::PostParams;
use serde_json::{Value, json};

use crate::claims::{self, again};
use crate::exceptions::crd;
use crate::guards::{by_hand, create};
use crate::harness::{Chart, Cluster, Guarded, Outcome, Space, Warden, eventually};

/// What every planted password begins with.
const PLANTED: &str = "pl4nted-";

/// A good migration that no controller runs, with a password wherever somebody may put one.
fn leaky() -> Chart {
    by_hand()
        .with(
            "  annotations:\n",
            "  annotations:\n    example.com/dsn: postgres://app:pl4nted-annotation@db/shop\n    \
             argocd.argoproj.io/tracking-id: postgres://app:pl4nted-tracking@db/shop\n",
        )
        .with(
            "command: [/bin/busybox, sh, -c, \"echo migrated\"]",
            "command: [/bin/busybox, sh, -c, \"migrate --password=pl4nted-command\"]\n          \
             args: [migrate, --url, \"postgres://app:pl4nted-argument@db/shop\", -ppl4nted-option]\n          \
             env:\n            - {name: DB_PASSWORD, value: pl4nted-variable}\n            \
             - {name: DATABASE_URL, value: \"mysql://root:pl4nted-url@db/shop\"}",
        )
        .with("rig.local/busybox:1", "\"app:pl4nted-registry@rig.local/busybox:1\"")
}

fn program(verb: &str, space: &Space, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migration-warden"));
    command
        .env_clear()
        .env("KUBECONFIG", Cluster::get().kubeconfig())
        .args([verb, "-n", space.name()])
        .args(args);
    Outcome::of(&mut command, "").to_string()
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn no_planted_password_is_told_anywhere() {
    let _crd = crd::installed();
    let space = Guarded::by(
        Warden::with("rules: {inline-credentials: warn}")
            .cluster()
            .serve(),
        Space::new(),
        |webhooks| webhooks,
    );
    let name = create(&space, &leaky(), "shop");
    let restarting = leaky().with("restartPolicy: Never", "restartPolicy: Always");
    space
        .kubectl_with(&["create", "-f", "-"], &restarting.render("other"))
        .fails()
        .says("MW004");
    // Another attempt waits for the first.
    let attempt = again(&leaky().render("shop"));
    claims::create(&space, &attempt, &PostParams::default()).unwrap_err();

    // How it ended, as a controller writes it, with what a program may say in the end.
    let now = jiff::Timestamp::now().to_string();
    let message = "dial postgres://app:pl4nted-message@db/shop: password=pl4nted-condition refused";
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": message,
            "lastTransitionTime": now, "lastProbeTime": now,
        })
    };
    let status = json!({"status": {
        "startTime": now,
        "failed": 1,
        "conditions": [condition("FailureTarget"), condition("Failed")],
    }});
    let patch = [
        "patch",
        "job",
        &name,
        "--subresource=status",
        "--type=merge",
        "-p",
    ];
    space
        .kubectl(&[&patch[..], &[&status.to_string()]].concat())
        .succeeds();

    let run = eventually("the run to have failed", || {
        let list = space.kubectl(&["get", "mrun", "-o", "json"]).succeeds();
        let list = list.json();
        let mut runs = list["items"].as_array()?.iter();
        let failed = |run: &&Value| run["status"]["outcome"] == "Failed";
        runs.find(failed).cloned()
    });
    assert_eq!(run["spec"]["job"]["name"], name);
    eventually("an Event of the failure", || {
        let events = space.kubectl(&["get", "events"]).succeeds().stdout.clone();
        events.contains("MigrationFailed").then_some(())
    });
    let told = [
        ("the decisions", format!("{:?}", space.warden.decisions())),
        ("the log", space.warden.stderr()),
        ("the metrics", space.warden.admin("/metrics")),
        (
            "the runs",
            space.kubectl(&["get", "mrun", "-o", "yaml"]).to_string(),
        ),
        (
            "the Events",
            space.kubectl(&["get", "events", "-o", "yaml"]).to_string(),
        ),
        ("scan", program("scan", &space, &[])),
        (
            "scan, as JSON",
            program("scan", &space, &["--format", "json"]),
        ),
        ("history", program("history", &space, &["-o", "wide"])),
        (
            "history, as JSON",
            program("history", &space, &["-o", "json"]),
        ),
        (
            "history, as CSV",
            program("history", &space, &["-o", "csv"]),
        ),
    ];
    for (what, text) in told {
        assert!(text.len() > 100, "{what} says nothing: {text}");
        assert!(!text.contains(PLANTED), "{what} tells a password:\n{text}");
    }
}
