//! `-o adopt` proposes entries, and `check-config --against` shows what they do: tried with the charts of the field, their
//! other Jobs, and Jobs that are not migrations.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

const POLICY: &str = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";

/// Runs the program in `folder`: the exit code and what it printed.
fn run(folder: &Path, args: &[&str]) -> (i32, String) {
    let mut command = Command::cargo_bin("migration-warden").unwrap();
    let output = command.current_dir(folder).args(args).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{args:?}");
    let code = output.status.code().unwrap();
    (code, String::from_utf8(output.stdout).unwrap())
}

fn fixture(path: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::read_to_string(fixtures.join(path)).unwrap()
}

/// The migrations of the charts, each chart in its namespace.
fn charts() -> String {
    let expected: Value = serde_saphyr::from_str(&fixture("charts/expected.yaml")).unwrap();
    let files = expected.as_object().unwrap().keys();
    let texts: Vec<_> = files
        .map(|file| fixture(&format!("charts/{file}")))
        .collect();
    texts.join("\n---\n")
}

type Other = (String, String, String, String, String, Vec<String>);

/// What runs beside them. `every` is the namespace of each chart.
fn others() -> String {
    let charts: Vec<Value> = serde_saphyr::from_multiple(&charts()).unwrap();
    let all: Vec<Other> = serde_saphyr::from_str(&fixture("beside_charts.yaml")).unwrap();
    let mut text = String::new();
    for (namespace, kind, name, hook, image, words) in all {
        for chart in &charts {
            let metadata = &chart["metadata"];
            let here = metadata["namespace"].as_str().unwrap();
            if namespace != "every" && namespace != here {
                continue;
            }
            let pod = json!({"containers": [{"name": "main", "image": image, "command": words}], "restartPolicy": "Never"});
            let job = json!({"template": {"spec": pod}});
            let spec = match kind.as_str() {
                "Job" => job,
                _ => json!({"schedule": "@daily", "jobTemplate": {"spec": job}}),
            };
            let hook = if hook.is_empty() {
                json!({})
            } else {
                json!({"helm.sh/hook": hook})
            };
            let labels = &metadata["labels"];
            let metadata =
                json!({"name": name, "namespace": here, "labels": labels, "annotations": hook});
            let object =
                json!({"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": spec});
            writeln!(text, "---\n{object}").unwrap();
        }
    }
    text
}

/// What the policy does with each Job: namespace, name, and the name under which it is adopted.
fn treated(folder: &Path, policy: &str, manifests: &str) -> Vec<(String, Option<String>)> {
    fs::write(folder.join("policy.yaml"), policy).unwrap();
    fs::write(folder.join("jobs.yaml"), manifests).unwrap();
    let args = [
        "check-config",
        "policy.yaml",
        "--against",
        "jobs.yaml",
        "-o",
        "json",
    ];
    let (code, out) = run(folder, &args);
    assert_eq!(code, 0, "{out}");
    let out: Value = serde_json::from_str(&out).unwrap();
    let jobs = out["jobs"].as_array().unwrap().iter();
    jobs.map(|job| {
        let name = format!(
            "{}/{}",
            job["namespace"].as_str().unwrap(),
            job["job"].as_str().unwrap()
        );
        (name, job["adopted"].as_str().map(str::to_owned))
    })
    .collect()
}

/// The entries that are proposed for these manifests, as a policy.
fn proposed(folder: &Path, manifests: &str) -> String {
    fs::write(folder.join("all.yaml"), manifests).unwrap();
    let (code, entries) = run(folder, &["check", "-o", "adopt", "all.yaml"]);
    assert_eq!(code, 0, "{entries}");
    format!("{POLICY}detection: {{promises: []}}\n{entries}")
}

#[test]
fn the_charts_of_the_field_are_adopted_and_nothing_that_runs_beside_them() {
    let folder = TempDir::new().unwrap();
    let (charts, others) = (charts(), others());
    let policy = proposed(folder.path(), &format!("{charts}\n{others}"));
    let migrations = treated(folder.path(), &policy, &charts);
    let adopted = migrations.iter().filter(|(_, adopted)| adopted.is_some());
    assert_eq!((adopted.count(), migrations.len()), (30, 30), "{policy}");
    let beside = treated(folder.path(), &policy, &others);
    assert!(beside.len() > 40);
    for (job, adopted) in beside {
        assert_eq!(adopted, None, "{job}\n{policy}");
    }
}

/// The charts' entries are made while nothing else runs there.
#[test]
fn what_comes_later_beside_them_is_not_adopted_either() {
    let folder = TempDir::new().unwrap();
    let policy = proposed(folder.path(), &charts());
    for (job, adopted) in treated(folder.path(), &policy, &others()) {
        assert_eq!(adopted, None, "{job}\n{policy}");
    }
}

