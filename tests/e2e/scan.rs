//! `migration-warden scan`: what it says of a cluster, and to whom.

mod agree;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::exceptions::crd;
use crate::harness::{Chart, Cluster, Outcome, RESTARTING_POD, Space, eventually};
use crate::verify::powerless;

/// What every planted password begins with.
const SECRET: &str = "s3cr3t-";

/// Runs `scan` with this policy as the one this kubeconfig is for.
fn scan_as(kubeconfig: &Path, policy: &str, args: &[&str]) -> Outcome {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("policy.yaml");
    let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
    fs::write(&file, format!("{head}{policy}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_migration-warden"));
    command.env_clear().env("KUBECONFIG", kubeconfig);
    command.args(["scan", "--config"]).arg(file).args(args);
    let outcome = Outcome::of(&mut command, "");
    assert!(!outcome.to_string().contains(SECRET), "{outcome}");
    outcome
}

fn scan(policy: &str, args: &[&str]) -> Outcome {
    scan_as(&Cluster::get().kubeconfig(), policy, args)
}

/// What is found in this namespace under the built-in policy.
fn report(space: &Space) -> (Option<i32>, Value) {
    let outcome = scan("", &["-n", space.name(), "--format", "json"]);
    (outcome.code, outcome.json())
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn exit_codes_are_those_of_check() {
    let space = Space::new();
    let (code, out) = report(&space);
    assert_eq!((code, &out["objects"]), (Some(0), &json!(0)));
    let create = |chart: Chart, release: &str| {
        space
            .kubectl_with(&["create", "-f", "-"], &chart.render(release))
            .succeeds();
    };
    create(Chart::good(), "good");
    let (code, out) = report(&space);
    assert_eq!((code, &out["jobs"]), (Some(0), &json!(1)));
    create(RESTARTING_POD.chart(), "restarting");
    let (code, out) = report(&space);
    assert_eq!((code, &out["summary"]["deny"]), (Some(1), &json!(1)));

    let outcome = scan("", &["-n", "no-such-namespace"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    outcome
        .says("error: failed to get namespaces no-such-namespace: the API server at http")
        .says(" answered: namespaces \"no-such-namespace\" not found\n");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn modes_and_exceptions_of_the_cluster_are_honoured() {
    let _crd = crd::installed();
    let space = Space::new();
    space
        .kubectl_with(
            &["create", "-f", "-"],
            &RESTARTING_POD.chart().render("shop"),
        )
        .succeeds();
    let label = |mode: &str| {
        let label = format!("migration-warden.io/mode={mode}");
        space
            .kubectl(&["label", "--overwrite", "namespace", space.name(), &label])
            .succeeds();
        let (code, out) = report(&space);
        let actions = out["findings"].as_array().unwrap().iter();
        let actions: Vec<_> = actions
            .filter(|finding| finding["rule"] == "MW004")
            .map(|finding| finding["action"].as_str().unwrap().to_owned())
            .collect();
        (code, actions.join(","), out["unknown_modes"].clone())
    };
    let none = Value::Null;
    assert_eq!(label("warn"), (Some(0), "warn".to_owned(), none.clone()));
    assert_eq!(label("off"), (Some(0), String::new(), none.clone()));
    let typo = json!([{"namespace": space.name(), "mode": "of"}]);
    assert_eq!(label("of"), (Some(1), "deny".to_owned(), typo));
    assert_eq!(label("enforce"), (Some(1), "deny".to_owned(), none));

    let exception = json!({
        "apiVersion": "migration-warden.io/v1alpha1",
        "kind": "MigrationException",
        "metadata": {"name": "old-chart"},
        "spec": {
            "rules": ["MW004"],
            "selector": {"names": ["shop-*"]},
            "reason": "the old chart, until shop 2.0",
            "expiresAt": Timestamp::now() + SignedDuration::from_hours(1),
        },
    });
    space
        .kubectl_with(&["create", "-f", "-"], &exception.to_string())
        .succeeds();
    let (code, out) = report(&space);
    let findings = out["findings"].as_array().unwrap();
    let excepted = findings
        .iter()
        .find(|finding| finding["rule"] == "MW004")
        .unwrap();
    assert_eq!(
        (code, &excepted["action"], &excepted["exception"]),
        (Some(0), &json!("audit"), &json!("old-chart"))
    );
    let outcome = scan("", &["-n", space.name()]);
    assert!(
        outcome.stdout.contains(
            "\n  exempted  MW004 spec.template.spec.restartPolicy: found \"OnFailure\"; by old-chart until "
        ),
        "{outcome}"
    );
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_cronjob_is_warned_of_and_its_jobs_are_left_alone() {
    let space = Space::new();
    let template = json!({"spec": {"template": {"spec": {
        "restartPolicy": "OnFailure",
        "containers": [{"name": "migrate", "image": "rig.local/busybox:1"}],
    }}}});
    let cronjob = json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "nightly", "labels": {"migration-warden.io/migration": "true"}},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": &template},
    });
    space
        .kubectl_with(&["create", "-f", "-"], &cronjob.to_string())
        .succeeds();
    // The one that a person makes is looked at, and does not look like a migration.
    space
        .kubectl(&["create", "job", "--from=cronjob/nightly", "by-hand"])
        .succeeds();
    let mut made = space.get("job", "by-hand");
    made["metadata"] = json!({
        "name": "by-the-clock",
        "labels": {"migration-warden.io/migration": "true"},
        "ownerReferences": made["metadata"]["ownerReferences"],
    });
    made["spec"] = template["spec"].clone();
    space
        .kubectl_with(&["create", "-f", "-"], &made.to_string())
        .succeeds();
    let (code, out) = report(&space);
    assert_eq!(
        (
            code,
            &out["objects"],
            &out["made_by_cronjobs"],
            &out["jobs"]
        ),
        (Some(0), &json!(3), &json!(1), &json!(1)),
        "{out:#}"
    );
    let finding = &out["findings"][0];
    assert_eq!(
        (&finding["kind"], &finding["job"], &finding["action"]),
        (&json!("CronJob"), &json!("nightly"), &json!("warn"))
    );
}

/// More than a page of them, which nobody runs.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn more_than_a_page_is_seen_whole() {
    const COUNT: usize = 501;
    let space = Space::new();
    let jobs: Vec<_> = (0..COUNT)
        .map(|index| {
            let chart = RESTARTING_POD
                .chart()
                .with("spec:\n  template", "spec:\n  suspend: true\n  template");
            chart.render(&format!("r{index}"))
        })
        .collect();
    space
        .kubectl_with(&["create", "-f", "-"], &jobs.join("---\n"))
        .succeeds();
    let (code, out) = report(&space);
    assert_eq!(
        (code, &out["jobs"], &out["summary"]["deny"]),
        (Some(1), &json!(COUNT), &json!(COUNT))
    );
    let names = out["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["job"].as_str().unwrap());
    assert_eq!(names.collect::<BTreeSet<_>>().len(), COUNT);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn whoever_may_see_a_part_is_told_what_is_missing() {
    let _crd = crd::installed();
    let space = Space::new();
    space
        .kubectl_with(
            &["create", "-f", "-"],
            &RESTARTING_POD.chart().render("shop"),
        )
        .succeeds();
    let dir = powerless(&space);
    let kubeconfig = dir.path().join("kubeconfig");
    let args = ["-n", space.name(), "--format", "json"];
    let forbidden = |outcome: &Outcome| {
        let report = outcome.json();
        let problems = report["problems"].as_array().cloned().unwrap_or_default();
        let message = |problem: &Value| problem["message"].as_str().unwrap().to_owned();
        (
            report["jobs"].clone(),
            problems.iter().map(message).collect::<Vec<_>>(),
        )
    };
    let outcome = scan_as(&kubeconfig, "", &args);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    let (jobs, problems) = forbidden(&outcome);
    assert_eq!((jobs, problems.len()), (json!(0), 4), "{outcome}");
    for (problem, verb) in problems.iter().zip([
        "cannot get resource \"namespaces\"",
        "cannot list resource \"migrationexceptions\"",
        "cannot list resource \"jobs\"",
        "cannot list resource \"cronjobs\"",
    ]) {
        assert!(problem.contains(verb), "{problem}");
    }

    // What the page says is enough, and nothing less.
    for (role, rule) in [
        (
            "jobs",
            "--resource=jobs.batch,cronjobs.batch,migrationexceptions.migration-warden.io",
        ),
        ("namespaces", "--resource=namespaces"),
    ] {
        let verb = if role == "jobs" {
            "--verb=list"
        } else {
            "--verb=get"
        };
        space
            .kubectl(&["create", "role", role, verb, rule])
            .succeeds();
        let role_flag = format!("--role={role}");
        let subject = format!("--serviceaccount={}:powerless", space.name());
        space
            .kubectl(&["create", "rolebinding", role, &role_flag, &subject])
            .succeeds();
    }
    eventually("the permissions to be granted", || {
        let outcome = scan_as(&kubeconfig, "", &args);
        (outcome.code == Some(1)).then(|| assert_eq!(forbidden(&outcome).1, [""; 0]))
    });
}
