//! What is written about the program agrees with it. `UPDATE_DOCS=1` writes instead of comparing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use migration_warden::core::decision::{JSON_SCHEMA, SCHEMA};
use migration_warden::core::policy::Action;
use migration_warden::core::policy::rule::{Cel, Patch};
use migration_warden::core::policy::rules::RULES;
use migration_warden::core::policy_file;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Compares a file, or writes it when asked to.
fn agrees(path: &str, expected: &str) {
    let path = root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is out of date; UPDATE_DOCS=1 cargo test --test docs writes it",
        path.display()
    );
}

/// `text` with the part between the markers of `name` replaced.
fn between(text: &str, name: &str, part: &str) -> String {
    let (begin, end) = (
        format!("<!-- {name}:begin -->\n"),
        format!("<!-- {name}:end -->"),
    );
    let from = text.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
    let to = text.find(&end).unwrap_or_else(|| panic!("no {end}"));
    format!("{}\n{part}\n{}", &text[..from], &text[to..])
}

fn output(args: &[&str]) -> String {
    let command = Command::cargo_bin("migration-warden")
        .unwrap()
        .current_dir(root())
        .args(args)
        .output();
    String::from_utf8(command.unwrap().stdout).unwrap()
}

fn rules_table() -> String {
    let mut table =
        String::from("| id | name | what it flags | guide | strict | audit | patch |\n");
    table.push_str("|---|---|---|---|---|---|---|\n");
    for rule in RULES {
        let patch = if rule.patch == Patch::Possible {
            "yes"
        } else {
            ""
        };
        writeln!(
            table,
            "| [{0}](docs/rules.md#{1}) | `{2}` | {3} | {4} | {5} | {6} | {patch} |",
            rule.id,
            anchor(rule.id, rule.name),
            rule.name,
            rule.summary().trim_end_matches('.'),
            rule.guide.as_str(),
            rule.strict.as_str(),
            rule.guide.min(Action::Audit).as_str(),
        )
        .unwrap();
    }
    table
}

fn anchor(id: &str, name: &str) -> String {
    format!("{}-{name}", id.to_lowercase())
}

#[test]
fn the_readme_shows_the_rules_and_real_output() {
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let readme = between(&readme, "rules", &rules_table());
    let shown = output(&["check", "docs/examples/job.yaml"]);
    let readme = between(
        &readme,
        "check",
        &format!("```console\n$ migration-warden check docs/examples/job.yaml\n{shown}```\n"),
    );
    agrees("README.md", &readme);
}

#[test]
fn the_rules_page_is_what_explain_says() {
    let mut page = String::from(
        "# Rules\n\nEach section is what `migration-warden explain RULE` prints about a rule.\n",
    );
    for rule in RULES {
        let text = output(&["explain", rule.id]);
        let (docs, facts) = text.split_once("\nField: ").unwrap();
        let docs = docs.replace("\n## ", "\n### ");
        writeln!(page, "\n## {docs}\n```text\nField: {facts}```").unwrap();
    }
    agrees("docs/rules.md", &page);
}

#[test]
fn the_page_on_the_net_shows_what_each_rule_is_in_it() {
    let mut table = String::from("| rule | in the net |\n|---|---|\n");
    for rule in RULES {
        let told = match rule.cel {
            Cel::Expression(_) => "yes".to_owned(),
            Cel::Refused(reason) => format!("no: {reason}"),
        };
        writeln!(table, "| {} `{}` | {told} |", rule.id, rule.name).unwrap();
    }
    let page = std::fs::read_to_string(root().join("docs/vap.md")).unwrap();
    let page = between(&page, "rules", &table);
    let help = output(&["generate", "vap", "-h"]);
    let options = help.split_once("Options:\n").unwrap().1;
    let page = between(&page, "options", &format!("```text\n{options}```\n"));
    agrees("docs/vap.md", &page);
}

#[test]
fn the_published_schema_is_the_programs() {
    let policy = serde_json::to_string_pretty(&policy_file::schema()).unwrap() + "\n";
    agrees("src/core/policy_file/policy.schema.json", &policy);
    agrees("docs/policy.schema.json", &policy);
    assert_eq!(output(&["schema", "policy"]), output(&["schema"]));
    assert_eq!(output(&["schema"]), policy_file::JSON_SCHEMA);
    let decision_log = output(&["schema", "decision-log"]);
    agrees("docs/decision-log.schema.json", &decision_log);
}

