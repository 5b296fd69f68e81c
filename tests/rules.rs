//! Every rule against its fixtures, and the charts of the field against all rules.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use migration_warden::cli::render::{Render, json::Json, text::Text};
use migration_warden::core::check::Check;
use migration_warden::core::policy::rule::{Rule, Scope};
use migration_warden::core::policy::rules::RULES;
use migration_warden::core::policy::{Action, Policy};
use migration_warden::core::policy_file::validate;
use migration_warden::core::report::{Located, Report, Source};

/// The rules that judge what a file says.
fn in_files() -> impl Iterator<Item = &'static Rule> {
    let rules = RULES.into_iter();
    rules.filter(|rule| rule.scope != Scope::Cluster)
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(fixtures().join(path)).expect(path)
}

fn profile(name: &str) -> Policy {
    let text = format!(
        "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nprofile: {name}\n"
    );
    validate::read("policy.yaml", &text).unwrap()
}

/// A report with its findings.
struct Checked {
    report: Report,
    findings: Vec<Located>,
}

impl std::ops::Deref for Checked {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

fn check(text: &str, policy: &Policy) -> Checked {
    let (mut check, mut findings) = (Check::new(policy, "", Vec::new()), Vec::new());
    check.file("fixture.yaml", text, &mut |located| findings.push(located));
    let report = check.report;
    assert!(report.problems.is_empty(), "{:?}\n{text}", report.problems);
    Checked { report, findings }
}

/// The documents of a fixture with the rules its `# also:` comment names.
fn documents(text: &str) -> impl Iterator<Item = (&str, BTreeSet<&str>)> {
    text.split("\n---\n").map(|document| {
        let also = document
            .lines()
            .filter_map(|line| line.strip_prefix("# also: "));
        (
            document,
            also.flat_map(|ids| ids.split([',', ' ']))
                .filter(|id| !id.is_empty())
                .collect(),
        )
    })
}

fn found(report: &Checked) -> BTreeSet<&'static str> {
    report
        .findings
        .iter()
        .map(|located| located.finding.rule.id)
        .collect()
}

#[test]
fn the_valid_job_breaks_no_rule_of_any_profile() {
    for name in ["guide", "strict", "audit"] {
        let report = check(&read("valid_job.yaml"), &profile(name));
        assert_eq!(
            (report.jobs, found(&report)),
            (1, BTreeSet::new()),
            "{name}"
        );
    }
}

#[test]
fn every_fail_document_breaks_its_rule_and_no_other() {
    let strict = profile("strict");
    for rule in in_files() {
        let text = read(&format!("fail/{}.yaml", rule.name));
        for (document, also) in documents(&text) {
            let report = check(document, &strict);
            let mut expected = also;
            expected.insert(rule.id);
            // A detected Job is not labelled; its findings are capped, not hidden.
            assert_eq!(found(&report), expected, "{}\n{document}", rule.name);
            for located in report.findings {
                let Source {
                    position,
                    line,
                    part,
                    ..
                } = located.source.unwrap();
                assert_ne!(position.line, 0);
                assert!(part.end <= line.len(), "{}: {line:?} {part:?}", rule.name);
            }
        }
    }
}

#[test]
fn no_pass_document_breaks_any_rule() {
    let strict = profile("strict");
    for rule in in_files() {
        let text = read(&format!("pass/{}.yaml", rule.name));
        let report = check(&text, &strict);
        assert_eq!(found(&report), BTreeSet::new(), "{}", rule.name);
        let documents = documents(&text).count();
        assert_eq!(report.documents, Some(documents), "{}", rule.name);
    }
}

#[test]
fn every_rule_has_both_fixtures_and_every_fixture_a_rule() {
    let names: BTreeSet<_> = in_files()
        .map(|rule| format!("{}.yaml", rule.name))
        .collect();
    for folder in ["pass", "fail"] {
        let files: BTreeSet<_> = std::fs::read_dir(fixtures().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(files, names, "{folder}");
    }
}

#[test]
fn the_guides_own_job_is_recognised_and_not_denied() {
    let report = check(&read("guide.yaml"), &profile("guide"));
    assert_eq!(report.jobs, 1);
    assert_eq!(
        found(&report),
        BTreeSet::from(["MW006", "MW007", "MW022", "MW023"])
    );
    assert!(
        report
            .findings
            .iter()
            .all(|located| located.finding.action == Action::Audit)
    );
}

fn expected_denials() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    serde_saphyr::from_str(&read("charts/expected.yaml")).unwrap()
}

#[test]
fn the_charts_of_the_field_are_detected_and_none_is_denied() {
    for (file, jobs) in expected_denials() {
        let report = check(&read(&format!("charts/{file}")), &profile("guide"));
        assert_eq!(report.jobs, jobs.len(), "{file}");
        assert_eq!(report.counts.audit, report.findings.len(), "{file}");
        for job in jobs.keys() {
            let unlabelled = report
                .findings
                .iter()
                .any(|located| located.job == *job && located.finding.rule.id == "MW022");
            assert!(unlabelled, "{file}: {job} is not detected");
        }
    }
}

#[test]
fn the_charts_of_the_field_are_denied_for_what_they_do_once_labelled() {
    for (file, jobs) in expected_denials() {
        let text = labelled(&read(&format!("charts/{file}")));
        let report = check(&text, &profile("guide"));
        let mut denied: BTreeMap<String, BTreeSet<String>> = jobs
            .keys()
            .map(|job| (job.clone(), BTreeSet::new()))
            .collect();
        for located in &report.findings {
            if located.finding.action == Action::Deny {
                let ids = denied.entry(located.job.clone()).or_default();
                ids.insert(located.finding.rule.id.to_owned());
            }
        }
        assert_eq!(denied, jobs, "{file}");
    }
}

/// The same manifests with the migration label on each Job.
fn labelled(text: &str) -> String {
    migration_warden::core::manifest::documents(text)
        .map(|document| {
            let document = document.unwrap();
            let mut value = document.value(document.root());
            value["metadata"]["labels"]["app.kubernetes.io/component"] = "migration".into();
            value.to_string()
        })
        .collect::<Vec<_>>()
        .join("\n---\n")
}

#[test]
fn no_planted_secret_is_printed() {
    let text = read("fail/inline-credentials.yaml");
    assert!(text.contains("s3cr3t-"));
    for name in ["guide", "strict", "audit"] {
        let report = check(&text, &profile(name));
        let mut out = Vec::new();
        let (mut text, mut json) = (Text::default(), Json::default());
        for located in &report.findings {
            text.finding(located, &mut out).unwrap();
            json.finding(located, &mut out).unwrap();
        }
        text.end(&report, &mut out).unwrap();
        json.end(&report, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.contains("MW010") && !out.contains("s3cr3t"),
            "{name}: {out}"
        );
    }
}
