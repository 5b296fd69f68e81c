//! Unlabelled Jobs that the policy adopts: the API server's expressions and the engine find the same ones.

mod limits;
mod served;

use std::collections::BTreeMap;
use std::fs;

use migration_warden::core::job::{Job, Kind, object::Object};
use migration_warden::core::policy::Policy;
use migration_warden::core::policy::select::{Adopter, Selection};
use migration_warden::core::policy_file;
use serde_json::{Value, json};

use crate::agree::{Case, cases};
use crate::harness::{
    Cluster, Outcome, Recorder, Space, eventually, generate, installed, none_differ,
};
use crate::testing;

/// Each field of an entry, alone and with others. The fixtures' own label selects nothing here.
const POLICY: &str = r#"
match: {selectors: [{matchLabels: {migration-warden.io/migration: "true"}}]}
detection: {promises: []}
adopt:
  - {name: elsewhere, match: {namespaces: [no-such-*], names: ["*"]}}
  - {name: argocds, match: {hooks: [PreSync, Sync]}}
  - {name: many, match: {images: ["arigaio/atlas:*", "*/rails*", "*kong*"], hooks: [pre-upgrade, post-upgrade], namespaces: ["*"]}}
  - {name: pinned, match: {images: ["*@sha256:*"], names: ["*-migrate-1766361600"], labels: {app.kubernetes.io/instance: shop}}}
  - {name: early, match: {hooks: [pre-install]}}
  - {name: named, match: {names: ["*migrat*", "*-db-*", "m.*"]}}
  - {name: imaged, match: {images: ["ghcr.io/*", "*.gitlab.com/*"]}}
"#;
const LABEL: &str = "migration-warden.io/adopted";

/// A policy, and the names of its entries.
struct Adopting {
    policy: Policy,
    names: Vec<String>,
}

impl Adopting {
    fn new(text: &str) -> Self {
        let header = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
        let policy = policy_file::validate::read("p.yaml", &format!("{header}{text}")).unwrap();
        let written: Value = serde_saphyr::from_str(text).unwrap();
        let entries = written["adopt"].as_array().unwrap().iter();
        let names = entries.map(|entry| entry["name"].as_str().unwrap().to_owned());
        Self {
            policy,
            names: names.collect(),
        }
    }

    /// The entry that the engine finds for a Job.
    fn engine(&self, space: &Space, manifest: &str) -> Option<&str> {
        let object: Object<'_> = serde_json::from_str(manifest).unwrap();
        match self
            .policy
            .select(&Job::new(&object, Kind::Job, space.name()))
        {
            Selection::Adopted(Adopter::Entry(index)) => Some(&self.names[index]),
            _ => None,
        }
    }
}

/// Every Job of the fixtures, the guide's, and Jobs at the edges of what is compared.
fn jobs() -> Vec<Case> {
    let mut all: Vec<Case> = ["pass", "fail", "charts"]
        .into_iter()
        .flat_map(cases)
        .collect();
    all.push(Case {
        origin: "the guide's".to_owned(),
        manifest: guides(),
    });
    let hooks = [
        ("helm.sh/hook", " Pre-Install ,\u{a0}PRE-UPGRADE\t"),
        ("helm.sh/hook", "PRE-\u{130}NSTALL"),
        ("helm.sh/hook", "pre-\u{ef}nstall"),
        ("helm.sh/hook", "PreSync"),
        ("helm.sh/hook", ",,,"),
        ("argocd.argoproj.io/hook", "Skip, PreSync "),
        ("argocd.argoproj.io/hook", "presync"),
        ("argocd.argoproj.io/hook", "pre-install"),
    ];
    all.extend(hooks.map(|(key, value)| {
        job(&format!("{key}: {value:?}"), |job| {
            // Nothing else in it matches.
            job["metadata"]["name"] = "seed".into();
            job["metadata"]["annotations"] = json!({key: value});
        })
    }));
    let names = [
        (json!("seed"), json!("shop-migrate-")),
        (Value::Null, json!("shop-migrate-")),
        (json!("m.x"), Value::Null),
        (json!("mx"), Value::Null),
    ];
    all.extend(names.map(|(name, generate)| {
        job(&format!("{name} and {generate}"), |job| {
            job["metadata"]["annotations"].take();
            job["metadata"]["name"] = name;
            job["metadata"]["generateName"] = generate;
        })
    }));
    for (what, spec) in [
        ("no containers", json!({})),
        ("null containers", json!({"containers": null})),
        ("no image", json!({"containers": [{"name": "a"}]})),
    ] {
        all.push(job(what, |job| job["spec"]["template"]["spec"] = spec));
    }
    all
}