/// That the lines of the tests are as published is those tests' part.
#[test]
fn the_schema_of_the_decision_log_knows_a_line_from_another() {
    let schema = serde_json::from_str(JSON_SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let line = json!({
        "ts": "2025-12-22T00:00:05.25Z", "kind": "tidy-up", "schema": SCHEMA,
        "id": "019b435b-2388-7000-8000-000000000007", "namespace": "shop", "job": "web-migrate", "job_uid": "0a1b",
        "release": {"namespace": "shop", "name": "web", "source": "base-name"}, "reason": "hook-succeeded",
        "dry_run": false, "replica": "warden-0",
    });
    let with = |field: &str, value: Value| {
        let mut line = line.clone();
        line[field] = value;
        validator.is_valid(&line)
    };
    // Readers pass over what they do not know, and the order of fields means nothing.
    assert!(with("later", json!(1)) && with("lost", json!(3)));
    for (field, value) in [
        ("kind", json!("decision")),
        ("schema", json!(SCHEMA + 1)),
        ("id", json!("705ab4f5-6393-41e8-b7cc-42010a800002")),
        ("ts", json!("2025-12-22T00:00:05+01:00")),
        ("reason", json!("")),
        (
            "release",
            json!({"namespace": "shop", "name": "web", "source": "helm"}),
        ),
        ("lost", json!(0)),
        ("replica", Value::Null),
    ] {
        assert!(!with(field, value.clone()), "{field}: {value}");
    }
}

#[test]
fn the_example_policy_is_fine() {
    let shown = output(&["check-config", "docs/examples/policy.yaml"]);
    assert!(
        shown.starts_with("docs/examples/policy.yaml: policy "),
        "{shown}"
    );
    assert!(
        shown.lines().next().unwrap().ends_with(" is valid"),
        "{shown}"
    );
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let policy = std::fs::read_to_string(root().join("docs/examples/policy.yaml")).unwrap();
    assert!(readme.contains(&policy), "the README shows another policy");
}

#[test]
fn the_two_examples_are_one_job() {
    let read =
        |file: &str| std::fs::read_to_string(root().join("docs/examples").join(file)).unwrap();
    let job: Value = serde_saphyr::from_str(&read("job.yaml")).unwrap();
    let review: Value = serde_json::from_str(&read("review.json")).unwrap();
    assert_eq!(review["request"]["object"], job);
}

/// The schema and the parser take the same files: an editor must not accept what `serve` refuses.
#[test]
fn schema_and_parser_agree() {
    let schema: Value = serde_json::from_str(&output(&["schema"])).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let head = r#""apiVersion": "config.migration-warden.io/v1alpha1", "kind": "MigrationPolicy""#;
    for (good, rest) in [
        (true, ""),
        (
            true,
            r#", "profile": "strict", "rules": {"MW004": "patch", "missing-hook": {"action": "warn", "argocd": true}}"#,
        ),
        (
            true,
            r#", "rules": {"stale-timestamp": {"maxAge": "1h"}}, "namespaces": [{"names": ["a*"], "mode": "off"}]"#,
        ),
        (
            true,
            r#", "match": {"selectors": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}"#,
        ),
        (
            true,
            r#", "detection": {"maxAction": "warn"}, "record": {"onFailure": "deny"}"#,
        ),
        // A bare `off`, once Helm has read it.
        (
            true,
            r#", "rules": {"MW011": false, "stale-timestamp": {"action": false}}"#,
        ),
        (
            true,
            r#", "detection": {"maxAction": false}, "namespaces": [{"names": ["a*"], "mode": false}]"#,
        ),
        (false, r#", "rules": {"MW011": true}"#),
        (false, r#", "detection": {"maxAction": true}"#),
        (
            false,
            r#", "namespaces": [{"names": ["a*"], "mode": true}]"#,
        ),
        (true, r#", "exceptions": {"maxDuration": "48h"}"#),
        (false, r#", "exceptions": {"maximum": "48h"}"#),
        (true, r#", "claims": {"supersede": "neverStarted"}"#),
        (true, r#", "claims": {"supersede": false}"#),
        (false, r#", "claims": {"supersede": true}"#),
        (false, r#", "profile": "mild""#),
        (false, r#", "rules": {"MW999": "deny"}"#),
        (false, r#", "rules": {"missing-hook": "patch"}"#),
        (false, r#", "rules": {"missing-hook": {"action": "patch"}}"#),
        (false, r#", "rules": {"missing-hook": {"rename": true}}"#),
        (false, r#", "detection": {"maxAction": "patch"}"#),
        (false, r#", "detection": {"tools": []}"#),
        (false, r#", "match": {"selectors": []}"#),
        (false, r#", "match": {"selectors": [{}]}"#),
        (false, r#", "namespaces": [{"names": [], "mode": "off"}]"#),
        (false, r#", "extra": 1"#),
    ] {
        let text = format!("{{{head}{rest}}}");
        let parsed = migration_warden::core::policy_file::validate::read("p", &text).is_ok();
        let valid = validator.is_valid(&serde_json::from_str(&text).unwrap());
        assert_eq!((parsed, valid), (good, good), "{text}");
    }
}
