//! What is never held up.

use serde_json::json;

use super::{by_hand, complete, create, deletion, guarded, is_gone, running};
use crate::harness::{Chart, Guarded, Outcome, Space, Warden, Webhooks, eventually};

/// Who deleted this Job, by the apiserver's own log.
fn deleter(space: &Space, job: &str) -> String {
    eventually("the deletion to be in the audit log", || {
        let events = ["delete", "deletecollection"]
            .map(|verb| space.audit(verb))
            .concat();
        let event = events.iter().find(|event| {
            event["responseStatus"]["code"] == 200
                && (event["verb"] == "deletecollection" || event["objectRef"]["name"] == *job)
        })?;
        Some(event["user"]["username"].as_str()?.to_owned())
    })
}

/// No deletion was even asked about.
fn nobody_was_asked(space: &Guarded) {
    let asked = space.warden.decisions().into_iter();
    let asked: Vec<_> = asked.filter(|d| d["operation"] == "DELETE").collect();
    assert!(asked.is_empty(), "{asked:#?}");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_namespace_that_is_deleted() {
    let space = guarded("");
    let job = running(&space, "app");
    let name = space.name().to_owned();
    space.kubectl(&["delete", "namespace", &name]).succeeds();
    is_gone(&space, &job);
    nobody_was_asked(&space);
}

/// Whoever helps a namespace to go deletes what is in it.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_whose_namespace_is_going() {
    let space = guarded("");
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "hold", "finalizers": ["e2e.migration-warden.io/hold"]},
    });
    space
        .kubectl_with(&["create", "-f", "-"], &config_map.to_string())
        .succeeds();
    // The namespace waits for it, and for the Job.
    let held = by_hand().with(
        "metadata:\n  name",
        "metadata:\n  finalizers: [e2e.migration-warden.io/hold]\n  name",
    );
    let job = create(&space, &held, "app");
    super::run(&space, &job);
    let delete = ["delete", "job", &job, "--wait=false"];
    space.kubectl(&delete).fails().says("MW102");
    let name = space.name().to_owned();
    space
        .kubectl(&["delete", "namespace", &name, "--wait=false"])
        .succeeds();
    // At once: the watch of namespaces may not have heard of it.
    space.kubectl(&delete).succeeds();
    for kind in [("job", &*job), ("configmap", "hold")] {
        let free = ["patch", kind.0, kind.1, "--type=merge", "--patch"];
        let patch = [&free[..], &[r#"{"metadata":{"finalizers":null}}"#]].concat();
        space.kubectl(&patch).succeeds();
    }
    is_gone(&space, &job);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn garbage_collection() {
    let space = guarded("");
    space.kubectl(&["create", "configmap", "owner"]).succeeds();
    let uid = space.get("configmap", "owner")["metadata"]["uid"].clone();
    let owner = format!(
        "metadata:\n  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]\n  name"
    );
    let job = create(&space, &by_hand().with("metadata:\n  name", &owner), "app");
    super::run(&space, &job);
    space.kubectl(&["delete", "configmap", "owner"]).succeeds();
    is_gone(&space, &job);
    let collector = "system:serviceaccount:kube-system:generic-garbage-collector";
    assert_eq!(deleter(&space, &job), collector);
    nobody_was_asked(&space);
}

/// What a drain of the node asks for, pod by pod: the Job stays, and its controller makes another pod.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn an_eviction() {
    let space = guarded("");
    let waiting = Chart::good().with(
        "spec:\n  template:\n    spec:\n",
        "spec:\n  template:\n    spec:\n      nodeSelector: {none: such}\n",
    );
    let job = create(&space, &waiting, "app");
    let label = format!("batch.kubernetes.io/job-name={job}");
    let pod = eventually("the pod", || {
        let pods = space.kubectl(&["get", "pods", "--selector", &label, "-o", "json"]);
        let pods = pods.succeeds().json();
        Some(pods["items"][0]["metadata"]["name"].as_str()?.to_owned())
    });
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": space.name()},
    });
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", space.name());
    let evict = ["create", "--raw", &path, "-f", "-"];
    space.kubectl_with(&evict, &eviction.to_string()).succeeds();
    eventually("the pod to go", || {
        let found = space.kubectl(&["get", "pod", &pod]);
        found.stderr.contains("NotFound").then_some(())
    });
    nobody_was_asked(&space);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_time_to_live() {
    let space = guarded("rules: {MW012: off}\n");
    let short = Chart::good().with(
        "spec:\n  template:",
        "spec:\n  ttlSecondsAfterFinished: 1\n  template:",
    );
    let job = create(&space, &short, "app");
    is_gone(&space, &job);
    let controller = "system:serviceaccount:kube-system:ttl-after-finished-controller";
    assert_eq!(deleter(&space, &job), controller);
    nobody_was_asked(&space);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_has_ended_and_what_never_started() {
    let space = guarded("");
    let idle = create(&space, &by_hand(), "idle");
    let done = create(&space, &by_hand(), "done");
    complete(&space, &done);
    for job in [idle, done] {
        space.kubectl(&["delete", "job", &job]).succeeds();
        let decision = deletion(&space, &job);
        assert_eq!(decision["verdict"], "allowed", "{decision:#}");
        assert_eq!(decision["findings"], json!([]));
    }
}

/// Finalizers, labels, suspension, a time to live: whatever is written to a Job that runs or has ended.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn updates_of_every_other_kind() {
    let space = guarded("");
    let job = running(&space, "app");
    let patch = |patch: serde_json::Value| -> Outcome {
        let patch = patch.to_string();
        let by = "--field-manager=helm";
        let args = ["patch", "job", &job, "--type=merge", by, "--patch", &patch];
        space.kubectl(&args).succeeds()
    };
    let changes = [
        json!({"metadata": {"labels": {"touched": "yes"}}}),
        json!({"metadata": {"finalizers": ["e2e.migration-warden.io/hold"]}}),
        // By its status it ended long ago.
        json!({"spec": {"ttlSecondsAfterFinished": 2_000_000_000}}),
        json!({"spec": {"suspend": true}}),
        json!({"spec": {"suspend": false}}),
        json!({"metadata": {"finalizers": null}}),
    ];
    for change in changes {
        patch(change).never_says("MW");
    }
    complete(&space, &job);
    let label = ["label", "job", &job, "touched=no", "--overwrite"];
    space.kubectl(&label).succeeds().never_says("MW");
}

/// Where nothing answers, everything goes on.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn everything_while_the_webhook_is_down() {
    let warden = Warden::with("").cluster().serve();
    let mut space = Guarded::by(warden, Space::new(), Webhooks::guarding);
    let job = running(&space, "app");
    space.warden.kill();
    space.kubectl(&["delete", "job", &job]).succeeds();
    is_gone(&space, &job);
}
