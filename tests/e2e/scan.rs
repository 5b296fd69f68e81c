//! `migration-warden scan`: what it says of stored Jobs is what `check` says of their manifests, and the webhook
//! of their creation.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agree::{Case, cases};
use crate::exceptions::crd;
use crate::harness::{
    Chart, Cluster, Guarded, Outcome, RESTARTING_POD, Space, check, eventually, none_differ,
};
use crate::verify::powerless;

/// The policy that finds most.
const POLICY: &str = "profile: strict\n";

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

/// Rule, action, path and detail.
type Finding = (String, String, String, String);

/// The findings of a report or a decision. That a name is old is told in hours that go by.
fn findings<'a>(list: impl Iterator<Item = &'a Value>, stale: bool) -> BTreeSet<Finding> {
    list.filter(|finding| stale || finding["rule"] != "MW005")
        .map(|finding| {
            let text = |key| finding[key].as_str().unwrap_or_default().to_owned();
            let detail = if finding["rule"] == "MW005" {
                String::new()
            } else {
                text("detail")
            };
            (text("rule"), text("action"), text("path"), detail)
        })
        .collect()
}

/// Namespaces of one Job each; dropping them deletes them.
struct Spaces {
    space: Space,
}

impl Spaces {
    fn of(cases: &[Case]) -> Self {
        let spaces = Self {
            space: Space::new(),
        };
        let mut objects = Vec::new();
        for (index, case) in cases.iter().enumerate() {
            let name = spaces.name(index);
            let labels = json!({"scan": spaces.space.name()});
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
            let mut object: Value = serde_json::from_str(&case.manifest).unwrap();
            object["metadata"]["namespace"] = json!(name);
            objects.push(namespace.to_string());
            objects.push(object.to_string());
        }
        // Some are refused by the apiserver itself.
        let mut kubectl = Cluster::get().kubectl();
        kubectl.args(["create", "--validate=ignore", "-f", "-"]);
        let _ = Outcome::of(&mut kubectl, &objects.join("\n---\n"));
        spaces
    }

    fn name(&self, index: usize) -> String {
        format!("{}-{index}", self.space.name())
    }
}

impl Drop for Spaces {
    fn drop(&mut self) {
        let label = format!("scan={}", self.space.name());
        let mut kubectl = Cluster::get().kubectl();
        kubectl.args(["delete", "namespaces", "--wait=false", "--selector", &label]);
        let _ = Outcome::of(&mut kubectl, "");
    }
}

/// What the webhook found in the creation of a Job, if it judged it.
fn by_webhook(guarded: &Guarded, case: &Case, judged: bool) -> (Value, BTreeSet<Finding>) {
    let before = guarded.warden.decisions().len();
    let args = ["create", "--dry-run=server", "--validate=ignore", "-f", "-"];
    let _ = guarded.kubectl_with(&args, &case.manifest);
    if !judged {
        return (Value::Null, BTreeSet::new());
    }
    // A denial by the mutating phase is the last word.
    let is_last = |d: &&Value| d["phase"] == "validate" || d["verdict"] == "denied";
    let decision = eventually(&format!("a decision on {}", case.origin), || {
        let decisions = guarded.warden.decisions();
        decisions[before..].iter().find(is_last).cloned()
    });
    let stale = decision["phase"] == "validate";
    let found = findings(decision["findings"].as_array().unwrap().iter(), stale);
    (decision["phase"].clone(), found)
}

fn scan_check_and_webhook_agree(folder: &str, least: usize) {
    let cases = cases(folder);
    let spaces = Spaces::of(&cases);
    let scanned = scan(POLICY, &["-A", "--format", "json"]);
    let report = scanned.json();
    let all = report["findings"].as_array().unwrap();
    let guarded = Guarded::with(POLICY);

    let args = ["get", "jobs,cronjobs", "-A", "-o", "json"];
    let mut kubectl = Cluster::get().kubectl();
    let stored = Outcome::of(kubectl.args(args), "").succeeds().json();
    let stored = stored["items"].as_array().unwrap().iter();
    let stored: BTreeSet<_> = stored
        .filter_map(|object| object["metadata"]["namespace"].as_str())
        .collect();

    let (mut compared, mut wrong) = (0, Vec::new());
    for (index, case) in cases.iter().enumerate() {
        let name = spaces.name(index);
        if !stored.contains(&*name) {
            continue;
        }
        compared += 1;
        let by_scan = |stale| {
            let ours = all.iter().filter(|finding| finding["namespace"] == *name);
            findings(ours, stale)
        };
        let checked = check(POLICY, &case.manifest).json();
        let by_check = findings(checked["findings"].as_array().unwrap().iter(), false);
        let (phase, by_webhook) = by_webhook(&guarded, case, checked["jobs"] == 1);
        let stale = phase == "validate";
        for (who, theirs, ours) in [
            ("check", by_check, by_scan(false)),
            ("webhook", by_webhook, by_scan(stale)),
        ] {
            if theirs != ours {
                wrong.push(format!(
                    "{}\n  only scan: {:?}\n  only {who}: {:?}",
                    case.origin,
                    ours.difference(&theirs).collect::<Vec<_>>(),
                    theirs.difference(&ours).collect::<Vec<_>>(),
                ));
            }
        }
    }
    eprintln!("{compared} of {} were compared", cases.len());
    none_differ(&wrong);
    assert!(compared >= least, "only {compared} were compared");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn scan_check_and_webhook_agree_on_what_passes() {
    scan_check_and_webhook_agree("pass", 20);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn scan_check_and_webhook_agree_on_what_fails() {
    scan_check_and_webhook_agree("fail", 20);
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
    outcome.says(
        "error: failed to get namespaces no-such-namespace: namespaces \"no-such-namespace\" not found\n",
    );
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
            "\n  excepted  MW004 spec.template.spec.restartPolicy: found \"OnFailure\"; until "
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
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": template},
    });
    space
        .kubectl_with(&["create", "-f", "-"], &cronjob.to_string())
        .succeeds();
    space
        .kubectl(&["create", "job", "--from=cronjob/nightly", "by-hand"])
        .succeeds();
    let (code, out) = report(&space);
    assert_eq!(
        (
            code,
            &out["objects"],
            &out["made_by_cronjobs"],
            &out["jobs"]
        ),
        (Some(0), &json!(2), &json!(1), &json!(1)),
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
