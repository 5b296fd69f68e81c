//! The chart's webhook configurations, for one namespace.

use std::fs;

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::webhooks::{Registration, register};
use super::{CHART, Helm, Recorder, Space, Warden};

/// Registers what the chart renders for this policy, given without its `apiVersion` and `kind`. `url` says where an
/// entry of this short name and path goes.
fn installed(
    space: &Space,
    policy: &str,
    ca: &str,
    url: impl Fn(&str, &str) -> String,
) -> Registration {
    let policy: Value = serde_saphyr::from_str(policy).unwrap();
    let dir = TempDir::new().unwrap();
    let values = dir.path().join("values.json");
    fs::write(&values, json!({"policy": policy}).to_string()).unwrap();
    let args = [
        "template",
        "release",
        CHART,
        "--values",
        values.to_str().unwrap(),
    ];
    let rendered = space.helm(Helm::V4, &args).succeeds().stdout;
    let rendered: Vec<Value> = serde_saphyr::from_multiple(&rendered).unwrap();
    let configurations = ["Mutating", "Validating"].map(|phase| {
        let kind = format!("{phase}WebhookConfiguration");
        let mut all = rendered.iter();
        let found = all.find(|object| object["kind"] == *kind).unwrap();
        let mut webhooks = found["webhooks"].clone();
        for entry in webhooks.as_array_mut().unwrap() {
            let name = entry["name"].as_str().unwrap();
            let name = name.trim_end_matches(".migration-warden.io");
            let path = entry["clientConfig"]["service"]["path"].as_str().unwrap();
            let client =
                json!({"url": url(name, path), "caBundle": ByteString(ca.as_bytes().to_vec())});
            entry["clientConfig"] = client;
            entry["namespaceSelector"] =
                json!({"matchLabels": {"kubernetes.io/metadata.name": space.name()}});
        }
        (phase, webhooks)
    });
    register(space, space.name(), configurations)
}

/// Reviews go to this server.
pub(crate) fn served(space: &Space, policy: &str, warden: &Warden) -> Registration {
    installed(space, policy, &warden.ca(), |_, path| warden.url(path))
}

/// Reviews go to the recorder, with the short name of the entry as their path.
pub(crate) fn recorded(space: &Space, policy: &str, recorder: &Recorder) -> Registration {
    installed(space, policy, recorder.ca(), |entry, _| {
        recorder.url(&format!("/{entry}"))
    })
}