/// The valid Job with one thing changed.
fn job(origin: &str, tweak: impl FnOnce(&mut Value)) -> Case {
    let job = testing::job(|job| {
        job["metadata"].as_object_mut().unwrap().remove("namespace");
        tweak(job);
    });
    Case {
        origin: origin.to_owned(),
        manifest: job.to_string(),
    }
}

/// The guide's Job.
fn guides() -> String {
    let guide = fs::read_to_string(testing::fixtures().join("guide.yaml")).unwrap();
    let guide: Value = serde_saphyr::from_str(&guide).unwrap();
    guide.to_string()
}

/// The chart's entries of `/mutate` never overlap: named Jobs go to the one that fails closed.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_api_server_sends_what_the_engine_adopts() {
    let (recorder, space) = (Recorder::start(), Space::new());
    let _registration = installed::recorded(&space, POLICY, &recorder);
    let adopting = Adopting::new(POLICY);
    let (mut found, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
    for Case { origin, manifest } in jobs() {
        let expected = match adopting.engine(&space, &manifest) {
            Some(name) => {
                *found.entry(name.to_owned()).or_default() += 1;
                "/adopt"
            }
            None if manifest.contains(r#""migration-warden.io/migration":"true""#) => "/mutate",
            None => "/detect-mutate",
        };
        let tried = space.try_to_create(&manifest);
        let paths: Vec<_> = recorder.take().into_iter().map(|of| of.path).collect();
        // A Job that is labelled goes to `/validate`, too. No other one has a label yet: the recorder gives none.
        let mutating: Vec<_> = paths.iter().filter(|path| *path != "/validate").collect();
        if mutating != [expected] || tried.refusal.contains("match condition") {
            wrong.push(format!(
                "{origin}: {expected}, not {paths:?}; {}",
                tried.refusal
            ));
        }
    }
    none_differ(&wrong);
    eprintln!("{found:?}");
    assert_eq!(found.len(), adopting.names.len() - 1, "{found:?}");
}

/// The generated `MutatingAdmissionPolicy`, for one namespace; dropping it deletes it.
struct Labels(String);

impl Labels {
    fn below(space: &Space, policy: &str) -> Self {
        let name = space.name();
        let args = ["--name", name, "--output", "json"];
        let mut list = generate("adopt", policy, &args).succeeds().json();
        list["items"][1]["spec"]["matchResources"] = json!({"namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": name},
        }});
        space
            .kubectl_with(&["create", "-f", "-"], &list.to_string())
            .succeeds();
        Self(name.to_owned())
    }

    /// Waits until the API server, which learns of a policy some time after it was stored, labels this Job.
    fn eventually_labels(self, space: &Space, manifest: &str) -> Self {
        eventually("the policy to take effect", || {
            let tried = space.try_to_create(manifest);
            tried.object["metadata"]["labels"][LABEL]
                .is_string()
                .then_some(())
        });
        self
    }
}

impl Drop for Labels {
    fn drop(&mut self) {
        let kinds = "mutatingadmissionpolicybindings,mutatingadmissionpolicies";
        let mut command = Cluster::get().kubectl();
        let _ = Outcome::of(command.args(["delete", kinds, &self.0]), "");
    }
}

/// No replica runs here, and no webhook is registered.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_generated_policy_labels_what_the_engine_adopts() {
    let (space, adopting) = (Space::new(), Adopting::new(POLICY));
    let early = job("", |_| {}).manifest;
    let _labels = Labels::below(&space, POLICY).eventually_labels(&space, &early);
    let (mut found, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
    for Case { origin, manifest } in jobs() {
        let tried = space.try_to_create(&manifest);
        if !tried.refusal.is_empty() {
            assert!(
                tried.refusal.contains(" is invalid: "),
                "{origin}: {}",
                tried.refusal
            );
            continue;
        }
        let label = tried.object["metadata"]["labels"][LABEL].as_str();
        let expected = adopting.engine(&space, &manifest);
        if label != expected {
            wrong.push(format!("{origin}: {expected:?}, not {label:?}"));
        }
        if let Some(label) = label {
            *found.entry(label.to_owned()).or_default() += 1;
        }
    }
    none_differ(&wrong);
    assert_eq!(found.len(), adopting.names.len() - 1, "{found:?}");
}
