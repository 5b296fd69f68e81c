//! Review bytes in, answer bytes out: what the apiserver's contract asks, without a server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod adopted;
mod answers;
mod bounds;
mod events;
mod exceptions;
mod forged;
mod guards;
mod limits;
mod patches;
#[path = "../common/line.rs"]
mod published;
mod selection;
mod stamps;
mod supersede;
#[path = "../common/testing.rs"]
mod testing;
mod waits;

use base64::Engine;
use jiff::{SignedDuration, Timestamp};
use migration_warden::core::admit::{self, Answer, Circumstances, Heard, Question, Unanswered};
use migration_warden::core::exception::Exception;
use migration_warden::core::job::mesh::Mesh;
use migration_warden::core::namespace::NamespaceView;
use migration_warden::core::policy::rules::concurrent_migration::{
    Failures, Holder, Refusal, State,
};
use migration_warden::core::policy::verdict::Outcome;
use migration_warden::core::policy::{Action, Policy};
use migration_warden::core::policy_file::validate;
use migration_warden::core::review::Phase::{self, Mutate, Validate};
use serde_json::{Value, json};
use testing::{POLICY, review};
use uuid::Uuid;

const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";
/// Of the decision, and of the moment at which these tests are.
const ID: &str = "019b435b-2388-7000-8000-000000000007";

/// The valid Job as an API server sends it when Helm creates it.
fn job() -> Value {
    testing::job(|job| {
        job["metadata"]["managedFields"] = json!([{"manager": "helm", "operation": "Update"}]);
    })
}

fn changed(tweak: impl FnOnce(&mut Value)) -> Value {
    let mut job = job();
    tweak(&mut job);
    review(&job)
}

fn policy(rules: &str) -> Policy {
    validate::read("policy.yaml", &format!("{POLICY}{rules}")).unwrap()
}

fn ask_bytes(
    phase: Phase,
    body: &[u8],
    policy: &Policy,
    view: NamespaceView,
) -> Result<Answer, Unanswered> {
    let review = admit::parse(phase, body)?;
    match review.select(policy) {
        Some(case) => case.judge(&circumstances(), view).finish(),
        None => review.allowed(),
    }
}

fn circumstances() -> Circumstances<'static> {
    Circumstances {
        now: Timestamp::from_second(1_766_361_605).unwrap(),
        id: Uuid::parse_str(ID).unwrap(),
        replica: "warden-0",
    }
}

fn ask(phase: Phase, review: &Value, policy: &Policy) -> (Answer, Value) {
    let answer = ask_bytes(
        phase,
        review.to_string().as_bytes(),
        policy,
        NamespaceView::default(),
    )
    .unwrap();
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(body["kind"], "AdmissionReview");
    assert_eq!(body["response"]["uid"], UID);
    // The apiserver refuses one without the other, and either from a validating webhook.
    assert_eq!(
        body["response"]["patch"].is_null(),
        body["response"]["patchType"].is_null()
    );
    assert!(phase == Mutate || body["response"]["patch"].is_null());
    let response = body["response"].clone();
    if answer.line.is_some() {
        line(&answer);
    }
    (answer, response)
}

fn line(answer: &Answer) -> Value {
    let line = serde_json::from_slice(answer.line.as_deref().expect("a decision")).unwrap();
    published::is_as_published(&line);
    line
}

/// Applies the answer's patch to the object of the review.
fn patched(review: &Value, response: &Value) -> Value {
    assert_eq!(response["patchType"], "JSONPatch");
    let text = response["patch"].as_str().expect("a patch");
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .expect("base64");
    let patch: json_patch::Patch = serde_json::from_slice(&bytes).unwrap();
    let mut review = review.clone();
    json_patch::patch(&mut review["request"]["object"], &patch).expect("the patch applies");
    review
}

/// The stamps of an object, by the last part of their names.
fn stamps(object: &Value) -> Value {
    let annotations = object["metadata"]["annotations"].as_object();
    let stamps = annotations
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| {
            let key = key.strip_prefix("migration-warden.io/")?;
            Some((key.to_owned(), value.clone()))
        });
    Value::Object(stamps.collect())
}

/// What `/mutate` stamps a Job with.
fn stamped(review: &Value, policy: &Policy, view: NamespaceView) -> Value {
    let body = review.to_string();
    let answer = ask_bytes(Mutate, body.as_bytes(), policy, view).unwrap();
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let patched = patched(review, &body["response"]);
    stamps(&patched["request"]["object"])
}

/// The review of what happens to a stored Job, as an apiserver sends it.
fn later(operation: &str, tweak: impl FnOnce(&mut Value)) -> Value {
    let mut stored = job();
    stored["metadata"]["uid"] = json!("0a1b");
    stored["status"] = json!({"ready": 1, "active": 1, "uncountedTerminatedPods": {}});
    tweak(&mut stored);
    if operation == "DELETE" {
        return testing::deletion(&stored);
    }
    let mut review = review(&stored);
    review["request"]["operation"] = json!(operation);
    review["request"]["oldObject"] = stored;
    review["request"]["options"] = json!({"kind": "UpdateOptions", "fieldManager": "helm"});
    review
}

fn finished(job: &mut Value) {
    job["status"] = json!({"ready": 0, "conditions": [{"type": "Complete", "status": "True"}]});
}

/// The namespace with an exception from these rules for all of its Jobs.
fn excepting(rules: &[&str]) -> NamespaceView {
    let object = testing::exception(&json!({
        "metadata": {"name": "hotfix", "creationTimestamp": "2025-12-21T00:00:00Z"},
        "spec": {"rules": rules, "selector": {"names": ["*"]}, "expiresAt": "2025-12-23T00:00:00Z"},
    }));
    let object = serde_json::from_value(object).unwrap();
    let exception = Exception::new(&object, Timestamp::UNIX_EPOCH).unwrap();
    NamespaceView {
        exceptions: vec![exception.into()],
        ..NamespaceView::default()
    }
}
