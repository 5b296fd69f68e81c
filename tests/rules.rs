//! Every rule against its fixtures, and the charts of the field against all rules.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "common/testing.rs"]
mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::Timestamp;
use migration_warden::cli::render::{Render, json::Json, text::Text};
use migration_warden::core::admit::{self, Circumstances};
use migration_warden::core::check::Check;
use migration_warden::core::namespace::NamespaceView;
use migration_warden::core::policy::rule::{Rule, Scope};
use migration_warden::core::policy::rules::RULES;
use migration_warden::core::policy::{Action, Policy};
use migration_warden::core::policy_file::validate;
use migration_warden::core::report::{Located, Report, Source};
use migration_warden::core::review::Phase;
use serde_json::{Value, json};
use testing::{Case, POLICY, VALID_JOB, cases, fixtures};
use uuid::Uuid;

/// The rules that judge what a file says.
fn in_files() -> impl Iterator<Item = &'static Rule> {
    let rules = RULES.into_iter();
    rules.filter(|rule| !matches!(rule.scope, Scope::Cluster(_)))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(fixtures().join(path)).expect(path)
}

fn profile(name: &str) -> Policy {
    policy(&format!("profile: {name}\n"))
}

fn policy(text: &str) -> Policy {
    validate::read("policy.yaml", &format!("{POLICY}{text}")).unwrap()
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
    let checked = try_check(text, policy);
    let problems = &checked.report.problems;
    assert!(problems.is_empty(), "{problems:?}\n{text}");
    checked
}

/// The same for a Job that Kubernetes may refuse.
fn try_check(text: &str, policy: &Policy) -> Checked {
    let (mut check, mut findings) = (Check::new(policy, "", Vec::new()), Vec::new());
    check.file("fixture.yaml", text, &mut |located: Located| {
        findings.push(located);
    });
    Checked {
        report: check.report,
        findings,
    }
}

/// The manifest of a case, after its name and what is expected of it.
fn manifest(case: &Case) -> String {
    let mut text = format!("# {}\n", case.name);
    if !case.says.is_empty() {
        writeln!(text, "# says: {}", case.says.replace('\n', "\n# ")).unwrap();
    }
    if !case.also.is_empty() {
        writeln!(text, "# also: {}", case.also.join(", ")).unwrap();
    }
    text + &serde_saphyr::to_string(&case.job).unwrap()
}

/// What a report says about one rule: a line a finding, without the rule's name.
fn told(rule: &Rule, report: &Checked) -> String {
    let prefix = format!("{} {}: ", rule.id, rule.name);
    let messages = report
        .findings
        .iter()
        .map(|located| located.finding.message());
    let told: Vec<_> = messages
        .filter_map(|message| message.strip_prefix(&prefix).map(str::to_owned))
        .collect();
    told.join("\n")
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
        let report = check(VALID_JOB, &profile(name));
        assert_eq!(
            (report.jobs, found(&report)),
            (1, BTreeSet::new()),
            "{name}"
        );
    }
}

