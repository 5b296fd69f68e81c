//! `scan` and `history` against an apiserver of ours, which has many objects, or none, or forgets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod apiserver;
mod shown;

use std::collections::HashMap;

use serde_json::{Value, json};

use apiserver::{Apiserver, failure};

/// A migration Job that is restarted.
fn broken(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "creationTimestamp": "2025-12-22T00:00:01Z",
            "labels": {"app.kubernetes.io/component": "migration", "app.kubernetes.io/instance": "shop"},
            "annotations": {
                "helm.sh/hook": "pre-install,pre-upgrade",
                "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
                "helm.sh/hook-output-log-policy": "hook-failed",
            },
        },
        "spec": {
            "backoffLimit": 0, "activeDeadlineSeconds": 600,
            "template": {"spec": {
                "restartPolicy": "OnFailure",
                "containers": [{"name": "migrate", "image": "registry.example/shop:1.4.2"}],
            }},
        },
    })
}

const FIRST: &str = "shop-migrate-1766361600";
const SECOND: &str = "shop-migrate-1766361601";

/// A cluster with two pages of Jobs, that has forgotten the first moment when it is asked for the second page.
fn forgetful(path: &str, query: &HashMap<String, String>) -> (u16, Value) {
    let token = query.get("continue").map(String::as_str);
    match (path, token) {
        ("/api/v1/namespaces/shop", None) => (200, json!({"metadata": {"name": "shop"}})),
        ("/apis/batch/v1/namespaces/shop/jobs", None) => (
            200,
            json!({"metadata": {"continue": "old"}, "items": [broken(FIRST)]}),
        ),
        ("/apis/batch/v1/namespaces/shop/jobs", Some("old")) => {
            let (code, mut status) =
                failure(410, "Expired", "The provided continue parameter is too old");
            status["metadata"]["continue"] = json!("now");
            (code, status)
        }
        ("/apis/batch/v1/namespaces/shop/jobs", Some("now")) => {
            (200, json!({"metadata": {}, "items": [broken(SECOND)]}))
        }
        ("/apis/batch/v1/namespaces/shop/cronjobs", None) => {
            (200, json!({"metadata": {}, "items": null}))
        }
        _ => failure(
            404,
            "NotFound",
            "the server could not find the requested resource",
        ),
    }
}

#[test]
fn pages_are_turned_and_a_token_that_is_too_old_is_changed_for_a_new_one() {
    let apiserver = Apiserver::start(forgetful);
    let (code, out, err) = apiserver.run(&["scan", "--format", "json"]);
    assert_eq!(code, 1, "{err}");
    let out: Value = serde_json::from_str(&out).unwrap();
    let jobs: Vec<_> = out["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["action"] == "deny")
        .map(|finding| finding["job"].as_str().unwrap())
        .collect();
    assert_eq!(jobs, [FIRST, SECOND]);
    assert_eq!(
        (&out["objects"], &out["problems"]),
        (&json!(2), &json!(null))
    );
    assert_eq!(
        err,
        "warning: listing jobs.batch in namespace shop took so long that it does not show a single moment: \
         objects that were created or changed meanwhile may be missing\n"
    );
    assert_eq!(
        apiserver.asked(),
        [
            "/api/v1/namespaces/shop - -",
            "/apis/migration-warden.io/v1alpha1/namespaces/shop/migrationexceptions 500 -",
            "/apis/batch/v1/namespaces/shop/jobs 500 -",
            "/apis/batch/v1/namespaces/shop/jobs 500 old",
            "/apis/batch/v1/namespaces/shop/jobs 500 now",
            "/apis/batch/v1/namespaces/shop/cronjobs 500 -",
        ]
    );
}

/// The same without a new token, and later with something that is no list.
fn broken_off(path: &str, query: &HashMap<String, String>) -> (u16, Value) {
    match (path, query.contains_key("continue")) {
        ("/apis/batch/v1/namespaces/shop/jobs", true) => failure(410, "Expired", "too old"),
        ("/apis/batch/v1/namespaces/shop/cronjobs", _) => (200, json!({"items": "s3cr3t-string"})),
        _ => forgetful(path, query),
    }
}

#[test]
fn a_report_has_its_end_whatever_happens() {
    let apiserver = Apiserver::start(broken_off);
    let (code, out, err) = apiserver.run(&["scan", "--format", "json"]);
    assert_eq!((code, &*err), (2, ""));
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["summary"]["deny"], 1);
    let problems = out["problems"].as_array().unwrap();
    let server = apiserver.name();
    assert_eq!(
        problems[0]["message"],
        format!("failed to list jobs.batch in namespace shop: {server} answered: too old")
    );
    assert_eq!(
        problems[1]["message"],
        format!(
            "failed to list cronjobs.batch in namespace shop: cannot read the answer of {server}: \
             it has an unexpected value at line 1, column 24"
        )
    );
}

