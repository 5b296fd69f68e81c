//! Reading from the API server in this process. A test that waits asks many times, and kubectl takes a tenth of a
//! second of CPU each time.

use std::{sync::OnceLock, thread};

use axum::http::Request;
use kube::Client;
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
    let path = format!("/apis/{version}/namespaces/{namespace}/{plural}");
    let mut list = get(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut items: Vec<Value> = serde_json::from_value(list["items"].take()).unwrap();
    for item in &mut items {
        item["apiVersion"] = json!(version);
        item["kind"] = json!(kind);
    }
    items
}

/// In a thread of its own, as some tests are asynchronous themselves.
fn get(path: &str) -> kube::Result<Value> {
    static READER: OnceLock<(Runtime, Client)> = OnceLock::new();
    let ask = || {
        let (runtime, client) = READER.get_or_init(|| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let client = runtime.block_on(Cluster::get().client("default", None));
            (runtime, client)
        });
        let request = Request::get(path).body(Vec::new()).unwrap();
        runtime.block_on(client.request::<Value>(request))
    };
    thread::scope(|scope| scope.spawn(ask).join().unwrap())
}
