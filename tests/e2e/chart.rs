//! The chart as both Helms render it, and what a real apiserver says to that. Nothing is installed here.

mod entries;
mod net;
mod pods;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use migration_warden::core::policy::Policy;
use migration_warden::core::policy_file::{self, MigrationPolicy};
use serde_json::{Value, json};

use crate::harness::{CHART, Helm, Space};

/// A value set of the chart's own, and the objects it makes.
struct Rendered {
    set: String,
    objects: Vec<Value>,
}

/// Every value set, rendered for this namespace. Helm renders them once, for the first namespace that asks.
fn rendered(space: &Space) -> Vec<Rendered> {
    static ALL: OnceLock<(String, Vec<Rendered>)> = OnceLock::new();
    let (first, all) = ALL.get_or_init(|| {
        let all = sets().iter().map(|set| render(space, set)).collect();
        (space.name().to_owned(), all)
    });
    let here = |rendered: &Rendered| Rendered {
        set: rendered.set.clone(),
        objects: {
            let text = json!(rendered.objects).to_string();
            serde_json::from_str(&text.replace(first, space.name())).unwrap()
        },
    };
    all.iter().map(here).collect()
}

/// Renders a value set with every Helm, which has to give the same, and the same again.
fn render(space: &Space, set: &Path) -> Rendered {
    let set_name = set.file_stem().unwrap().to_str().unwrap();
    let args = [
        "template",
        "release",
        CHART,
        "--values",
        set.to_str().unwrap(),
    ];
    let [three, four] = Helm::BOTH.map(|helm| {
        let text = space.helm(helm, &args).succeeds().stdout;
        let again = space.helm(helm, &args).succeeds().stdout;
        assert_eq!(text, again, "{set_name} with {helm:?}");
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let mut objects: Vec<Value> = documents.into_iter().filter(|d| !d.is_null()).collect();
        // The Helms know different kinds, and so order them in different ways.
        objects.sort_by_key(|object| {
            (
                object["kind"].to_string(),
                object["metadata"]["name"].to_string(),
            )
        });
        objects
    });
    assert_eq!(three, four, "{set_name}");
    Rendered {
        set: set_name.replace("-values", ""),
        objects: three,
    }
}

fn sets() -> Vec<PathBuf> {
    let files = fs::read_dir(format!("{CHART}/ci")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

impl Rendered {
    fn of(&self, kind: &str) -> Vec<&Value> {
        self.objects
            .iter()
            .filter(|object| object["kind"] == kind)
            .collect()
    }

    fn one(&self, kind: &str) -> &Value {
        let found = self.of(kind);
        assert_eq!(found.len(), 1, "{}: {kind}", self.set);
        found[0]
    }

    /// The policy file, which the program has to take.
    fn policy(&self) -> (Policy, Vec<LabelSelector>) {
        // The other one may be the dashboard's.
        let mut maps = self.of("ConfigMap").into_iter();
        let text = maps.find_map(|map| map["data"]["policy.yaml"].as_str());
        let text = text.unwrap();
        let read = policy_file::validate::read("policy.yaml", text).unwrap();
        let policy: MigrationPolicy = serde_saphyr::from_str(text).unwrap();
        (
            read,
            policy
                .matching
                .selectors
                .into_iter()
                .map(Into::into)
                .collect(),
        )
    }

    /// Names of a configuration's entries.
    fn entries(&self, kind: &str) -> Vec<&str> {
        let webhooks = self.one(kind)["webhooks"].as_array().unwrap();
        webhooks
            .iter()
            .map(|entry| entry["name"].as_str().unwrap())
            .collect()
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn both_helms_find_no_fault_with_it() {
    let space = Space::new();
    for set in sets() {
        for helm in Helm::BOTH {
            let args = ["lint", "--strict", CHART, "--values", set.to_str().unwrap()];
            space.helm(helm, &args).succeeds();
        }
    }
}

/// A typing error fails before anything is installed, and in words.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn bad_values_are_refused() {
    let space = Space::new();
    for (value, answer) in [
        (
            "policy.profile=mild",
            "at '/policy/profile': value must be 'guide'",
        ),
        (
            "policy.match=null",
            "at '/policy': missing property 'match'",
        ),
        (
            "policy.rules.MW011=drop",
            "at '/policy/rules/MW011': value must be one of",
        ),
        (
            "webhooks.failurePolicy=fail",
            "at '/webhooks/failurePolicy': value must be one of 'Fail', 'Ignore'",
        ),
        ("replicas=3", "additional properties 'replicas' not allowed"),
        (
            "certificates.mode=existing-secret",
            "certificates.existingSecret: name the Secret",
        ),
        (
            "certificates.clientCA.secretName=a,certificates.clientCA.configMapName=b",
            "secretName and configMapName are both set",
        ),
        (
            "validatingAdmissionPolicy.actions={Deny,deny}",
            "at '/validatingAdmissionPolicy/actions/1': value must be one of 'Audit', 'Warn', 'Deny'",
        ),
    ] {
        for helm in Helm::BOTH {
            let refused = space.helm(helm, &["install", "release", CHART, "--set", value]);
            refused.fails().says(answer);
        }
    }
}