#[test]
fn the_next_release_of_each_chart_is_adopted_too() {
    let folder = TempDir::new().unwrap();
    let policy = proposed(folder.path(), &format!("{}\n{}", charts(), others()));
    let mut next = charts();
    for (old, new) in [
        (
            "posthog-migrate-2021-11-09-10-22-31",
            "posthog-migrate-2022-01-02-03-04-05",
        ),
        (
            "plane-api-migrate-20251203-091500",
            "plane-api-migrate-20260102-030405",
        ),
        ("plane-api-migrate-3", "plane-api-migrate-12"),
        ("openproject-seeder-4", "openproject-seeder-5"),
        ("hatchet-7k2m9x4qzp", "hatchet-abcdefghij"),
        ("gitlab-migrations-a41f9c2", "gitlab-migrations-fb03e11"),
        ("hatchet-migrate:v0.77.2", "hatchet-migrate:v0.80.0"),
    ] {
        assert!(next.contains(old), "{old}");
        next = next.replace(old, new);
    }
    for (job, adopted) in treated(folder.path(), &policy, &next) {
        assert!(adopted.is_some(), "{job}\n{policy}");
    }
}

/// Claims by name would let two attempts of these run at once.
#[test]
fn what_has_another_base_name_each_time_gets_a_key_of_its_own() {
    let folder = TempDir::new().unwrap();
    let policy: Value = serde_saphyr::from_str(&proposed(folder.path(), &charts())).unwrap();
    let entries = policy["adopt"].as_array().unwrap().iter();
    let keyed = entries.filter(|entry| !entry["database"].is_null());
    let mut names: Vec<_> = keyed
        .inspect(|entry| assert_eq!(entry["database"], entry["name"]))
        .flat_map(|entry| entry["match"]["names"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "gitlab-migrations-*",
            "hatchet-*",
            "openproject-seeder-*",
            "plane-api-migrate-*"
        ]
    );
}

#[derive(Deserialize)]
struct Tools {
    others: Vec<String>,
    other_scripts: Vec<String>,
}

#[test]
fn no_entry_is_proposed_for_what_is_not_a_migration() {
    let folder = TempDir::new().unwrap();
    let Tools {
        others,
        other_scripts,
    } = serde_saphyr::from_str(&fixture("job/tools.yaml")).unwrap();
    let scripts = other_scripts.iter();
    let scripts = scripts.map(|text| ("app:1", vec!["bash", "-euo", "pipefail", "-c", text]));
    let lines = others.iter().map(|line| {
        let (image, words) = line.split_once(" |").unwrap();
        (image, words.split_whitespace().collect())
    });
    let mut text = String::new();
    for (index, (image, words)) in lines.chain(scripts).enumerate() {
        let container = json!({"name": "main", "image": image, "args": words});
        let metadata =
            json!({"name": format!("x-{index}"), "annotations": {"helm.sh/hook": "pre-upgrade"}});
        let spec =
            json!({"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}});
        let job =
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec});
        writeln!(text, "---\n{job}").unwrap();
    }
    fs::write(folder.path().join("all.yaml"), &text).unwrap();
    let (code, entries) = run(folder.path(), &["check", "-o", "adopt", "all.yaml"]);
    assert_eq!(
        (code, &*entries),
        (0, "# No detected Job needs an entry.\nadopt: []\n")
    );
    for (job, adopted) in treated(folder.path(), POLICY, &text) {
        assert_eq!(adopted, None, "{job}");
    }
}

/// Four Jobs of one chart in two namespaces, and a backup.
const JOBS: &str = "\
apiVersion: v1
kind: List
items:
  - {apiVersion: batch/v1, kind: Job, metadata: {name: shop-migrate-1766361600, namespace: eu, annotations: {helm.sh/hook: pre-upgrade}}, spec: &spec {template: {spec: {restartPolicy: Never, containers: [{name: m, image: 'flyway/flyway:10'}]}}}}
  - {apiVersion: batch/v1, kind: Job, metadata: {name: shop-migrate-1766361601, namespace: us}, spec: *spec}
  - {apiVersion: batch/v1, kind: Job, metadata: {name: ours, namespace: us, labels: {app.kubernetes.io/component: migration}}, spec: *spec}
  - {apiVersion: batch/v1, kind: Job, metadata: {name: not-ours, namespace: us, labels: {migration-warden.io/migration: 'false'}}, spec: *spec}
  - {apiVersion: batch/v1, kind: Job, metadata: {name: shop-backup, namespace: us}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: m, image: 'postgres:16'}]}}}}
