//! The apiserver's own check of the generated expressions.

use serde_json::{Value, json};

use super::EVERYTHING;
use crate::harness::{Net, Space, eventually};

/// The apiserver compares every expression with the types of a Job, and tells what does not fit.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn every_expression_passes_the_apiservers_type_check() {
    let selectors = r#"match:
  selectors:
    - matchLabels: {app: migration, tier: its_v1.0-a}
      matchExpressions:
        - {key: a.example/in, operator: In, values: [b, C.d]}
        - {key: a.example/not-in, operator: NotIn, values: [b, c]}
        - {key: a.example/exists, operator: Exists}
        - {key: a.example/absent, operator: DoesNotExist}
    - matchLabels: {migration: "yes"}
"#;
    let options = "rules:
  missing-hook: {argocd: true}
  wrong-delete-policy: {argocd: true}
  stale-timestamp: {action: deny, maxAge: 10000000h, maxSkew: 500ms}
namespaces:
  - {names: [sandbox-*, a-b], mode: audit}
  - {names: ['*'], mode: warn}
";
    for policy in [
        "",
        "profile: strict\n",
        EVERYTHING,
        "profile: audit\n",
        selectors,
        options,
    ] {
        let space = Space::new();
        let net = Net::apply(&space, policy, "Warn,Audit");
        for policy in net.policies() {
            let name = policy["metadata"]["name"].as_str().unwrap();
            let (stored, warnings) = type_check(&space, name);
            assert_eq!(warnings, Value::Null, "{policy:#}");
            for part in ["validations", "variables", "matchConditions"] {
                assert_eq!(stored["spec"][part], policy["spec"][part], "{name} {part}");
            }
        }
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_apiservers_type_check_finds_what_does_not_fit() {
    let space = Space::new();
    let net = Net::apply(&space, "", "Warn,Audit");
    let patch = json!([{
        "op": "replace",
        "path": "/spec/validations/0/expression",
        "value": "object.spec.suspended == true",
    }])
    .to_string();
    let kind = "validatingadmissionpolicy";
    let args = [
        "patch",
        kind,
        space.name(),
        "--type=json",
        "--patch",
        &patch,
    ];
    space.kubectl(&args).succeeds();
    let (_, warnings) = type_check(&space, space.name());
    assert!(
        warnings.to_string().contains("undefined field 'suspended'"),
        "{warnings}"
    );
    drop(net);
}

/// The policy as it is stored, and what the apiserver's type check says of it.
fn type_check(space: &Space, name: &str) -> (Value, Value) {
    let stored = eventually("the type check", || {
        let policy = space.get("validatingadmissionpolicy", name);
        let checked = &policy["status"]["observedGeneration"];
        (checked == &policy["metadata"]["generation"]).then_some(policy)
    });
    let warnings = stored["status"]["typeChecking"]["expressionWarnings"].clone();
    (stored, warnings)
}
