//! `check` on a file and the server on the review that the file becomes say the same.

use std::{collections::BTreeSet, fs};

use migration_warden::core::policy::rule::{Rule, Scope};
use migration_warden::core::policy::rules::RULES;
use serde_json::{Value, json};

use crate::harness::{Recorded, Recorder, Space, Warden, Webhooks, check, none_differ};
use crate::testing;

/// The policy that finds most. Where the namespace's mesh is concerned, it and the server know the same: nothing.
pub(crate) const POLICY: &str = "profile: strict\n";

/// Needs the server's `creationTimestamp`, which a file has not.
const STALE_TIMESTAMP: &str = "MW005";

/// What every planted password begins with: no one may ever say it.
const SECRET: &str = "s3cr3t-";

/// Rule, action, path and detail, whoever found it.
type Finding = (String, String, String, String);

/// One Job of the fixtures.
pub(crate) struct Case {
    pub(crate) origin: String,
    pub(crate) manifest: String,
}

/// Every Job of a folder of fixtures.
fn check_and_server_agree(folder: &str) {
    let recorder = Recorder::start();
    let space = Space::new();
    let _registration = Webhooks::recorded_by(&recorder).register(&space);
    let warden = Warden::serve(POLICY);

    let (mut reviewed, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for Case { origin, manifest } in cases(folder) {
        let report = check(POLICY, &as_sent(&manifest));
        assert!(matches!(report.code, Some(0 | 1)), "{origin}: {report}");
        let report = report.json();
        let by_check = findings(report["findings"].as_array().unwrap());
        let is_denied = by_check.iter().any(|(_, action, ..)| action == "deny");

        // What the API server makes of it, without judging unknown fields: neither do we.
        let tried = space.try_to_create(&manifest);
        let reviews = recorder.take();
        if !tried.refusal.is_empty() {
            let reason = tried.refusal.replace('\n', " ");
            refused.push(format!("{origin} ({} reviews): {reason}", reviews.len()));
        } else if reviews.len() != 2 {
            wrong.push(format!("{origin}: {} reviews", reviews.len()));
        }
        for review in &reviews {
            reviewed += 1;
            // The mutating phase writes down only what it denies (nothing is patched here).
            let expected = match &*review.path {
                "/mutate" if !is_denied => BTreeSet::new(),
                _ => by_check.clone(),
            };
            // What is no migration leaves no decision, in either.
            let judged = report["jobs"] == 1;
            let by_server = by_server(&warden, review, judged);
            if by_server != expected {
                wrong.push(format!(
                    "{origin} {}\n  only check: {:?}\n  only server: {:?}",
                    review.path,
                    expected.difference(&by_server).collect::<Vec<_>>(),
                    by_server.difference(&expected).collect::<Vec<_>>(),
                ));
            }
        }
    }
    eprintln!(
        "{reviewed} reviews; the apiserver itself refused:\n{}",
        refused.join("\n")
    );
    none_differ(&wrong);
    assert!(reviewed > 50, "only {reviewed} reviews");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn check_and_server_agree_on_what_passes() {
    check_and_server_agree("pass");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn check_and_server_agree_on_what_fails() {
    check_and_server_agree("fail");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn check_and_server_agree_on_real_charts() {
    check_and_server_agree("charts");
}

/// The manifest as it comes in a request. Helm sends no hook without a name, so a request for one is not Helm's; in a
/// file `check` takes it for Helm's, and says that Helm will refuse it.
pub(crate) fn as_sent(manifest: &str) -> String {
    let mut sent: Value = serde_json::from_str(manifest).unwrap();
    if sent["metadata"]["name"].is_null() {
        sent["metadata"]["managedFields"] = json!([{"manager": "helm", "operation": "Update"}]);
    }
    sent.to_string()
}

/// What the server finds in a review that it now gets, and that the recorder got before.
fn by_server(warden: &Warden, review: &Recorded, judged: bool) -> BTreeSet<Finding> {
    let answer = warden.post(&review.path, &review.body);
    assert!(!answer.to_string().contains(SECRET), "{answer:#}");
    let response = &answer["response"];
    let uid = review.request()["uid"].clone();
    assert_eq!(response["uid"], uid);
    if response["allowed"] == true && (review.path == "/mutate" || !judged) {
        return BTreeSet::new();
    }
    let decision = warden.decision("of a recorded review", |decision| decision["uid"] == uid);
    assert_eq!(
        response["allowed"],
        decision["verdict"] != "denied",
        "{answer:#}\n{decision:#}"
    );
    assert!(!decision.to_string().contains(SECRET), "{decision:#}");
    findings(decision["findings"].as_array().unwrap())
}

/// The findings of a report or a decision, except that a name is old.
pub(crate) fn findings<'a>(list: impl IntoIterator<Item = &'a Value>) -> BTreeSet<Finding> {
    let list = list.into_iter();
    list.filter(|finding| finding["rule"] != STALE_TIMESTAMP)
        .map(|finding| {
            let text = |key| finding[key].as_str().unwrap_or_default().to_owned();
            (text("rule"), text("action"), text("path"), text("detail"))
        })
        .collect()
}

/// Every Job of the fixtures of this kind; those of the charts also with the label that marks them.
pub(crate) fn cases(kind: &str) -> Vec<Case> {
    let mut jobs = match kind {
        "charts" => charts(),
        _ => RULES.iter().flat_map(|rule| of_rule(kind, rule)).collect(),
    };
    for (_, job) in &mut jobs {
        // The test's own namespace, and a time of its own: the server's.
        let metadata = job["metadata"].as_object_mut().unwrap();
        metadata.remove("namespace");
        metadata.remove("creationTimestamp");
    }
    let case = |(origin, job): (String, Value)| Case {
        origin,
        manifest: job.to_string(),
    };
    jobs.into_iter().map(case).collect()
}

fn of_rule(kind: &str, rule: &Rule) -> Vec<(String, Value)> {
    if matches!(rule.scope, Scope::Cluster(_)) {
        return Vec::new();
    }
    let cases = testing::cases(rule.name);
    let cases = if kind == "pass" {
        cases.pass
    } else {
        cases.fail
    };
    let origin = |name: &str| format!("{kind} of {}, {name}", rule.name);
    let cases = cases.into_iter();
    cases.map(|case| (origin(&case.name), case.job)).collect()
}

fn charts() -> Vec<(String, Value)> {
    let files = fs::read_dir(testing::fixtures().join("charts")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.retain(|file| !file.ends_with("expected.yaml"));
    let mut jobs = Vec::new();
    for file in files {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&fs::read_to_string(&file).unwrap()).unwrap();
        for (i, mut job) in documents.into_iter().enumerate() {
            let origin = format!("{}, document {i}", file.display());
            jobs.push((origin.clone(), job.clone()));
            job["metadata"]["labels"]["migration-warden.io/migration"] = json!("true");
            jobs.push((format!("{origin}, labelled"), job));
        }
    }
    jobs
}
