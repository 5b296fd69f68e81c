//! The `ValidatingAdmissionPolicy` of the chart is the one that `generate vap` would make.

use std::path::Path;

use migration_warden::core::generate::vap::{self, FailurePolicy, Settings, ValidationAction};
use serde_json::Value;

use super::{Rendered, render};
use crate::harness::{CHART, Helm, Space};

const KINDS: [&str; 2] = [
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

fn set(space: &Space, set: &str) -> Rendered {
    render(space, Path::new(&format!("{CHART}/ci/{set}-values.yaml")))
}

/// Not a letter of it is the template's own but the labels.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_net_is_the_generated_one() {
    let space = Space::new();
    let rendered = set(&space, "vap");
    let (policy, _) = rendered.policy();
    let excluded = [space.name(), "kube-public", "default"];
    let settings = Settings {
        name: "migration-warden-release-migration-warden".to_owned(),
        actions: vec![ValidationAction::Audit, ValidationAction::Deny],
        failure_policy: FailurePolicy::Ignore,
        excluded_namespaces: excluded.map(str::to_owned).to_vec(),
    };
    let mut made = 0;
    for expected in vap::manifests(&policy, &settings) {
        let found = KINDS.iter().flat_map(|kind| rendered.of(kind));
        let found: Vec<Value> = found
            .map(|object| {
                let mut object = object.clone();
                object["metadata"].as_object_mut().unwrap().remove("labels");
                object
            })
            .collect();
        assert!(found.contains(&expected), "{expected:#}\n{found:#?}");
        made += 1;
    }
    let found: usize = KINDS.map(|kind| rendered.of(kind).len()).iter().sum();
    assert_eq!(found, made);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn there_is_none_unless_asked_for() {
    let space = Space::new();
    let rendered = set(&space, "default");
    for kind in KINDS {
        assert!(rendered.of(kind).is_empty(), "{kind}");
    }
}

/// Of another policy the chart has none, and says how to make it.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_it_cannot_be_is_refused() {
    let space = Space::new();
    let command = format!(
        "run: migration-warden generate vap --config policy.yaml --action Warn,Audit \
         --failure-policy Fail --excluded-namespaces {},dev | kubectl apply -f -",
        space.name()
    );
    for (values, answers) in [
        (
            "policy.profile=strict",
            ["policy.profile is another", &*command],
        ),
        (
            "policy.rules.MW011=deny",
            ["policy.rules is another", &*command],
        ),
        (
            "policy.namespaces[0].names={dev-*},policy.namespaces[0].mode=warn",
            ["policy.namespaces is another", &*command],
        ),
        (
            "validatingAdmissionPolicy.actions={Deny,Warn}",
            [
                "validatingAdmissionPolicy.actions: the apiserver takes Deny or Warn, not both",
                "",
            ],
        ),
    ] {
        let on = "validatingAdmissionPolicy.enabled=true,webhooks.excludedNamespaces={dev}";
        for helm in Helm::BOTH {
            let args = ["template", "release", CHART, "--set", on, "--set", values];
            let refused = space.helm(helm, &args).fails();
            refused.says(answers[0]).says(answers[1]);
        }
        // Without the net the policy is as good as any.
        if values.starts_with("policy.") {
            let args = ["template", "release", CHART, "--set", values];
            space.helm(Helm::V4, &args).succeeds();
        }
    }
}