#[test]
fn what_is_not_there_is_told() {
    let apiserver = Apiserver::start(|_, _| failure(404, "NotFound", "404 page not found"));
    let told = |args: &[&str]| {
        let (code, out, err) = apiserver.run(args);
        assert_eq!((code, &*out), (2, ""));
        err
    };
    let server = apiserver.name();
    assert_eq!(
        told(&["history"]),
        format!(
            "error: failed to list migrationruns.migration-warden.io in namespace shop: {server} answered: \
             404 page not found; the cluster has no CRD migrationruns.migration-warden.io, so no runs are recorded; \
             install the CRDs of the chart (crds.enabled)\n"
        )
    );
    assert_eq!(
        told(&["scan", "-n", "nope"]),
        format!("error: failed to get namespaces nope: {server} answered: 404 page not found\n")
    );
    assert_eq!(
        told(&["scan", "--context", "nowhere"]),
        "error: failed to get namespaces default: no answer from the API server at http://127.0.0.1:1: Connection refused\n"
    );
    assert_eq!(
        told(&["verify", "--context", "nowhere"]),
        "error: failed to create a Job as a dry run: no answer from the API server at http://127.0.0.1:1: \
         Connection refused\n"
    );
    assert_eq!(apiserver.asked().len(), 2);
    assert_eq!(
        told(&["history", "--kubeconfig", "no/such/file"]),
        "error: failed to read no/such/file: No such file or directory; name another kubeconfig with --kubeconfig\n"
    );
    let (code, _, err) = apiserver.run(&["scan", "-A", "-n", "shop"]);
    assert_eq!(code, 2);
    assert!(err.contains("cannot be used with"), "{err}");
}

#[test]
fn who_may_not_ask_is_told_what_for() {
    let apiserver = Apiserver::start(|path, _| match path {
        "/apis/batch/v1/namespaces/shop/jobs" => {
            (200, json!({"metadata": {}, "items": [broken(FIRST)]}))
        }
        _ => failure(403, "Forbidden", &format!("User \"me\" cannot read {path}")),
    });
    let server = apiserver.name();
    let (code, out, err) = apiserver.run(&["scan"]);
    assert_eq!((code, &*err), (2, ""));
    assert_eq!(
        out,
        format!(
            "\
job/shop-migrate-1766361600 in shop
  denied    MW004 spec.template.spec.restartPolicy: found \"OnFailure\"

RULE                          DENIED  PATCHED  WARNED  AUDITED  EXEMPTED  INSTEAD
MW004 restarting-pod               1        0       0        0         0  write restartPolicy: Never in the pod template

failed to get namespaces shop: {server} answered: User \"me\" cannot read /api/v1/namespaces/shop; Jobs are checked without its mode and mesh

failed to list migrationexceptions.migration-warden.io in namespace shop: {server} answered: User \"me\" cannot read \
/apis/migration-warden.io/v1alpha1/namespaces/shop/migrationexceptions; Jobs are checked without exceptions

failed to list cronjobs.batch in namespace shop: {server} answered: User \"me\" cannot read /apis/batch/v1/namespaces/shop/cronjobs

1 Job, 0 CronJobs: 1 problem in 1 of 1 migration Job (1 denied)
"
        )
    );
    let (code, out, err) = apiserver.run(&["history"]);
    assert_eq!((code, &*out), (2, ""));
    assert_eq!(
        err,
        format!(
            "error: failed to list migrationruns.migration-warden.io in namespace shop: {server} answered: \
             User \"me\" cannot read /apis/migration-warden.io/v1alpha1/namespaces/shop/migrationruns\n"
        )
    );
}

#[test]
fn an_answer_without_words_is_told_by_its_code_and_one_that_is_too_long_is_an_answer() {
    let silent = Apiserver::start(|_, _| failure(403, "Forbidden", ""));
    let list = "error: failed to list migrationruns.migration-warden.io in namespace shop";
    let server = silent.name();
    let (code, _, err) = silent.run(&["history"]);
    assert_eq!(code, 2);
    assert_eq!(
        err,
        format!("{list}: {server} answered: HTTP 403 Forbidden\n")
    );
    let long = Apiserver::start(|_, _| (200, json!("x".repeat(10 << 20))));
    let server = long.name();
    // Quiet, because 10 MiB may take a busy machine the two seconds after which it says what it waits for.
    let (code, _, err) = long.run(&["history", "-q"]);
    assert_eq!(code, 2);
    let why = format!("cannot read the answer of {server}: an object has more than 10 MiB");
    assert_eq!(err, format!("{list}: {why}\n"));
}

