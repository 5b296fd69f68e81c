//! What `scan` says of stored Jobs is what `check` says of their manifests, and the webhook of their creation.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::scan;
use crate::agree::{Case, as_sent, cases};
use crate::harness::{Cluster, Guarded, Outcome, Space, check, eventually, none_differ};

/// The policy that finds most.
const POLICY: &str = "profile: strict\n";

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
        let who = "--field-manager=helm";
        kubectl.args(["create", "--validate=ignore", who, "-f", "-"]);
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
        let checked = check(POLICY, &as_sent(&case.manifest)).json();
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
    scan_check_and_webhook_agree("pass", 100);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn scan_check_and_webhook_agree_on_what_fails() {
    scan_check_and_webhook_agree("fail", 150);
}
