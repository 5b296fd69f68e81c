//! What the pages about `scan` and `history` show is what the programs print.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::apiserver::Apiserver;

/// The example Job, and what else the pages speak of.
fn cluster(path: &str, _: &HashMap<String, String>) -> (u16, Value) {
    let example = include_str!("../../docs/examples/job.yaml");
    let job: Value = serde_saphyr::from_str(example).unwrap();
    let labels =
        json!({"app.kubernetes.io/component": "migration", "app.kubernetes.io/instance": "pay"});
    let mut pay = job.clone();
    pay["metadata"]["namespace"] = json!("pay");
    pay["metadata"]["labels"] = labels.clone();
    pay["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    pay["metadata"]["name"] = json!("pay-migrate-1795500000");
    pay["metadata"]["creationTimestamp"] = json!("2026-11-24T06:00:01Z");
    pay["metadata"]["annotations"]["helm.sh/hook-delete-policy"] = json!("before-hook-creation");
    let mut template = job["spec"].clone();
    template["template"]["spec"]["restartPolicy"] = json!("OnFailure");
    let nightly = json!({
        "metadata": {"name": "pay-nightly", "namespace": "pay", "labels": labels},
        "spec": {"jobTemplate": {"metadata": {"annotations": job["metadata"]["annotations"]}, "spec": template}},
    });
    let warns = json!({"name": "pay", "labels": {"migration-warden.io/mode": "warn"}});
    let items = match path {
        "/api/v1/namespaces" => json!([{"metadata": warns}]),
        "/apis/batch/v1/jobs" => json!([pay, job]),
        "/apis/batch/v1/cronjobs" => json!([nightly]),
        "/apis/migration-warden.io/v1alpha1/namespaces/shop/migrationruns" => runs(),
        _ => json!([]),
    };
    (200, json!({"metadata": {}, "items": items}))
}

fn runs() -> Value {
    let run = |stamp: &str, attempt: i32, status: &Value| {
        json!({
            "metadata": {"name": format!("run-{stamp}"), "namespace": "shop"},
            "spec": {
                "job": {"name": format!("shop-migrate-{stamp}"), "uid": "705ab4f5-6393-11e8-b7cc-42010a800002"},
                "release": {"name": "shop", "source": "instance-label"},
                "migration": "shop-migrate", "chart": "shop-1.4.2", "tool": "atlas", "deployer": "Helm",
                "images": ["registry.example.com/shop:1.4.2"], "requestedBy": "ci", "reviewed": true,
                "decision": "01a204ca-c67a-7567-9db1-6e854088d7b1", "attempt": attempt,
            },
            "status": status,
        })
    };
    let mut unseen = run(
        "1795578600",
        2,
        &json!({"outcome": "Deleted", "admittedAt": "2026-11-25T03:50:00Z", "finishedAt": "2026-11-25T03:50:41Z"}),
    );
    unseen["spec"]["reviewed"] = json!(false);
    unseen["spec"]["requestedBy"].take();
    unseen["spec"]["decision"].take();
    json!([
        run(
            "1795490530",
            1,
            &json!({"outcome": "Succeeded", "admittedAt": "2026-11-24T03:22:10Z", "finishedAt": "2026-11-24T03:22:14Z"}),
        ),
        run(
            "1795576327",
            1,
            &json!({
                "outcome": "Failed", "admittedAt": "2026-11-25T03:12:07Z", "finishedAt": "2026-11-25T03:13:19Z",
                "reason": "BackoffLimitExceeded", "exitCode": 3, "message": "ERROR: relation \"orders\" already exists",
            }),
        ),
        unseen,
        run(
            "1795579200",
            3,
            &json!({"outcome": "Succeeded", "admittedAt": "2026-11-25T04:00:00Z", "finishedAt": "2026-11-25T04:00:09Z"}),
        ),
    ])
}

#[track_caller]
fn shows(page: &str, args: &[&str], code: i32) {
    let apiserver = Apiserver::start(cluster);
    let (exit, out, err) = apiserver.run(args);
    assert_eq!((exit, &*err), (code, ""));
    let block = format!(
        "```console\n$ migration-warden {}\n{out}```\n",
        args.join(" ")
    );
    let path = format!("{}/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(&block), "{page} should show:\n{block}");
}

#[test]
fn the_page_about_scan_shows_real_output() {
    shows("docs/scan.md", &["scan", "--all-namespaces"], 1);
}

#[test]
fn the_page_about_history_shows_real_output() {
    shows("docs/history.md", &["history", "--release", "shop"], 0);
}