#[test]
fn all_namespaces_are_those_that_the_webhook_is_called_for() {
    let apiserver = Apiserver::start(|_, _| (200, json!({"metadata": {}, "items": []})));
    let (code, out, err) = apiserver.run(&["scan", "-A"]);
    assert_eq!((code, &*err), (0, ""));
    assert_eq!(out, "0 Jobs, 0 CronJobs: no migration Jobs\n");
    let quiet = Apiserver::start(|_, _| (200, json!({"metadata": {}, "items": []})));
    assert_eq!(
        quiet.run(&["scan", "-A", "-q"]),
        (0, String::new(), String::new())
    );
    let asked = apiserver.asked.lock().unwrap();
    let (paths, queries): (Vec<_>, Vec<_>) = asked.iter().cloned().unzip();
    assert_eq!(
        paths,
        [
            "/api/v1/namespaces",
            "/apis/migration-warden.io/v1alpha1/migrationexceptions",
            "/apis/batch/v1/jobs",
            "/apis/batch/v1/cronjobs",
        ]
    );
    let left_out = "metadata.namespace%21%3Dkube-system%2Cmetadata.namespace%21%3Dkube-node-lease";
    let fields: Vec<_> = queries
        .iter()
        .map(|query| query.get("fieldSelector").map(String::as_str))
        .collect();
    assert_eq!(fields, [None, None, Some(left_out), Some(left_out)]);
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_named_with_the_fault() {
    let apiserver = Apiserver::start(|_, _| failure(404, "NotFound", "404 page not found"));
    let told = |args: &[&str]| {
        let (code, out, err) = apiserver.run(args);
        assert_eq!((code, &*out), (2, ""));
        err
    };
    let file = apiserver.kubeconfig();
    for (context, why) in [
        ("nowher", "did you mean nowhere?"),
        ("x", "`kubectl config get-contexts` lists them all"),
    ] {
        assert_eq!(
            told(&["verify", "--context", context]),
            format!("error: {file} has no context {context}; {why}\n")
        );
    }
    let broken = tempfile::NamedTempFile::new().unwrap();
    let path = broken.path().to_str().unwrap();
    for (text, why) in [
        (
            "contexts: []\n",
            " has no current context; name one with --context",
        ),
        (
            "users: [{token: s3cr3t-token\n",
            ":1:9: this is not part of a kubeconfig",
        ),
        (
            "clusters: []\nusers: s3cr3t-token\n",
            ":2:8: this is not part of a kubeconfig",
        ),
    ] {
        std::fs::write(path, text).unwrap();
        assert_eq!(
            told(&["scan", "--kubeconfig", path]),
            format!("error: {path}{why}\n")
        );
    }
    assert_eq!(apiserver.asked().len(), 0);
}

#[test]
fn an_api_server_that_does_not_answer_is_named() {
    let apiserver = Apiserver::start(|_, _| {
        loop {
            std::thread::park();
        }
    });
    let address = apiserver.address;
    let none = |limit: &str| {
        let server = apiserver.name();
        format!("no answer from {server}: it took longer than {limit} (--request-timeout)\n")
    };
    let (code, out, err) = apiserver.run(&["history", "--request-timeout", "50ms"]);
    assert_eq!((code, &*out), (2, ""));
    let list = "error: failed to list migrationruns.migration-warden.io in namespace shop";
    assert_eq!(err, format!("{list}: {}", none("50 milliseconds")));
    let (code, out, err) = apiserver.run(&["verify", "--request-timeout", "2050ms"]);
    assert_eq!((code, &*out), (2, ""));
    let waiting = format!("note: waiting for the API server at http://{address}");
    let error = "error: failed to create a Job as a dry run";
    assert_eq!(err, format!("{waiting}\n{error}: {}", none("2 seconds")));
}

#[test]
fn quiet_still_warns_of_runs_that_cannot_be_read() {
    let list = |_: &str, _: &HashMap<String, String>| {
        let run = json!({"metadata": {"name": "run-1", "namespace": "shop"}, "spec": 7});
        (200, json!({"metadata": {}, "items": [run]}))
    };
    let warning = "warning: 1 runs are not listed: this version does not know their format\n";
    assert_eq!(
        Apiserver::start(list).run(&["history", "-q"]),
        (0, String::new(), warning.to_owned())
    );
}

#[test]
fn no_runs_are_no_failure() {
    let apiserver = Apiserver::start(|_, _| (200, json!({"metadata": {}, "items": []})));
    assert_eq!(
        apiserver.run(&["history", "--release", "shop"]),
        (
            0,
            String::new(),
            "note: no runs of release shop found in namespace shop\n".to_owned()
        )
    );
    let none = "note: no runs found\n".to_owned();
    assert_eq!(
        apiserver.run(&["history", "-A", "-o", "json"]),
        (0, "[]\n".to_owned(), none)
    );
    assert_eq!(
        apiserver.run(&["history", "-q"]),
        (0, String::new(), String::new())
    );
}