#[test]
fn every_fail_case_breaks_its_rule_and_no_other() {
    let strict = profile("strict");
    let mut silent = Vec::new();
    for rule in in_files() {
        for case in cases(rule.name).fail {
            let text = manifest(&case);
            let report = check(&text, &strict);
            let mut expected: BTreeSet<&str> = case.also.iter().map(String::as_str).collect();
            expected.insert(rule.id);
            // A detected Job is not labelled; its findings are capped, not hidden.
            assert_eq!(found(&report), expected, "{}\n{text}", rule.name);
            let told = told(rule, &report);
            if !told.contains(&case.says) {
                silent.push(format!("{}: {}: {told}", rule.name, case.name));
            }
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
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn no_pass_case_breaks_any_rule() {
    let strict = profile("strict");
    for rule in in_files() {
        for case in cases(rule.name).pass {
            let text = manifest(&case);
            let report = check(&text, &strict);
            assert_eq!(found(&report), BTreeSet::new(), "{}\n{text}", rule.name);
            assert_eq!(report.documents, Some(1), "{text}");
        }
    }
}

#[test]
fn findings_have_exactly_these_words() {
    let mut wrong = Vec::new();
    for rule in in_files() {
        for case in cases(rule.name).told {
            let text = format!(
                "profile: strict\nrules: {{{}: {}}}\n",
                rule.name, case.options
            );
            let told = told(rule, &try_check(&case.job.to_string(), &policy(&text)));
            if told != case.says {
                let (says, name) = (case.says, case.name);
                wrong.push(format!(
                    "{}: {name}:\nsaid:  {told}\ncase:  {says}",
                    rule.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_cases_and_every_file_of_cases_a_rule() {
    let names: BTreeSet<_> = in_files()
        .map(|rule| format!("{}.yaml", rule.name))
        .collect();
    let files = std::fs::read_dir(fixtures().join("rules")).unwrap();
    let files: BTreeSet<_> = files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, names);
    for rule in in_files() {
        let cases = cases(rule.name);
        assert!(
            !cases.fail.is_empty() && !cases.pass.is_empty(),
            "{}",
            rule.name
        );
    }
}

/// `MANIFESTS=folder` has them written there, as `fail/<rule>.yaml` and `pass/<rule>.yaml`.
#[test]
fn the_cases_are_whole_manifests() {
    let folder = std::env::var_os("MANIFESTS").map(std::path::PathBuf::from);
    for rule in in_files() {
        let cases = cases(rule.name);
        for (kind, cases) in [("fail", cases.fail), ("pass", cases.pass)] {
            let manifests: Vec<_> = cases.iter().map(manifest).collect();
            let stream = manifests.join("---\n");
            let jobs: Vec<Value> = serde_saphyr::from_multiple(&stream).unwrap();
            assert!(
                jobs.iter().eq(cases.iter().map(|case| &case.job)),
                "{stream}"
            );
            if let Some(folder) = &folder {
                let folder = folder.join(kind);
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join(format!("{}.yaml", rule.name)), stream).unwrap();
            }
        }
    }
}

/// The rules that this object breaks, according to the webhook.
fn reviewed(object: &Value, policy: &Policy) -> BTreeSet<&'static str> {
    let circumstances = Circumstances {
        now: Timestamp::now(),
        id: Uuid::now_v7(),
        replica: "warden-0",
    };
    let body = testing::review(object).to_string();
    let review = admit::parse(Phase::Validate, body.as_bytes()).unwrap();
    let Some(case) = review.select(policy) else {
        return BTreeSet::new();
    };
    let judged = case.judge(&circumstances, NamespaceView::default());
    let answer = judged.finish().unwrap();
    answer.findings.into_iter().map(|(rule, _)| rule).collect()
}

#[test]
fn check_finds_what_the_webhook_finds() {
    let strict = profile("strict");
    let mut judged = 0;
    for case in in_files().flat_map(|rule| cases(rule.name).fail) {
        // Helm never sends a hook without a name: only a file can have one.
        let metadata = &case.job["metadata"];
        if metadata["name"].is_null() && !metadata["annotations"]["helm.sh/hook"].is_null() {
            continue;
        }
        let report = check(&case.job.to_string(), &strict);
        assert_eq!(
            found(&report),
            reviewed(&case.job, &strict),
            "{}",
            case.name
        );
        judged += 1;
    }
    assert!(judged > 200, "{judged}");
    // A number without a fraction counts as an integer in both.
    let mut object = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "a-1766361600", "labels": {"app.kubernetes.io/component": "migration"}},
        "spec": {"backoffLimit": 6, "ttlSecondsAfterFinished": 60,
            "template": {"spec": {"restartPolicy": "Never", "containers": []}}}});
    let before = reviewed(&object, &strict);
    object["spec"]["backoffLimit"] = json!(6.0);
    object["spec"]["ttlSecondsAfterFinished"] = json!(6e1);
    assert_eq!(reviewed(&object, &strict), before);
    assert_eq!(found(&check(&object.to_string(), &strict)), before);
}

#[test]
fn the_guides_own_job_is_recognised_and_not_denied() {
    let report = check(&read("guide.yaml"), &profile("guide"));
    assert_eq!(report.jobs, 1);
    assert_eq!(
        found(&report),
        BTreeSet::from(["MW006", "MW007", "MW022", "MW023"])
    );
    assert_only_its_label_is_missed(&report);
}

/// Whether nothing is more than logged, but for the advice to label an adopted Job.
fn assert_only_its_label_is_missed(report: &Checked) {
    for located in &report.findings {
        let finding = &located.finding;
        let is_advice = finding.rule.id == "MW022" && finding.action == Action::Warn;
        assert!(is_advice || finding.action == Action::Audit, "{finding:?}");
    }
}

fn expected_denials() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    serde_saphyr::from_str(&read("charts/expected.yaml")).unwrap()
}

#[test]
fn the_charts_of_the_field_are_detected_and_none_is_denied() {
    for (file, jobs) in expected_denials() {
        let report = check(&read(&format!("charts/{file}")), &profile("guide"));
        assert_eq!(report.jobs, jobs.len(), "{file}");
        assert_only_its_label_is_missed(&report);
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
    let mut documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    for document in &mut documents {
        document["metadata"]["labels"]["app.kubernetes.io/component"] = "migration".into();
    }
    let documents: Vec<_> = documents.iter().map(Value::to_string).collect();
    documents.join("\n---\n")
}

#[test]
fn no_planted_secret_is_printed() {
    let manifests: Vec<_> = cases("inline-credentials")
        .fail
        .iter()
        .map(manifest)
        .collect();
    let text = manifests.join("---\n");
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
