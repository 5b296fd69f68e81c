//! Requests to the API server from this process. kubectl takes a tenth of a second of CPU for each, and a test that
//! waits, or that tries hundreds of Jobs, makes many.

use std::{sync::OnceLock, thread};

use axum::http::{HeaderMap, HeaderValue, Request, request::Builder as Asked};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::Cluster;

/// The Jobs and their kind, as in paths of the API.
pub(crate) const JOBS: (&str, &str, &str) = ("batch/v1", "Job", "jobs");
/// The runs.
pub(crate) const RUNS: (&str, &str, &str) = (
    "migration-warden.io/v1alpha1",
    "MigrationRun",
    "migrationruns",
);

/// All objects of this kind in a namespace, as `kubectl get` prints them.
#[track_caller]
pub(crate) fn all((version, kind, plural): (&str, &str, &str), namespace: &str) -> Vec<Value> {
    let mut items = list(&format!("/apis/{version}/namespaces/{namespace}/{plural}"));
    for item in &mut items {
        item["apiVersion"] = json!(version);
        item["kind"] = json!(kind);
    }
    items
}

/// The pods of all Jobs of the cluster, in one request.
pub(crate) fn pods_of_jobs() -> Vec<Value> {
    list("/api/v1/pods?labelSelector=batch.kubernetes.io/job-name")
}

#[track_caller]
fn list(path: &str) -> Vec<Value> {
    let (code, _, mut list) = send(Request::get(path), String::new());
    assert_eq!(code, 200, "{path}: {list:#}");
    serde_json::from_value(list["items"].take()).unwrap()
}

/// What the API server answers to a dry run of a creation.
#[derive(Debug)]
pub(crate) struct Tried {
    /// Empty where the object would be created.
    pub(crate) refusal: String,
    pub(crate) warnings: Vec<String>,
    /// The object as it would be stored, or the Status.
    pub(crate) object: Value,
}

/// Tries to create this Job as `kubectl create --dry-run=server --validate=ignore --field-manager=helm` does.
pub(crate) fn try_to_create(namespace: &str, job: &str) -> Tried {
    let path = format!(
        "/apis/batch/v1/namespaces/{namespace}/jobs?dryRun=All&fieldValidation=Ignore&fieldManager=helm"
    );
    let request = Request::post(&path).header("Content-Type", "application/json");
    let (code, headers, answer) = send(request, job.to_owned());
    let refusal = match code {
        201 => String::new(),
        _ => answer["message"].as_str().expect("a Status").to_owned(),
    };
    // As in `299 - "text"`; the text has no quote of its own that a test looks for.
    let text = |warning: &HeaderValue| {
        warning.to_str().unwrap()["299 - ".len()..]
            .trim_matches('"')
            .to_owned()
    };
    let warnings = headers.get_all("Warning").iter().map(text).collect();
    Tried {
        refusal,
        warnings,
        object: answer,
    }
}

/// The Job as the API server would store it, if it would.
pub(crate) fn would_store(namespace: &str, job: &str) -> Option<Value> {
    let path = format!(
        "/apis/batch/v1/namespaces/{namespace}/jobs?dryRun=All&fieldValidation=Ignore&fieldManager=helm"
    );
    let request = Request::post(&path).header("Content-Type", "application/json");
    let (code, _, stored) = send(request, job.to_owned());
    (code == 201).then_some(stored)
}

/// In a thread of its own, as some tests are asynchronous themselves.
fn send(request: Asked, body: String) -> (u16, HeaderMap, Value) {
    static SENDER: OnceLock<(Runtime, Client)> = OnceLock::new();
    let ask = || {
        let (runtime, client) = SENDER.get_or_init(|| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let client = runtime.block_on(Cluster::get().client("default", None));
            (runtime, client)
        });
        runtime.block_on(async {
            let request = request.body(Body::from(body.into_bytes())).unwrap();
            let (head, body) = client.send(request).await.unwrap().into_parts();
            let body = body.collect_bytes().await.unwrap();
            (
                head.status.as_u16(),
                head.headers,
                serde_json::from_slice(&body).unwrap(),
            )
        })
    };
    thread::scope(|scope| scope.spawn(ask).join().unwrap())
}
