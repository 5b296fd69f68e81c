//! One valid Job, what each test changes in it, and the review that carries it.
//!
//! The unit tests (`crate::testing`), the tests beside this file and the benchmarks compile it, so it uses nothing of
//! the program.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code, of which each crate uses a part"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// `apiVersion` and `kind` of a policy; its keys follow.
pub const POLICY: &str = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";

/// A migration Job that breaks no rule in any profile, as text.
pub const VALID_JOB: &str = include_str!("../fixtures/valid_job.yaml");

/// A migration Job that breaks no rule in any profile, changed by `tweak`.
pub fn job(tweak: impl FnOnce(&mut Value)) -> Value {
    let mut job = serde_saphyr::from_str(VALID_JOB).unwrap();
    tweak(&mut job);
    job
}

/// The review of a request to create `object` that an API server sends.
pub fn review(object: &Value) -> Value {
    let kind = object["kind"].as_str().unwrap_or("Job");
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "batch", "version": "v1", "kind": kind},
            "resource": {"group": "batch", "version": "v1", "resource": format!("{}s", kind.to_lowercase())},
            "name": object["metadata"]["name"],
            "namespace": object["metadata"]["namespace"].as_str().unwrap_or("shop"),
            "operation": "CREATE",
            "userInfo": {"username": "ci", "groups": ["system:authenticated"]},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

/// The review of a request to delete `object`.
pub fn deletion(object: &Value) -> Value {
    let mut review = review(object);
    let request = &mut review["request"];
    request["operation"] = json!("DELETE");
    request["oldObject"] = request["object"].take();
    request["options"] = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
    review
}

/// An exception of [`job`] from MW004, changed by `change`, a merge patch: the time is 2026-11-25T12:00:00Z.
pub fn exception(change: &Value) -> Value {
    let mut exception = json!({
        "apiVersion": "migration-warden.io/v1alpha1",
        "kind": "MigrationException",
        "metadata": {"name": "restart", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-11-25T11:00:00Z"},
        "spec": {
            "rules": ["MW004"],
            "selector": {"names": ["shop-migrate-*"]},
            "reason": "the old image needs it",
            "expiresAt": "2026-11-26T12:00:00Z",
        },
    });
    merge(&mut exception, Some(change));
    exception
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The data in a file of `fixtures`, given without its ending.
pub fn table<T: DeserializeOwned>(name: &str) -> T {
    let path = fixtures().join(name).with_extension("yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A Job of `fixtures/rules`.
pub struct Case {
    pub name: String,
    /// A part of the finding: the value at fault. In `told`: the findings of the rule, word for word.
    pub says: String,
    /// Ids of the other rules that the Job breaks.
    pub also: Vec<String>,
    /// Options of the rule.
    pub options: Value,
    pub job: Value,
}

/// The Jobs that break the rule of this name, those that come close and break no rule, and those with exact findings.
pub struct Cases {
    pub fail: Vec<Case>,
    pub pass: Vec<Case>,
    pub told: Vec<Case>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default)]
    says: String,
    #[serde(default)]
    also: Vec<String>,
    options: Option<Value>,
    metadata: Option<Value>,
    spec: Option<Value>,
    /// The part of `spec.template.spec`.
    pod: Option<Value>,
    /// The part of the container `migrate`.
    container: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Changes each Job of `fail` first.
    #[serde(default)]
    base: Change,
    fail: BTreeMap<String, Change>,
    pass: BTreeMap<String, Change>,
    #[serde(default)]
    told: BTreeMap<String, Change>,
}

pub fn cases(rule: &str) -> Cases {
    let file: File = table(&format!("rules/{rule}"));
    Cases {
        fail: jobs(&file.base, file.fail),
        pass: jobs(&Change::default(), file.pass),
        told: jobs(&Change::default(), file.told),
    }
}

fn jobs(base: &Change, changes: BTreeMap<String, Change>) -> Vec<Case> {
    let mut seconds = 1_766_361_600..;
    let cases = changes.into_iter().map(|(name, change)| {
        let mut job = job(|job| change_by(base, job));
        // No two Jobs of a file have the same name.
        let stem = job["metadata"]["name"].as_str().unwrap();
        let stem = stem.trim_end_matches("1766361600");
        job["metadata"]["name"] = json!(format!("{stem}{}", seconds.next().unwrap()));
        change_by(&change, &mut job);
        let Change { says, also, .. } = change;
        let options = change.options.unwrap_or_else(|| json!({}));
        Case {
            name,
            says,
            also,
            options,
            job,
        }
    });
    cases.collect()
}

fn change_by(change: &Change, job: &mut Value) {
    let parts = [("metadata", &change.metadata), ("spec", &change.spec)];
    for (key, part) in parts {
        merge(&mut job[key], part.as_ref());
    }
    let pod = &mut job["spec"]["template"]["spec"];
    merge(pod, change.pod.as_ref());
    let containers = pod["containers"].as_array_mut();
    let migrate = containers.and_then(|all| all.iter_mut().find(|c| c["name"] == "migrate"));
    if let Some(migrate) = migrate {
        merge(migrate, change.container.as_ref());
    }
}

/// A JSON merge patch (RFC 7386), except that lists whose elements have names are merged by name.
pub fn merge(target: &mut Value, patch: Option<&Value>) {
    match patch {
        None => {}
        Some(Value::Object(patch)) => {
            if !target.is_object() {
                *target = json!({});
            }
            let target = target.as_object_mut().unwrap();
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), Some(value));
                }
            }
        }
        Some(Value::Array(patch)) if are_named(patch) => {
            if !target.is_array() {
                *target = json!([]);
            }
            let target = target.as_array_mut().unwrap();
            for element in patch {
                let at = target.iter().position(|t| t["name"] == element["name"]);
                let at = at.unwrap_or_else(|| {
                    target.push(Value::Null);
                    target.len() - 1
                });
                merge(&mut target[at], Some(element));
            }
        }
        Some(patch) => *target = patch.clone(),
    }
}

fn are_named(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(|element| element["name"].is_string())
}