";

#[test]
fn each_entry_is_preceded_by_what_it_matches_and_what_it_does_not() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("all.yaml"), JOBS).unwrap();
    let (code, out) = run(folder.path(), &["check", "-o", "adopt", "all.yaml"]);
    let expected = "\
adopt:
  # Matches 2 Jobs: eu/shop-migrate-1766361600, us/shop-migrate-1766361601
  # Does not match 2 other Jobs here: us/not-ours, us/shop-backup
  - name: \"shop-migrate\"
    match:
      namespaces: [\"eu\", \"us\"]
      names: [\"shop-migrate-*\"]
    rules: audit
";
    assert_eq!((code, &*out), (0, expected));
    let policy =
        format!("{POLICY}adopt: [{{name: eu, match: {{namespaces: [eu], names: [shop-*]}}}}]\n");
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let args = [
        "check",
        "-o",
        "adopt",
        "all.yaml",
        "--config",
        "policy.yaml",
    ];
    let (_, out) = run(folder.path(), &args);
    assert!(
        out.starts_with(
            "# Write these entries after those that the policy has.\nadopt:\n  # Matches 1 Job: us/"
        ),
        "{out}"
    );
    fs::write(folder.path().join("broken.yaml"), "a: [1").unwrap();
    let (code, out) = run(
        folder.path(),
        &["check", "-o", "adopt", "all.yaml", "broken.yaml"],
    );
    assert_eq!(code, 2);
    assert!(
        out.starts_with("# could not check: broken.yaml:1:"),
        "{out}"
    );
}

#[test]
fn a_policy_is_compared_with_the_one_in_use() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    file("jobs.yaml", JOBS);
    file(
        "new.yaml",
        &format!(
            "{POLICY}profile: strict\nadopt:\n  - {{name: shop, match: {{names: [shop-migrate-*]}}, rules: enforce}}\n  \
             - {{name: us, match: {{namespaces: [us], names: ['*-migrate-*']}}}}\nnamespaces: [{{names: [us], mode: warn}}]\n"
        ),
    );
    file(
        "old.yaml",
        &format!("{POLICY}adopt: [{{name: backups, match: {{names: [shop-backup]}}}}]\n"),
    );
    let args = ["check-config", "new.yaml", "--against", "jobs.yaml"];
    let compared = |more: &[&str]| {
        let (code, out) = run(folder.path(), &[&args[..], more].concat());
        assert_eq!(code, 0, "{out}");
        let lines = out.split_once("promises: claims, guards, record, tidyUp\n\n");
        lines.map_or(out.clone(), |(_, lines)| {
            lines.rsplit("tidyUp\n\n").next().unwrap().to_owned()
        })
    };
    assert_eq!(
        compared(&["--current", "old.yaml"]),
        "\
eu/shop-migrate-1766361600: adopted as shop, rules: enforce; newly enforced (before: adopted as detected, rules: audit)
us/shop-migrate-1766361601: adopted as shop, rules: warn; also matched by us, which never wins; newly adopted (before: detected, rules: audit)
us/ours: labelled, rules: warn; no longer enforced (before: labelled, rules: enforce)
us/not-ours: opted out
us/shop-backup: left alone; no longer adopted (before: adopted as backups, rules: audit)

5 Jobs: 2 adopted, 1 labelled, 1 left alone, 1 opted out
against old.yaml: 1 newly adopted, 1 no longer adopted, 1 newly enforced, 1 no longer enforced, 1 matched by two entries
"
    );
    let quiet = compared(&["-q", "--current", "new.yaml"]);
    assert_eq!(quiet, "");
    let (_, out) = run(folder.path(), &[&args[..], &["-o", "json"]].concat());
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        out["jobs"][1],
        json!({
            "namespace": "us", "job": "shop-migrate-1766361601", "selection": "adopted", "adopted": "shop", "rules": "warn",
            "also_matched_by": ["us"], "change": "newly-adopted", "before": {"selection": "detected", "rules": "audit"},
        })
    );
    assert_eq!(out["current"], "the built-in policy");
    assert_eq!(out["summary"]["changes"]["newly-adopted"], 1);
    assert_eq!(
        (&out["summary"]["matched_twice"], &out["adopt"][0]["name"]),
        (&json!(1), &json!("shop"))
    );
    file("jobs.yaml", "a: [1");
    let (code, out) = run(folder.path(), &args);
    assert_eq!(code, 2);
    assert!(out.contains("\ncould not check jobs.yaml:1:"), "{out}");
}
