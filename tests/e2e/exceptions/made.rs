//! Making exceptions: who may, and what the apiserver takes.

use std::fs;

use jiff::SignedDuration;
use serde_json::json;

use super::{crd, create, exception};
use crate::harness::{Space, chart_role};

/// The apiserver tells at once what is wrong with one.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_makes_no_sense_is_refused() {
    let _crd = crd::installed();
    let space = Space::new();
    for (pointer, value, answer) in [
        (
            "/spec/rules/0",
            json!("MW04"),
            "Unsupported value: \"MW04\"",
        ),
        (
            "/spec/rules",
            json!([]),
            "spec.rules in body should have at least 1 items",
        ),
        (
            "/spec/reason",
            json!("because"),
            "spec.reason in body should be at least 8 chars long",
        ),
        (
            "/spec/expiresAt",
            json!("tomorrow"),
            "spec.expiresAt in body must be of type date-time",
        ),
        (
            "/spec/selector",
            json!({}),
            "select some Jobs: matchLabels, matchExpressions or names; names: ['*'] means every migration Job of \
             the namespace",
        ),
        (
            "/spec/selector",
            json!({"names": []}),
            "spec.selector.names in body should have at least 1 items",
        ),
        (
            "/spec/selector",
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            "In and NotIn need values, Exists and DoesNotExist take none",
        ),
        (
            "/spec/selector",
            json!({"labels": {"a": "b"}}),
            "unknown field \"spec.selector.labels\"",
        ),
    ] {
        let mut bad = exception("bad", SignedDuration::from_hours(1));
        *bad.pointer_mut(pointer).unwrap() = value;
        create(&space, &bad).fails().says(answer);
    }
    let explained = space.kubectl(&["explain", "mex.spec"]).succeeds().stdout;
    assert!(
        explained.contains("Why the Jobs may break the rules, for later readers."),
        "{explained}"
    );
}

/// RBAC decides: who has the chart's role may make them, and who may edit everything else may not.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn whoever_has_the_role_may_make_them() {
    let _crd = crd::installed();
    let space = Space::new();
    chart_role(&space, "-exception-editor");
    for (user, role) in [("editor", space.name()), ("tenant", "admin")] {
        let bind = [
            "create",
            "rolebinding",
            user,
            "--user",
            user,
            "--clusterrole",
            role,
        ];
        space.kubectl(&bind).succeeds();
    }
    let make = |user: &str| {
        let object = exception(&format!("by-{user}"), SignedDuration::from_hours(1));
        space.kubectl_with(&["create", "--as", user, "-f", "-"], &object.to_string())
    };
    make("editor").succeeds();
    let refused = make("tenant").fails();
    refused.says("User \"tenant\" cannot create resource \"migrationexceptions\"");
    // Of his own namespace alone.
    let other = Space::new();
    let elsewhere = exception("elsewhere", SignedDuration::from_hours(1)).to_string();
    let refused = other.kubectl_with(&["create", "--as", "editor", "-f", "-"], &elsewhere);
    refused.fails().says("cannot create resource");
    for verb in ["get", "update", "delete"] {
        let ask = [
            "auth",
            "can-i",
            verb,
            "migrationexceptions",
            "--as",
            "editor",
        ];
        space.kubectl(&ask).succeeds();
    }
}

/// `check` and the apiserver take and refuse the same files.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_example_is_taken() {
    let _crd = crd::installed();
    let space = Space::new();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/exception.yaml");
    let example = fs::read_to_string(path).unwrap();
    let args = ["create", "--dry-run=server", "-f", "-"];
    space
        .kubectl_with(&args, &example.replace("namespace: shop", ""))
        .succeeds();
}
