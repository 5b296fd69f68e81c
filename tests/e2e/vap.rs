//! The generated `ValidatingAdmissionPolicy` alone, on a real apiserver, says what the engine says.

mod grammar;
mod scope;
mod types;

use std::collections::{BTreeMap, BTreeSet};

use migration_warden::core::policy::{rule::Cel, rules};
use serde_json::Value;

use crate::agree::{Case, as_sent, cases};
use crate::harness::{Net, Space, Tried, check, none_differ};
use crate::testing;

/// Every rule denies but the one whose findings change with the clock.
const EVERYTHING: &str = "profile: strict
rules:
  stale-timestamp: off
  blocking-sidecar: deny
  evictable-migration: deny
  opaque-release: deny
  silent-hook: deny
";

/// The rules that the apiserver tells of: in its denial the first, in its warnings all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    denied: Option<String>,
    warned: BTreeSet<String>,
}

impl Told {
    /// Of what the policy of this name says; others may stand in the cluster.
    fn by_apiserver(tried: &Tried, name: &str) -> Self {
        let id = |text: &str| text.chars().take(5).collect();
        let ours = format!("ValidatingAdmissionPolicy '{name}' with");
        let denial = tried.refusal.lines().find(|line| line.contains(&ours));
        let denial = denial.and_then(|line| line.split_once(" denied request: "));
        let warnings = tried
            .warnings
            .iter()
            .filter(|text| text.starts_with("Validation failed for ") && text.contains(&ours));
        Self {
            denied: denial.map(|(_, message)| id(message)),
            warned: warnings
                .map(|text| id(text.split_once("': ").unwrap().1))
                .collect(),
        }
    }

    /// What the engine denies of the rules that the net has.
    fn by_engine(policy: &str, manifest: &str) -> Self {
        let report = check(policy, &as_sent(manifest));
        assert!(matches!(report.code, Some(0 | 1)), "{report}");
        let report = report.json();
        let findings = report["findings"].as_array().unwrap().iter();
        let ids = findings
            .filter(|finding| finding["action"] == "deny")
            .filter_map(|finding| finding["rule"].as_str())
            .filter(|id| matches!(rules::find(id).unwrap().cel, Cel::Expression(_)));
        Self {
            denied: ids.clone().next().map(str::to_owned),
            warned: ids.map(str::to_owned).collect(),
        }
    }
}

/// Sends every case and compares.
fn net_and_engine_agree(policy: &str, cases: &[Case], at_least: usize) {
    let space = Space::new();
    let _net = Net::below(&space, policy, "Deny").and_warns(&space);

    let mut judged: BTreeMap<String, usize> = BTreeMap::new();
    let (mut refused, mut wrong) = (Vec::new(), Vec::new());
    for Case { origin, manifest } in cases {
        let tried = space.try_to_create(manifest);
        let told = Told::by_apiserver(&tried, space.name());
        if !tried.refusal.is_empty() && told.denied.is_none() {
            let reason = tried.refusal.replace('\n', " ");
            // Only what the apiserver itself takes for invalid never comes to the policy.
            assert!(reason.contains(" is invalid: "), "{origin}: {reason}");
            refused.push(format!("{origin}: {reason}"));
            continue;
        }
        let engine = Told::by_engine(policy, manifest);
        if told != engine {
            wrong.push(format!(
                "{origin}\n  engine: {engine:?}\n  net: {told:?}\n{tried:?}"
            ));
        }
        for id in told.warned {
            *judged.entry(id).or_default() += 1;
        }
    }
    eprintln!(
        "{judged:?} of {}; the apiserver itself refused:\n{}",
        cases.len(),
        refused.join("\n")
    );
    none_differ(&wrong);
    let sent = cases.len() - refused.len();
    assert!(sent >= at_least, "only {sent} judged");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_agrees_with_the_engine_on_what_passes() {
    net_and_engine_agree(EVERYTHING, &cases("pass"), 50);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_agrees_with_the_engine_on_what_fails() {
    net_and_engine_agree(EVERYTHING, &cases("fail"), 50);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_agrees_with_the_engine_on_real_charts() {
    net_and_engine_agree(EVERYTHING, &cases("charts"), 30);
    net_and_engine_agree("", &cases("charts"), 30);
}

/// The valid Job with one thing changed.
fn job(origin: impl Into<String>, tweak: impl FnOnce(&mut Value)) -> Case {
    let job = testing::job(|job| {
        job["metadata"].as_object_mut().unwrap().remove("namespace");
        tweak(job);
    });
    Case {
        origin: origin.into(),
        manifest: job.to_string(),
    }
}
