//! What `scan` says of stored Jobs is what `check` says of their manifests. That the webhook says of their creation what
//! `check` says is tested in [`crate::agree`].

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::scan;
use crate::agree::{Case, POLICY, as_sent, cases, findings};
use crate::harness::{Cluster, Outcome, Space, check, none_differ};

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

fn scan_and_check_agree(folder: &str, least: usize) {
    let cases = cases(folder);
    let spaces = Spaces::of(&cases);
    let scanned = scan(POLICY, &["-A", "--format", "json"]);
    let report = scanned.json();
    let all = report["findings"].as_array().unwrap();

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
        let ours = findings(all.iter().filter(|finding| finding["namespace"] == *name));
        let checked = check(POLICY, &as_sent(&case.manifest)).json();
        let theirs = findings(checked["findings"].as_array().unwrap());
        if theirs != ours {
            wrong.push(format!(
                "{}\n  only scan: {:?}\n  only check: {:?}",
                case.origin,
                ours.difference(&theirs).collect::<Vec<_>>(),
                theirs.difference(&ours).collect::<Vec<_>>(),
            ));
        }
    }
    eprintln!("{compared} of {} were compared", cases.len());
    none_differ(&wrong);
    assert!(compared >= least, "only {compared} were compared");
    let is_old = |finding: &Value| finding["rule"] == "MW005";
    assert!(all.iter().any(is_old), "the fixtures' names are old");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn scan_and_check_agree_on_what_passes() {
    scan_and_check_agree("pass", 100);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn scan_and_check_agree_on_what_fails() {
    scan_and_check_agree("fail", 150);
}
