//! One trace from the client of the apiserver to the verdict, as a real collector gets it from both.

use std::fs;

use k8s_openapi::api::batch::v1::Job;
use kube::{Resource, core::Request};
use serde_json::Value;

use crate::collector::{Collector, blocks, eventually};
use crate::harness::{Chart, Cluster, Guarded, Space, Warden};

const TRACE: &str = "7a3d1c0e5f2b48968b1f0c4d9e6a2753";

/// The value of a line of a span, as the collector writes it.
fn field<'s>(span: &'s str, name: &str) -> &'s str {
    let mut lines = span.lines().map(str::trim);
    let found = lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    });
    found.unwrap_or_default()
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_review_joins_the_apiservers_trace() {
    let port = fs::read_to_string(Cluster::get().file("traces-port")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(&folder, port.trim().parse().unwrap());
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let warden = Warden::with("")
        .cluster()
        .args(&["--otlp-endpoint", &endpoint])
        .serve();
    let space = Guarded::by(warden, Space::new(), |webhooks| webhooks);

    let job: Value = serde_saphyr::from_str(&Chart::good().render("traced")).unwrap();
    let path = Job::url_path(&(), Some(space.name()));
    let mut request = Request::new(path)
        .create(
            &kube::api::PostParams::default(),
            job.to_string().into_bytes(),
        )
        .unwrap();
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01").parse().unwrap();
    request.headers_mut().insert("traceparent", parent);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Cluster::get().client(space.name(), None).await;
        client.request::<Value>(request).await.unwrap();
    });

    for phase in ["mutate", "validate"] {
        let name = format!("POST /{phase}");
        // Both sides send what they have every five seconds.
        eventually(&format!("{name} and its parent in one trace"), || {
            let said = collector.said();
            let spans = blocks(&said, "Span #");
            let ours = spans
                .iter()
                .find(|span| field(span, "Trace ID") == TRACE && field(span, "Name") == name)?;
            let of_apiserver = |span: &&str| {
                field(span, "Trace ID") == TRACE && field(span, "ID") == field(ours, "Parent ID")
            };
            spans
                .iter()
                .copied()
                .any(|span| of_apiserver(&span))
                .then_some(())
        });
    }
}
