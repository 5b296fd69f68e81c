//! Review bytes in, answer bytes out: what the apiserver's contract asks, without a server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "common/line.rs"]
mod published;

use base64::Engine;
use jiff::Timestamp;
use migration_warden::core::admit::{self, Answer, Circumstances, Judged, Unanswered};
use migration_warden::core::exception::Exception;
use migration_warden::core::job::mesh::Mesh;
use migration_warden::core::namespace::NamespaceView;
use migration_warden::core::policy::verdict::Outcome;
use migration_warden::core::policy::{Action, Policy};
use migration_warden::core::policy_file::validate;
use migration_warden::core::review::Phase::{self, Mutate, Validate};
use serde_json::{Value, json};
use uuid::Uuid;

const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";
/// Of the decision, and of the moment at which these tests are.
const ID: &str = "019b435b-2388-7000-8000-000000000007";

/// One valid Job as an apiserver sends it on a client-side create.
fn job() -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "shop-migrate-1766361600",
            "namespace": "shop",
            "labels": {"app.kubernetes.io/component": "migration", "app.kubernetes.io/instance": "shop"},
            "annotations": {
                "helm.sh/hook": "pre-install,pre-upgrade",
                "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
                "helm.sh/hook-output-log-policy": "hook-failed",
            },
            "managedFields": [{"manager": "helm", "operation": "Update"}],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 600,
            "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "m", "image": "shop:1", "args": ["migrate", "apply"]}],
            }},
        },
    })
}

fn review(object: &Value) -> Value {
    let resource = if object["kind"] == "CronJob" {
        "cronjobs"
    } else {
        "jobs"
    };
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": UID,
            "kind": {"group": "batch", "version": "v1", "kind": object["kind"]},
            "resource": {"group": "batch", "version": "v1", "resource": resource},
            "name": object["metadata"]["name"],
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {"username": "ci", "groups": ["system:authenticated"]},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

fn changed(tweak: impl FnOnce(&mut Value)) -> Value {
    let mut job = job();
    tweak(&mut job);
    review(&job)
}

fn policy(rules: &str) -> Policy {
    let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
    validate::read("policy.yaml", &format!("{head}{rules}")).unwrap()
}

fn ask_bytes(
    phase: Phase,
    body: &[u8],
    policy: &Policy,
    view: NamespaceView,
) -> Result<Answer, Unanswered> {
    let circumstances = Circumstances {
        policy,
        now: Timestamp::from_second(1_766_361_605).unwrap(),
        id: Uuid::parse_str(ID).unwrap(),
        replica: "warden-0",
    };
    admit::read(phase, body)?
        .judge(&circumstances, |_| view)?
        .finish()
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

#[test]
fn a_good_job_is_let_through_without_a_word() {
    let builtin = validate::builtin();
    let untidy = policy("tidyUp: {mode: off}\n");
    let (answer, response) = ask(Mutate, &review(&job()), &untidy);
    assert!(answer.line.is_none());
    assert_eq!(response["allowed"], true);
    assert!(response["warnings"].is_null());
    let (answer, response) = ask(Validate, &review(&job()), &builtin);
    assert_eq!(
        response,
        json!({"uid": UID, "allowed": true, "auditAnnotations": {
            "decision": ID, "policy": "builtin", "verdict": "allowed",
        }})
    );
    assert_eq!(
        line(&answer),
        json!({
            "ts": "2025-12-22T00:00:05Z", "kind": "decision", "schema": 1,
            "id": ID, "phase": "validate", "uid": UID,
            "operation": "CREATE", "dry_run": false, "resource": "jobs", "namespace": "shop",
            "job": "shop-migrate-1766361600", "job_uid": "",
            "release": {"namespace": "shop", "name": "shop", "source": "instance-label"},
            "deployer": "helm", "user": "ci", "groups": ["system:authenticated"], "selection": "labelled",
            "mode": "enforce", "verdict": "allowed", "findings": [], "policy": "builtin",
            "replica": "warden-0",
        })
    );
}

#[test]
fn a_denial_tells_everything_at_once() {
    let bad = changed(|job| {
        job["metadata"]["name"] = json!("shop-migrate");
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
        job["spec"]["parallelism"] = json!(2);
    });
    for phase in [Mutate, Validate] {
        let (answer, response) = ask(phase, &bad, &validate::builtin());
        assert_eq!(answer.outcome, Outcome::Denied);
        let write_name = "write name: \"{{ .Release.Name }}-migrate-{{ now | unixEpoch }}\"";
        assert_eq!(
            response["status"],
            json!({
                "status": "Failure", "code": 403, "reason": "Forbidden",
                "message": format!(
                    "MW001 untimestamped-name: metadata.name: \"shop-migrate\" does not end in a timestamp; \
                     {write_name}\nMW004 restarting-pod: spec.template.spec.restartPolicy: found \
                     \"OnFailure\"; write restartPolicy: Never in the pod template and no other in a container"
                ),
                "details": {"name": "shop-migrate", "group": "batch", "kind": "jobs", "causes": [
                    {"field": "metadata.name", "reason": "MW001",
                     "message": format!("\"shop-migrate\" does not end in a timestamp; {write_name}")},
                    {"field": "spec.template.spec.restartPolicy", "reason": "MW004",
                     "message": "found \"OnFailure\"; write restartPolicy: Never in the pod template and no other in a container"},
                ]},
            })
        );
        assert_eq!(
            response["warnings"],
            json!(["MW008 spec.parallelism: found 2; write parallelism: 1"])
        );
        assert_eq!(response["auditAnnotations"]["rules"], "MW001,MW004,MW008");
        let line = line(&answer);
        assert_eq!(
            (&line["verdict"], &line["phase"]),
            (&json!("denied"), &json!(phase.as_str()))
        );
        assert_eq!(
            line["findings"][1],
            json!({"rule": "MW004", "name": "restarting-pod", "action": "deny",
                   "path": "spec.template.spec.restartPolicy", "detail": "found \"OnFailure\""})
        );
    }
}

#[test]
fn warnings_come_from_the_validating_phase_and_audit_findings_from_neither() {
    let parallel = changed(|job| {
        job["spec"]["parallelism"] = json!(2);
        job["metadata"]["annotations"]["helm.sh/hook-output-log-policy"] = json!("");
    });
    let (_, response) = ask(Mutate, &parallel, &validate::builtin());
    assert!(response["warnings"].is_null());
    let (answer, response) = ask(Validate, &parallel, &validate::builtin());
    assert_eq!(response["warnings"].as_array().map(Vec::len), Some(1));
    assert_eq!(line(&answer)["verdict"], "warned");
    assert_eq!(line(&answer)["findings"].as_array().map(Vec::len), Some(2));
}

#[test]
fn patches_apply_to_the_object_as_received_and_only_once() {
    let patching = policy(
        "rules: {restarting-pod: patch, wrong-delete-policy: patch, untimestamped-name: patch}\n",
    );
    let bad = changed(|job| {
        let metadata = job["metadata"].as_object_mut().unwrap();
        metadata.remove("name");
        metadata.insert("generateName".into(), json!("shop-migrate-"));
        metadata["annotations"] = json!({"helm.sh/hook": "pre-upgrade,pre-install"});
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    });
    let (answer, response) = ask(Mutate, &bad, &patching);
    assert_eq!(
        (answer.outcome, &response["allowed"]),
        (Outcome::Patched, &json!(true))
    );
    let good = patched(&bad, &response);
    let object = &good["request"]["object"];
    assert_eq!(object["metadata"]["name"], "shop-migrate-1766361605");
    assert_eq!(
        object["metadata"]["annotations"]["helm.sh/hook-delete-policy"],
        "before-hook-creation,hook-succeeded"
    );
    assert_eq!(object["spec"]["template"]["spec"]["restartPolicy"], "Never");
    let warnings = response["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 3);
    assert_eq!(
        warnings[2],
        "MW004 restarting-pod: patched; in the chart, write restartPolicy: Never in the pod template and no other in a container"
    );
    // Three corrections, the stamp, the time to live.
    assert_eq!(line(&answer)["patch"].as_array().map(Vec::len), Some(5));
    let stamp = &object["metadata"]["annotations"]["migration-warden.io/patched"];
    assert_eq!(stamp, "MW001,MW003,MW004");
    // Another mutating webhook may have it sent again.
    let (again, response) = ask(Mutate, &good, &patching);
    assert_eq!(again.outcome, Outcome::Allowed);
    assert!(response["patch"].is_null());
    assert_eq!(ask(Validate, &good, &patching).0.outcome, Outcome::Allowed);
}

#[test]
fn stamps_of_two_rounds_are_one() {
    let patching = policy("rules: {restarting-pod: patch}\n");
    let patched_again = |tweak: fn(&mut Value)| {
        let review = changed(|job| {
            let annotations = &mut job["metadata"]["annotations"];
            annotations["migration-warden.io/decision"] = json!(ID);
            annotations["migration-warden.io/requested-by"] = json!("ci");
            annotations["migration-warden.io/patched"] = json!("MW003,x,MW003");
            tweak(job);
        });
        let (_, response) = ask(Mutate, &review, &patching);
        let object = patched(&review, &response)["request"]["object"].take();
        object["metadata"]["annotations"]["migration-warden.io/patched"].clone()
    };
    let restarts = |job: &mut Value| {
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    };
    assert_eq!(patched_again(restarts), "MW003,MW004");
    assert_eq!(patched_again(|_| {}), "MW003,x,MW003");
}

#[test]
fn what_was_patched_is_a_stamp_like_the_others() {
    const PATCHED: &str = "migration-warden.io/patched";
    let claims = |job: &mut Value| job["metadata"]["annotations"][PATCHED] = json!("MW003");
    let forged = changed(claims);
    let (_, response) = ask(Mutate, &forged, &policy(""));
    let annotations =
        patched(&forged, &response)["request"]["object"]["metadata"]["annotations"].take();
    assert_eq!(annotations[PATCHED], Value::Null, "the client's own goes");
    let both = changed(|job| {
        claims(job);
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    });
    let (_, response) = ask(Mutate, &both, &policy("rules: {restarting-pod: patch}\n"));
    let annotations =
        patched(&both, &response)["request"]["object"]["metadata"]["annotations"].take();
    assert_eq!(annotations[PATCHED], "MW004");
    // Where `/mutate` was not asked.
    let (_, response) = ask(Validate, &forged, &validate::builtin());
    assert_eq!(
        response["status"]["message"],
        "MW104 forged-stamp: metadata.annotations['migration-warden.io/requested-by']: it is missing beside other \
         stamps, and \"ci\" creates it; leave stamps out of charts and manifests, and leave a stamped Job its label"
    );
    // A detected Job is corrected, and has no other stamp.
    let detected = changed(|job| {
        claims(job);
        job["metadata"]["labels"] = json!({"app": "shop"});
    });
    let (answer, _) = ask(
        Validate,
        &detected,
        &policy("detection: {maxAction: deny}\n"),
    );
    let line = line(&answer);
    let ids: Vec<_> = line["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["rule"].clone())
        .collect();
    assert!(!ids.contains(&json!("MW104")), "{line:#}");
}

#[test]
fn a_stamped_job_without_its_label_is_guarded() {
    let unlabel = |job: &mut Value| {
        job["metadata"]["annotations"]["migration-warden.io/decision"] = json!(ID);
        job["metadata"]["labels"] = json!({"app": "shop"});
    };
    let opt_out = |job: &mut Value| {
        job["metadata"]["annotations"]["migration-warden.io/requested-by"] = json!("ci");
        job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
    };
    let ids = |response: &Value| -> Vec<String> {
        let causes = response["status"]["details"]["causes"].as_array().unwrap();
        causes
            .iter()
            .map(|cause| cause["reason"].as_str().unwrap().to_owned())
            .collect()
    };
    for tweak in [unlabel as fn(&mut Value), opt_out] {
        let (answer, response) = ask(Validate, &later("DELETE", tweak), &validate::builtin());
        assert_eq!(ids(&response), ["MW102"]);
        assert_eq!(line(&answer)["selection"], "labelled");
        // The same, while it has its label.
        let mut update = later("UPDATE", |job| {
            tweak(job);
            job["metadata"]["labels"] = json!({"app.kubernetes.io/component": "migration"});
        });
        tweak(&mut update["request"]["object"]);
        let annotations = update["request"]["oldObject"]["metadata"]["annotations"].clone();
        update["request"]["object"]["metadata"]["annotations"] = annotations;
        let (answer, response) = ask(Validate, &update, &validate::builtin());
        assert_eq!(ids(&response), ["MW102", "MW104"]);
        assert_eq!(line(&answer)["operation"], "UPDATE");
        update["request"]["subResource"] = json!("status");
        assert_eq!(
            ids(&ask(Validate, &update, &validate::builtin()).1),
            ["MW102", "MW104"]
        );
    }
    let other = later("UPDATE", |job| {
        job["metadata"]["labels"] = json!({"app": "shop"});
    });
    assert_eq!(
        ask(Validate, &other, &validate::builtin()).1["allowed"],
        true
    );
}

/// Nothing was wrong with the Job, so nobody is told; but what was changed is written down.
#[test]
fn a_hook_job_gets_a_time_to_live() {
    let patch = |review: &Value, policy: &Policy| {
        let (answer, response) = ask(Mutate, review, policy);
        assert_eq!(answer.outcome, Outcome::Allowed);
        assert!(response["warnings"].is_null(), "{response:#}");
        let patch = answer.line.as_deref().map(|line| {
            let line: Value = serde_json::from_slice(line).unwrap();
            patched(review, &response);
            line["patch"].clone()
        });
        patch.unwrap_or_default()
    };
    let ttl = |seconds: u32| json!([{"op": "add", "path": "/spec/ttlSecondsAfterFinished", "value": seconds}]);
    let good = review(&job());
    assert_eq!(patch(&good, &policy("")), ttl(604_800));
    let day = policy("tidyUp: {ttlSecondsAfterFinished: 86400}\n");
    assert_eq!(patch(&good, &day), ttl(86_400));
    for none in [
        "tidyUp: {ttlSecondsAfterFinished: 0}\n",
        "tidyUp: {mode: dry-run}\n",
        "tidyUp: {mode: false}\n",
        "namespaces: [{names: [shop], mode: warn}]\n",
    ] {
        assert_eq!(patch(&good, &policy(none)), json!(null), "{none}");
    }
    for other in [
        changed(|job| job["spec"]["ttlSecondsAfterFinished"] = json!(7200)),
        changed(|job| job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false")),
    ] {
        assert_eq!(patch(&other, &policy("")), json!(null), "{other}");
    }
    let hooks_off = policy("rules: {missing-hook: off, wrong-delete-policy: off}\n");
    let plain = changed(|job| job["metadata"]["annotations"] = json!({}));
    assert_eq!(patch(&plain, &hooks_off), json!(null));
}

/// What `/mutate` stamps a Job with.
fn stamped(review: &Value, policy: &Policy, view: NamespaceView) -> Value {
    let body = review.to_string();
    let answer = ask_bytes(Mutate, body.as_bytes(), policy, view).unwrap();
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let patched = patched(review, &body["response"]);
    stamps(&patched["request"]["object"])
}

#[test]
fn a_migration_job_is_stamped_whatever_it_says_of_itself() {
    let untidy = "tidyUp: {mode: off}\n";
    let expected = json!({"decision": ID, "requested-by": "ci"});
    let forged = |annotations: Value| changed(|job| job["metadata"]["annotations"] = annotations);
    let hooks_off = format!("{untidy}rules: {{missing-hook: off, wrong-delete-policy: off}}\n");
    for (review, rest) in [
        (review(&job()), untidy),
        (
            review(&job()),
            &format!("{untidy}namespaces: [{{names: [shop], mode: warn}}]\n"),
        ),
        (
            review(&job()),
            &format!("{untidy}namespaces: [{{names: [shop], mode: audit}}]\n"),
        ),
        (forged(json!({})), &hooks_off),
        (forged(Value::Null), &hooks_off),
        (
            changed(|job| {
                job["metadata"]
                    .as_object_mut()
                    .unwrap()
                    .remove("annotations");
            }),
            &hooks_off,
        ),
        (
            forged(json!({
                "migration-warden.io/exceptions": "all",
                "migration-warden.io/requested-by": "root",
                "migration-warden.io/decision": null,
            })),
            &hooks_off,
        ),
    ] {
        let (answer, response) = ask(Mutate, &review, &policy(rest));
        assert_eq!(answer.outcome, Outcome::Allowed, "{review}");
        assert!(
            answer.line.is_none(),
            "a stamp alone corrects nothing: {review}"
        );
        let patched = patched(&review, &response);
        assert_eq!(stamps(&patched["request"]["object"]), expected, "{review}");
        // What was there, and is none of ours, still is.
        let hook = |review: &Value| {
            review["request"]["object"]["metadata"]["annotations"]["helm.sh/hook"].clone()
        };
        assert_eq!(hook(&patched), hook(&review));
        // The phase with the last word takes the id over.
        let mut last = patched;
        last["request"]["uid"] = json!(UID);
        assert_eq!(
            ask(Validate, &last, &policy(rest)).1["auditAnnotations"]["decision"],
            ID
        );
    }
}

#[test]
fn what_is_no_labelled_migration_is_not_stamped() {
    let untidy = policy("tidyUp: {mode: off}\n");
    let off = policy("namespaces: [{names: [shop], mode: off}]\n");
    let detected = changed(|job| job["metadata"]["labels"] = json!({"app": "shop"}));
    let opted_out = changed(|job| {
        job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
    });
    let denied = changed(|job| job["metadata"]["name"] = json!("x"));
    let cronjob = review(&json!({
        "kind": "CronJob",
        "metadata": {"name": "nightly", "labels": {"app.kubernetes.io/component": "migration"}},
        "spec": {"jobTemplate": {"spec": job()["spec"]}},
    }));
    for (review, policy) in [
        (&detected, &untidy),
        (&opted_out, &untidy),
        (&denied, &untidy),
        (&cronjob, &untidy),
        (&review(&job()), &off),
        (&later("UPDATE", |_| {}), &untidy),
    ] {
        let (_, response) = ask(Mutate, review, policy);
        assert!(response["patch"].is_null(), "{review}");
    }
}

#[test]
fn a_dry_run_shows_the_stamps_that_a_create_would_get() {
    let mut review = review(&job());
    review["request"]["dryRun"] = json!(true);
    let found = stamped(&review, &policy(""), NamespaceView::default());
    assert_eq!(found, json!({"decision": ID, "requested-by": "ci"}));
}

#[test]
fn every_user_name_can_be_stamped() {
    let mut review = review(&job());
    for name in [
        "system:serviceaccount:ci:deployer",
        "a~b/c\"d\\e\n\u{1F680}",
        "",
    ] {
        review["request"]["userInfo"]["username"] = json!(name);
        let found = stamped(&review, &policy(""), NamespaceView::default());
        assert_eq!(found["requested-by"], name);
        let mut last = review.clone();
        last["request"]["object"]["metadata"]["annotations"]["migration-warden.io/requested-by"] =
            json!(name);
        assert_eq!(
            ask(Validate, &last, &policy("")).0.outcome,
            Outcome::Allowed,
            "{name}"
        );
    }
    // As far as it is stamped, it counts.
    let long = "x".repeat(2000);
    review["request"]["userInfo"]["username"] = json!(long);
    let found = stamped(&review, &policy(""), NamespaceView::default());
    assert_eq!(found["requested-by"], format!("{}…", &long[..1024]));
    let annotations = &mut review["request"]["object"]["metadata"]["annotations"];
    annotations["migration-warden.io/requested-by"] = found["requested-by"].clone();
    assert_eq!(
        ask(Validate, &review, &policy("")).0.outcome,
        Outcome::Allowed
    );
}

#[test]
fn the_exceptions_that_were_used_are_stamped() {
    let bad = changed(|job| {
        job["metadata"]["name"] = json!("x");
        job["metadata"]["annotations"]["migration-warden.io/exceptions"] = json!("another");
    });
    let found = stamped(&bad, &policy(""), excepting(&["MW001"]));
    assert_eq!(found["exceptions"], "hotfix");
    // There, and not used.
    let good = changed(|job| {
        job["metadata"]["annotations"]["migration-warden.io/exceptions"] = json!("another");
    });
    let found = stamped(&good, &policy(""), excepting(&["MW001"]));
    assert_eq!(found, json!({"decision": ID, "requested-by": "ci"}));
}

/// Another webhook changed the Job after ours, and the apiserver asks ours again.
#[test]
fn the_second_call_keeps_the_stamps_of_the_first() {
    let mut review = review(&job());
    let first = "019b435b-2388-7000-8000-000000000001";
    let annotations = &mut review["request"]["object"]["metadata"]["annotations"];
    annotations["migration-warden.io/decision"] = json!(first);
    annotations["migration-warden.io/requested-by"] = json!("ci");
    let untidy = policy("tidyUp: {mode: off}\n");
    let (_, response) = ask(Mutate, &review, &untidy);
    assert!(response["patch"].is_null());
    assert_eq!(response["auditAnnotations"]["decision"], first);
    // But not what the client wrote.
    review["request"]["object"]["metadata"]["managedFields"][0]["fieldsV1"] = json!({
        "f:metadata": {"f:annotations": {"f:migration-warden.io/decision": {}}},
    });
    let found = stamped(&review, &untidy, NamespaceView::default());
    assert_eq!(found["decision"], ID);
}

/// One create is one decision: its id is on the Job, in the line and in the audit log.
#[test]
fn the_phase_with_the_last_word_takes_over_the_id_of_the_first() {
    let given = "019b435b-2388-7000-8000-000000000001";
    let with = |decision: &str, user: &str| {
        changed(|job| {
            let annotations = &mut job["metadata"]["annotations"];
            annotations["migration-warden.io/decision"] = json!(decision);
            annotations["migration-warden.io/requested-by"] = json!(user);
        })
    };
    let id = |review: &Value, policy: &Policy| {
        let (answer, response) = ask(Validate, review, policy);
        let line = line(&answer)["id"].clone();
        assert_eq!(line, response["auditAnnotations"]["decision"]);
        line
    };
    let warns = policy("rules: {forged-stamp: warn}\n");
    assert_eq!(id(&with(given, "ci"), &warns), given);
    // Two minutes old; of another user.
    assert_eq!(
        id(&with("019b4359-4ec8-7000-8000-000000000001", "ci"), &warns),
        ID
    );
    assert_eq!(id(&with(given, "root"), &warns), ID);
    // Nobody stamps there.
    let off = policy("namespaces: [{names: [shop], mode: off}]\n");
    assert_eq!(id(&with(given, "ci"), &off), ID);
}

#[test]
fn nobody_creates_a_job_in_anothers_name() {
    let forged = |stamps: Value| {
        changed(|job| {
            for (key, value) in stamps.as_object().unwrap() {
                job["metadata"]["annotations"][format!("migration-warden.io/{key}")] =
                    value.clone();
            }
        })
    };
    let field = "metadata.annotations['migration-warden.io/requested-by']";
    let end = "leave stamps out of charts and manifests, and leave a stamped Job its label";
    for (stamps, said) in [
        (
            json!({"requested-by": "root"}),
            "it says \"root\", and \"ci\" creates it",
        ),
        (
            json!({"decision": ID}),
            "it is missing beside other stamps, and \"ci\" creates it",
        ),
        (
            json!({"exceptions": "all"}),
            "it is missing beside other stamps, and \"ci\" creates it",
        ),
    ] {
        let (answer, response) = ask(Validate, &forged(stamps.clone()), &policy(""));
        assert_eq!(
            response["status"]["message"],
            format!("MW104 forged-stamp: {field}: {said}; {end}")
        );
        assert_eq!(line(&answer)["verdict"], "denied");
        for (rest, verdict) in [
            ("namespaces: [{names: [shop], mode: warn}]\n", "warned"),
            ("profile: audit\n", "allowed"),
            ("rules: {MW104: off}\n", "allowed"),
        ] {
            let (answer, _) = ask(Validate, &forged(stamps.clone()), &policy(rest));
            assert_eq!(line(&answer)["verdict"], verdict, "{rest}");
        }
    }
    // Its Jobs would say it of themselves.
    let mut job = job();
    job["metadata"]["annotations"] = json!({"migration-warden.io/requested-by": "ci"});
    let cronjob = review(&json!({
        "kind": "CronJob",
        "metadata": {"name": "nightly", "labels": {"app.kubernetes.io/component": "migration"}},
        "spec": {"jobTemplate": job},
    }));
    let (answer, _) = ask(Validate, &cronjob, &policy(""));
    assert!(answer.findings.iter().any(|(id, _)| *id == "MW104"));
    assert_eq!(answer.outcome, Outcome::Warned);
}

#[test]
fn a_stamp_is_not_changed_later() {
    let with = |stamps: Value| {
        let mut review = later("UPDATE", |job| {
            let annotations = &mut job["metadata"]["annotations"];
            annotations["migration-warden.io/decision"] = json!("1");
            annotations["migration-warden.io/requested-by"] = json!("ci");
        });
        let annotations = &mut review["request"]["object"]["metadata"]["annotations"];
        for (key, value) in stamps.as_object().unwrap() {
            annotations[format!("migration-warden.io/{key}")] = value.clone();
        }
        annotations
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        review
    };
    let end = "leave stamps out of charts and manifests, and leave a stamped Job its label";
    let at = |stamp: &str| {
        format!("MW104 forged-stamp: metadata.annotations['migration-warden.io/{stamp}']: ")
    };
    for (stamps, said) in [
        (
            json!({"decision": "2"}),
            format!("{}it says \"1\", and not \"2\"; {end}", at("decision")),
        ),
        (
            json!({"requested-by": null}),
            format!(
                "{}it says \"ci\", and may not be removed; {end}",
                at("requested-by")
            ),
        ),
        (
            json!({"exceptions": "x", "decision": ""}),
            format!(
                "{}it says \"1\", and not \"\"; {end}\n{}the Job was created without it, so it cannot say \"x\"; {end}",
                at("decision"),
                at("exceptions"),
            ),
        ),
    ] {
        let mut review = with(stamps);
        let (answer, response) = ask(Validate, &review, &policy(""));
        assert_eq!(response["status"]["message"], said);
        assert_eq!(line(&answer)["operation"], "UPDATE");
        review["request"]["userInfo"]["username"] = json!("system:kube-controller-manager");
        assert_eq!(
            ask(Validate, &review, &policy("")).1,
            json!({"uid": UID, "allowed": true})
        );
    }
    let (answer, response) = ask(Validate, &with(json!({"other": "x"})), &policy(""));
    assert_eq!(response, json!({"uid": UID, "allowed": true}));
    assert!(answer.line.is_none());
    // By way of its status, which Helm does not apply.
    let mut status = with(json!({"decision": "2"}));
    status["request"]["subResource"] = json!("status");
    let (answer, _) = ask(Validate, &status, &policy(""));
    assert_eq!(answer.findings, [("MW104", Action::Deny)]);
    finished(&mut status["request"]["oldObject"]);
    let (answer, _) = ask(Validate, &status, &policy(""));
    assert_eq!(answer.findings, [("MW104", Action::Deny)]);
    status["request"]["subResource"] = json!("scale");
    let (_, response) = ask(Validate, &status, &policy(""));
    assert_eq!(response, json!({"uid": UID, "allowed": true}));
}

/// Stamps on other Jobs are nobody's business, until one becomes a migration.
#[test]
fn a_job_with_stamps_does_not_become_a_migration() {
    let becoming = |stamps: Value, tweak: fn(&mut Value)| {
        let mut review = later("UPDATE", |job| {
            for (key, value) in stamps.as_object().unwrap() {
                job["metadata"]["annotations"][format!("migration-warden.io/{key}")] =
                    value.clone();
            }
        });
        let request = &mut review["request"];
        request["oldObject"]["metadata"]["labels"] = json!({});
        tweak(request);
        review
    };
    let with = |stamps: Value| becoming(stamps, |_| {});
    let (answer, response) = ask(
        Validate,
        &with(json!({"requested-by": "alice"})),
        &policy(""),
    );
    assert_eq!(
        response["status"]["message"],
        "MW104 forged-stamp: metadata.annotations['migration-warden.io/requested-by']: the Job was no migration when \
         it was created, so nobody stamped it, and it cannot say \"alice\" (remove the annotation, and it can become \
         one); leave stamps out of charts and manifests, and leave a stamped Job its label"
    );
    assert_eq!(line(&answer)["operation"], "UPDATE");
    let (answer, _) = ask(
        Validate,
        &with(json!({"decision": "1", "exceptions": "x"})),
        &policy(""),
    );
    assert_eq!(answer.findings, [("MW104", Action::Deny); 2]);
    let passes = |review: &Value| {
        let (answer, response) = ask(Validate, review, &policy(""));
        assert_eq!(response, json!({"uid": UID, "allowed": true}));
        assert!(answer.line.is_none());
    };
    passes(&with(json!({})));
    let stays = |request: &mut Value| request["object"]["metadata"]["labels"] = json!({});
    passes(&becoming(json!({"decision": "1"}), stays));
    let opted_out = |request: &mut Value| {
        request["object"]["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
    };
    passes(&becoming(json!({"decision": "1"}), opted_out));
}

#[test]
fn what_cannot_be_patched_is_denied_without_a_patch() {
    let patching = policy("rules: {restarting-pod: patch, untimestamped-name: patch}\n");
    let restarting =
        changed(|job| job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always"));
    // The validating phase cannot patch, and a finding that is still there was not repaired.
    assert_eq!(
        ask(Validate, &restarting, &patching).0.outcome,
        Outcome::Denied
    );
    // Not a hook: its template is immutable, and the next apply would undo the patch.
    let plain = changed(|job| {
        job["metadata"]["annotations"] = json!({});
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    });
    let hooks_off =
        policy("rules: {restarting-pod: patch, missing-hook: off, wrong-delete-policy: off}\n");
    assert_eq!(ask(Mutate, &plain, &hooks_off).0.outcome, Outcome::Denied);
    // A named Job without the option.
    let named = changed(|job| {
        job["metadata"]["name"] = json!("shop-migrate");
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    });
    let (answer, response) = ask(Mutate, &named, &patching);
    assert_eq!(answer.outcome, Outcome::Denied);
    assert!(response["patch"].is_null());
}

#[test]
fn a_job_is_renamed_only_where_nobody_looks_for_the_old_name() {
    let renaming = policy("rules:\n  untimestamped-name: {action: patch, rename: true}\n");
    let named = |tweak: fn(&mut Value)| {
        changed(|job| {
            job["metadata"]["name"] = json!("shop-migrate");
            tweak(job);
        })
    };
    let plain = named(|_| ());
    let (_, response) = ask(Mutate, &plain, &renaming);
    let renamed = patched(&plain, &response);
    assert_eq!(
        renamed["request"]["object"]["metadata"]["name"],
        "shop-migrate-1766361605"
    );
    let long = changed(|job| job["metadata"]["name"] = json!("a-".repeat(30)));
    let (_, response) = ask(Mutate, &long, &renaming);
    let name = patched(&long, &response)["request"]["object"]["metadata"]["name"].clone();
    assert_eq!(name, format!("{}a-1766361605", "a-".repeat(25)));
    for tweak in [
        |job: &mut Value| job["metadata"]["managedFields"][0]["operation"] = json!("Apply"),
        |job: &mut Value| job["metadata"]["managedFields"] = json!([]),
        |job: &mut Value| {
            job["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] =
                json!("shop:batch/Job:shop/x");
        },
    ] {
        assert_eq!(
            ask(Mutate, &named(tweak), &renaming).0.outcome,
            Outcome::Denied
        );
    }
    // What kubectl applies is no hook, and is not patched at all.
    let applied = named(|job| {
        job["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
            json!("{}");
    });
    let (answer, response) = ask(Mutate, &applied, &renaming);
    assert_eq!(answer.outcome, Outcome::Warned);
    let left = patched(&applied, &response);
    assert_eq!(
        left["request"]["object"]["metadata"]["name"],
        "shop-migrate"
    );
}

#[test]
fn maps_that_are_absent_or_null_are_no_obstacle() {
    let patching = policy(
        "rules: {restarting-pod: patch, untimestamped-name: patch, wrong-delete-policy: patch}\n\
         match: {selectors: [{matchExpressions: [{key: nope, operator: DoesNotExist}]}]}\n",
    );
    for (annotations, labels) in [(None, None), (Some(Value::Null), Some(Value::Null))] {
        let bare = changed(|job| {
            let metadata = job["metadata"].as_object_mut().unwrap();
            metadata.remove("annotations");
            metadata.remove("labels");
            metadata.remove("managedFields");
            metadata.extend(annotations.map(|value| ("annotations".to_owned(), value)));
            metadata.extend(labels.map(|value| ("labels".to_owned(), value)));
        });
        let (answer, _) = ask(Mutate, &bare, &patching);
        assert_eq!(
            answer.outcome,
            Outcome::Denied,
            "no hook, so nothing is patched"
        );
        assert_eq!(
            answer
                .findings
                .iter()
                .filter(|(id, _)| *id == "MW003")
                .count(),
            1
        );
    }
}

/// The review of what happens to a stored Job, as an apiserver sends it.
fn later(operation: &str, tweak: impl FnOnce(&mut Value)) -> Value {
    let stored = {
        let mut job = job();
        job["metadata"]["uid"] = json!("0a1b");
        job["status"] = json!({"ready": 1, "active": 1, "uncountedTerminatedPods": {}});
        tweak(&mut job);
        job
    };
    let mut review = review(&stored);
    review["request"]["operation"] = json!(operation);
    review["request"]["oldObject"] = stored;
    if operation == "DELETE" {
        review["request"]["object"] = Value::Null;
        review["request"]["options"] =
            json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
    } else {
        review["request"]["options"] = json!({"kind": "UpdateOptions", "fieldManager": "helm"});
    }
    review
}

fn finished(job: &mut Value) {
    job["status"] = json!({"ready": 0, "conditions": [{"type": "Complete", "status": "True"}]});
}

#[test]
fn a_running_migration_is_not_deleted() {
    let review = later("DELETE", |_| {});
    let (answer, response) = ask(Validate, &review, &validate::builtin());
    assert_eq!(response["allowed"], false);
    let status = &response["status"];
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(403), &json!("Forbidden"))
    );
    assert_eq!(status["details"]["causes"][0]["reason"], "MW102");
    assert_eq!(
        status["message"],
        "MW102 deleted-while-running: metadata.name: shop/shop-migrate-1766361600 is running, and deleting it \
         stops the migration halfway (allow it: kubectl annotate job shop-migrate-1766361600 -n shop \
         migration-warden.io/allow-delete=true); wait for its end, or annotate it and delete it again"
    );
    let line = line(&answer);
    assert_eq!(
        (&line["operation"], &line["verdict"]),
        (&json!("DELETE"), &json!("denied"))
    );
    assert_eq!(
        (&line["job"], &line["job_uid"]),
        (&json!("shop-migrate-1766361600"), &json!("0a1b"))
    );
    // The other phase has nothing to patch, and is not asked.
    assert_eq!(
        ask(Mutate, &review, &validate::builtin()).1["allowed"],
        true
    );
    // deleteCollection names no object.
    let mut collection = review;
    collection["request"]
        .as_object_mut()
        .unwrap()
        .remove("name");
    let (_, response) = ask(Validate, &collection, &validate::builtin());
    assert_eq!(
        response["status"]["details"]["name"],
        "shop-migrate-1766361600"
    );
}

#[test]
fn every_deletion_of_a_migration_is_written_down() {
    let ended = later("DELETE", finished);
    let allowed = later("DELETE", |job| {
        job["metadata"]["annotations"]["migration-warden.io/allow-delete"] = json!("true");
    });
    for (review, findings) in [(ended, json!([])), (allowed, json!(["audit"]))] {
        let (answer, response) = ask(Validate, &review, &policy("record: {onFailure: deny}\n"));
        assert_eq!(response["allowed"], true);
        assert_eq!(response["warnings"], Value::Null);
        let line = line(&answer);
        assert_eq!(
            (&line["operation"], &line["verdict"]),
            (&json!("DELETE"), &json!("allowed"))
        );
        let found: Vec<_> = line["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| &f["action"])
            .collect();
        assert_eq!(json!(found), findings);
        // A deletion is not held up by a full disk.
        assert!(answer.if_lost.is_none());
    }
}

#[test]
fn guards_keep_to_the_mode_and_to_labelled_jobs() {
    let running = later("DELETE", |_| {});
    for (mode, verdict) in [("warn", "warned"), ("audit", "allowed"), ("off", "allowed")] {
        let policy = policy(&format!("namespaces: [{{names: [shop], mode: {mode}}}]\n"));
        let (answer, response) = ask(Validate, &running, &policy);
        assert_eq!(response["allowed"], true, "{mode}");
        assert_eq!(response["warnings"].is_null(), mode != "warn", "{mode}");
        assert_eq!(line(&answer)["verdict"], verdict);
    }
    assert_eq!(
        ask(Validate, &running, &policy("rules: {MW102: off}\n")).1["allowed"],
        true
    );
    let detected = later("DELETE", |job| {
        job["metadata"]["labels"] = json!({"app": "shop"});
    });
    let mut collector = running.clone();
    collector["request"]["userInfo"]["username"] =
        json!("system:serviceaccount:kube-system:generic-garbage-collector");
    let mut status = running;
    status["request"]["subResource"] = json!("status");
    for review in [detected, collector, status] {
        let (answer, response) = ask(Validate, &review, &validate::builtin());
        assert_eq!(response, json!({"uid": UID, "allowed": true}));
        assert!(answer.line.is_none());
    }
}

#[test]
fn a_finished_hook_is_not_applied_again() {
    let (answer, response) = ask(Validate, &later("UPDATE", finished), &validate::builtin());
    assert_eq!(
        response["status"]["message"],
        "MW103 reapplied-job: metadata.name: shop/shop-migrate-1766361600 has already finished, and applying it \
         again runs nothing (for now: kubectl delete job shop-migrate-1766361600 -n shop, and try again); \
         add a timestamp to the name, or before-hook-creation to the delete policy"
    );
    assert_eq!(line(&answer)["operation"], "UPDATE");
    let mut other = later("UPDATE", finished);
    other["request"]["options"]["fieldManager"] = json!("kubectl-edit");
    let mut none = later("UPDATE", finished);
    none["request"]["options"] = Value::Null;
    for review in [other, none, later("UPDATE", |_| {})] {
        let (answer, response) = ask(Validate, &review, &validate::builtin());
        assert_eq!(response, json!({"uid": UID, "allowed": true}));
        assert!(
            answer.line.is_none(),
            "updates leave no line where nothing is found"
        );
    }
}

#[test]
fn a_namespace_that_is_deleted_takes_its_migrations_with_it() {
    let review = later("DELETE", |_| {}).to_string();
    let policy = validate::builtin();
    let circumstances = Circumstances {
        policy: &policy,
        now: Timestamp::from_second(1_766_361_605).unwrap(),
        id: Uuid::parse_str(ID).unwrap(),
        replica: "warden-0",
    };
    let read = admit::read(Validate, review.as_bytes()).unwrap();
    let open = |terminating: bool| {
        let view = NamespaceView {
            terminating,
            ..NamespaceView::default()
        };
        match read.judge(&circumstances, |_| view).unwrap() {
            Judged::Open(case) => case,
            Judged::Done(_) => panic!("a deletion is written down"),
        }
    };
    assert_eq!(open(true).excuse(), None);
    assert_eq!(open(true).finish().unwrap().outcome, Outcome::Allowed);

    let mut case = open(false);
    assert_eq!(case.excuse(), Some("shop"));
    assert!(case.claimant().is_none(), "a deletion takes no claim");
    case.excused();
    assert_eq!(line(&case.finish().unwrap())["findings"], json!([]));

    let mut case = open(false);
    case.unexcused("the API server did not answer in time");
    let answer = case.finish().unwrap();
    assert_eq!(answer.outcome, Outcome::Allowed);
    let told = line(&answer)["findings"][0]["detail"].clone();
    assert!(
        told.as_str().unwrap().ends_with(
            "; let through, because whether the namespace is being deleted could not be found out: \
             the API server did not answer in time"
        ),
        "{told}"
    );
}

#[test]
fn other_operations_kinds_and_subresources_are_let_through() {
    let bad = changed(|job| {
        job["metadata"]["name"] = json!("x");
        job["metadata"]["annotations"] = json!(null);
    });
    let with = |field: &str, value: Value| {
        let mut review = bad.clone();
        review["request"][field] = value;
        review
    };
    for review in [
        with("operation", json!("UPDATE")),
        with("operation", json!("DELETE")),
        with("operation", json!("CONNECT")),
        with("operation", json!("PATCH")),
        with("subResource", json!("status")),
        with("kind", json!({"group": "", "version": "v1", "kind": "Pod"})),
        with(
            "kind",
            json!({"group": "example.com", "version": "v1", "kind": "Job"}),
        ),
        with(
            "kind",
            json!({"group": "batch", "version": "v1", "kind": "JobList"}),
        ),
    ] {
        for phase in [Mutate, Validate] {
            let (answer, response) = ask(phase, &review, &validate::builtin());
            assert_eq!(response, json!({"uid": UID, "allowed": true}));
            assert!(answer.line.is_none());
        }
    }
    // Other kinds may have any shape.
    let mut odd = with(
        "kind",
        json!({"group": "", "version": "v1", "kind": "ConfigMap"}),
    );
    odd["request"]["object"] = json!({"metadata": {"labels": 5}, "spec": "text", "data": [1]});
    assert_eq!(ask(Validate, &odd, &validate::builtin()).1["allowed"], true);
}

#[test]
fn jobs_of_the_cronjob_controller_are_skipped_and_forged_owners_are_not() {
    let mut bad = changed(|job| {
        job["metadata"]["name"] = json!("shop-29000000");
        job["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "shop", "uid": "1", "controller": true}]);
    });
    assert_eq!(
        ask(Validate, &bad, &validate::builtin()).0.outcome,
        Outcome::Denied
    );
    bad["request"]["userInfo"]["username"] =
        json!("system:serviceaccount:kube-system:cronjob-controller");
    let (answer, response) = ask(Validate, &bad, &validate::builtin());
    assert_eq!(response, json!({"uid": UID, "allowed": true}));
    assert!(answer.line.is_none());
    // Without service accounts of their own, all controllers are one user.
    bad["request"]["userInfo"]["username"] = json!("system:kube-controller-manager");
    assert!(ask(Validate, &bad, &validate::builtin()).0.line.is_none());
    bad["request"]["object"]["metadata"]["ownerReferences"] = json!([]);
    assert_eq!(
        ask(Validate, &bad, &validate::builtin()).0.outcome,
        Outcome::Denied
    );
}

#[test]
fn a_labelled_cronjob_gets_warnings_at_most() {
    let mut job = job();
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
    let cronjob = review(&json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "nightly", "labels": {"app.kubernetes.io/component": "migration"}},
        "spec": {"schedule": "0 0 * * *", "jobTemplate": {"spec": job["spec"]}},
    }));
    let (answer, response) = ask(Validate, &cronjob, &policy("profile: strict\n"));
    assert_eq!(response["allowed"], true);
    assert_eq!(
        response["warnings"][0],
        "MW004 restarting-pod: write restartPolicy: Never in the pod template and no other in a container"
    );
    let line = line(&answer);
    assert_eq!(
        (&line["resource"], &line["job"]),
        (&json!("cronjobs"), &json!("nightly"))
    );
    assert!(
        answer
            .findings
            .iter()
            .all(|(id, _)| !matches!(*id, "MW001" | "MW002" | "MW003"))
    );
    let (answer, _) = ask(
        Mutate,
        &cronjob,
        &policy("rules: {restarting-pod: patch}\n"),
    );
    assert_eq!(answer.outcome, Outcome::Warned);
}

#[test]
fn detection_is_capped_and_can_be_switched_off() {
    let unlabelled = changed(|job| {
        job["metadata"]["labels"] = json!({"app": "shop"});
        job["metadata"]["name"] = json!("x");
    });
    let (answer, response) = ask(Validate, &unlabelled, &validate::builtin());
    assert_eq!(
        (answer.outcome, &response["allowed"]),
        (Outcome::Allowed, &json!(true))
    );
    assert_eq!(line(&answer)["selection"], "detected");
    let warned = ask(
        Validate,
        &unlabelled,
        &policy("detection: {maxAction: warn}\n"),
    )
    .0;
    assert_eq!(warned.outcome, Outcome::Warned);
    let denied = ask(
        Validate,
        &unlabelled,
        &policy("detection: {maxAction: deny}\n"),
    )
    .0;
    assert_eq!(denied.outcome, Outcome::Denied);
    let (off, response) = ask(
        Validate,
        &unlabelled,
        &policy("detection: {maxAction: off}\n"),
    );
    assert!(off.line.is_none());
    assert_eq!(response, json!({"uid": UID, "allowed": true}));
}

#[test]
fn a_job_may_opt_out_and_that_is_recorded() {
    let out = changed(|job| {
        job["metadata"]["name"] = json!("x");
        job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
    });
    let (answer, response) = ask(Validate, &out, &validate::builtin());
    assert_eq!(response["allowed"], true);
    let line = line(&answer);
    assert_eq!(
        (&line["selection"], &line["verdict"]),
        (&json!("opted-out"), &json!("allowed"))
    );
}

/// The namespace with an exception from these rules for all of its Jobs.
fn excepting(rules: &[&str]) -> NamespaceView {
    let object = json!({
        "apiVersion": "migration-warden.io/v1alpha1",
        "kind": "MigrationException",
        "metadata": {"name": "hotfix", "namespace": "shop", "creationTimestamp": "2025-12-21T00:00:00Z"},
        "spec": {
            "rules": rules,
            "selector": {"names": ["*"]},
            "reason": "for the test's sake",
            "expiresAt": "2025-12-23T00:00:00Z",
        },
    });
    let object = serde_json::from_value(object).unwrap();
    let exception = Exception::new(&object, Timestamp::UNIX_EPOCH).unwrap();
    NamespaceView {
        exceptions: vec![exception.into()],
        ..NamespaceView::default()
    }
}

#[test]
fn what_an_exception_covers_is_let_through_told_and_recorded() {
    let mut bad = changed(|job| {
        job["metadata"]["name"] = json!("x");
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
    });
    let ask = |phase, review: &Value, rules: &[&str]| {
        let body = review.to_string();
        let answer = ask_bytes(
            phase,
            body.as_bytes(),
            &validate::builtin(),
            excepting(rules),
        );
        let answer = answer.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer, body["response"].clone())
    };
    let both = ["MW001", "MW004"];
    let (answer, response) = ask(Validate, &bad, &both);
    assert_eq!(answer.outcome, Outcome::Allowed);
    assert_eq!(
        response["warnings"],
        json!([
            "MW001 excepted until 2025-12-23T00:00:00Z by hotfix",
            "MW004 excepted until 2025-12-23T00:00:00Z by hotfix",
        ])
    );
    let uses: Vec<_> = answer
        .exceptions
        .iter()
        .map(|u| (&*u.job, &*u.rules))
        .collect();
    assert_eq!(uses, [("x", &both[..])]);
    assert_eq!(
        line(&answer)["findings"][1],
        json!({
            "rule": "MW004",
            "name": "restarting-pod",
            "action": "audit",
            "path": "spec.template.spec.restartPolicy",
            "detail": "found \"OnFailure\"",
            "exception": "hotfix",
        })
    );
    // The mutating phase lets it through as well, and leaves the rest to the other.
    let (answer, _) = ask(Mutate, &bad, &both);
    assert!(answer.outcome < Outcome::Waiting && answer.exceptions.is_empty());
    // Refused for something else.
    let (answer, _) = ask(Validate, &bad, &["MW001"]);
    assert_eq!(answer.outcome, Outcome::Denied);
    assert!(answer.exceptions.is_empty());
    bad["request"]["dryRun"] = json!(true);
    let (answer, _) = ask(Validate, &bad, &both);
    assert_eq!(answer.outcome, Outcome::Allowed);
    assert!(answer.exceptions.is_empty());
}

#[test]
fn an_exception_covers_the_rules_of_the_cluster() {
    let mut running = changed(|job| job["status"] = json!({"active": 1, "ready": 1}));
    let object = running["request"]["object"].take();
    running["request"]["oldObject"] = object;
    running["request"]["operation"] = json!("DELETE");
    let body = running.to_string();
    let outcome = |view| {
        let answer = ask_bytes(Validate, body.as_bytes(), &validate::builtin(), view).unwrap();
        (answer.outcome, answer.exceptions.len())
    };
    assert_eq!(outcome(NamespaceView::default()), (Outcome::Denied, 0));
    assert_eq!(outcome(excepting(&["MW102"])), (Outcome::Allowed, 1));

    let body = later("UPDATE", finished).to_string();
    let ask = |view| ask_bytes(Validate, body.as_bytes(), &validate::builtin(), view).unwrap();
    assert_eq!(ask(excepting(&["MW102"])).outcome, Outcome::Denied);
    let answer = ask(excepting(&["MW103"]));
    assert_eq!(
        (answer.outcome, answer.exceptions.len()),
        (Outcome::Allowed, 1)
    );
    let finding = &line(&answer)["findings"][0];
    assert_eq!(
        (&finding["rule"], &finding["action"], &finding["exception"]),
        (&json!("MW103"), &json!("audit"), &json!("hotfix"))
    );
}

#[test]
fn labels_of_the_pod_template_count_where_the_job_has_none() {
    let inherited = changed(|job| {
        job["metadata"]["labels"] = json!({});
        job["metadata"]["name"] = json!("x");
        job["spec"]["template"]["metadata"] =
            json!({"labels": {"migration-warden.io/migration": "true"}});
    });
    assert_eq!(
        ask(Validate, &inherited, &validate::builtin()).0.outcome,
        Outcome::Denied
    );
}

#[test]
fn a_namespaces_mode_is_a_cap_and_its_label_wins() {
    let bad = changed(|job| job["metadata"]["name"] = json!("x")).to_string();
    let in_mode = |policy: &Policy, label: Option<&str>| {
        let view = NamespaceView {
            mode: label.map(str::to_owned),
            ..NamespaceView::default()
        };
        let answer = ask_bytes(Validate, bad.as_bytes(), policy, view).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.outcome, body["response"]["warnings"].clone())
    };
    let builtin = validate::builtin();
    assert_eq!(in_mode(&builtin, Some("enforce")).0, Outcome::Denied);
    assert_eq!(in_mode(&builtin, Some("warn")).0, Outcome::Warned);
    assert_eq!(in_mode(&builtin, Some("audit")).0, Outcome::Allowed);
    assert_eq!(in_mode(&builtin, Some("off")).0, Outcome::Allowed);
    let (outcome, warnings) = in_mode(&builtin, Some("of"));
    assert_eq!(outcome, Outcome::Denied);
    assert_eq!(
        warnings,
        json!(["namespace label migration-warden.io/mode=of is unknown, treated as enforce"])
    );
    let audited = policy("namespaces: [{names: [sh*], mode: audit}]\n");
    assert_eq!(in_mode(&audited, None).0, Outcome::Allowed);
    assert_eq!(in_mode(&audited, Some("enforce")).0, Outcome::Denied);
}

#[test]
fn the_namespaces_mesh_is_taken_into_account() {
    let view = NamespaceView {
        mesh: Some(Mesh::Istio),
        ..NamespaceView::default()
    };
    let strict = policy("profile: strict\n");
    let answer = ask_bytes(
        Validate,
        review(&job()).to_string().as_bytes(),
        &strict,
        view,
    )
    .unwrap();
    assert!(answer.findings.iter().any(|(id, _)| *id == "MW019"));
}

/// A time to live would make it run again each week, and a patch would fight the next apply.
#[test]
fn what_its_deployer_keeps_as_desired_state_is_warned_of_once_and_left_alone() {
    let broken = |tweak: &dyn Fn(&mut Value)| {
        changed(|job| {
            job["metadata"]["name"] = json!("shop-migrate");
            job["metadata"]["annotations"] = json!({"helm.sh/hook": "test,test,x"});
            tweak(job);
        })
    };
    let by_label = broken(&|job| {
        job["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] = json!("shop");
    });
    let by_manager = broken(&|job| {
        job["metadata"]["managedFields"][0]["manager"] = json!("kustomize-controller");
    });
    let applied = broken(&|job| {
        job["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
            json!("{}");
    });
    let mut by_options = broken(&|_| {});
    by_options["request"]["options"]["fieldManager"] = json!("kubectl-create");
    for (deployer, review) in [
        ("kustomize-controller", by_label),
        ("kustomize-controller", by_manager),
        ("kubectl", applied),
        ("kubectl", by_options),
    ] {
        for rules in [
            "",
            "profile: strict\n",
            "rules: {wrong-delete-policy: patch, untimestamped-name: patch}\n",
        ] {
            let (answer, response) = ask(Mutate, &review, &policy(rules));
            assert!(answer.line.is_none(), "{response}");
            assert!(
                !patched(&review, &response)
                    .to_string()
                    .contains("ttlSecondsAfterFinished")
            );
            let (answer, response) = ask(Validate, &review, &policy(rules));
            assert_eq!(response["allowed"], true, "{response}");
            let warnings = response["warnings"].as_array().unwrap();
            let ours = |w: &&Value| w.as_str().unwrap().starts_with("MW002 missing-hook: ");
            assert_eq!(warnings.iter().filter(ours).count(), 1, "{response}");
            assert!(warnings[0].as_str().unwrap().len() <= 250);
            let line = line(&answer);
            assert_eq!(line["deployer"], deployer, "{line}");
            let hooks = [
                "MW001", "MW003", "MW014", "MW015", "MW016", "MW017", "MW023",
            ];
            let found = line["findings"].as_array().unwrap().iter();
            assert!(
                found
                    .clone()
                    .all(|f| !hooks.contains(&f["rule"].as_str().unwrap())),
                "{line}"
            );
        }
    }
    let mut own = changed(|job| job["metadata"]["managedFields"][0]["manager"] = json!("werf"));
    own["request"]["options"]["fieldManager"] = json!("werf");
    let (answer, response) = ask(Mutate, &own, &policy(""));
    assert!(
        patched(&own, &response)
            .to_string()
            .contains("ttlSecondsAfterFinished")
    );
    assert_eq!(line(&answer)["deployer"], "helm");
}

#[test]
fn the_requests_namespace_and_name_are_used_where_the_object_has_none() {
    let mut review = changed(|job| {
        let metadata = job["metadata"].as_object_mut().unwrap();
        metadata.remove("namespace");
        metadata.insert("generateName".into(), json!("shop-migrate-1766361600-"));
        metadata.remove("name");
    });
    review["request"]["namespace"] = json!("from-request");
    review["request"].as_object_mut().unwrap().remove("name");
    let (answer, _) = ask(Validate, &review, &validate::builtin());
    let line = line(&answer);
    assert_eq!(
        (&line["namespace"], &line["job"]),
        (&json!("from-request"), &json!("shop-migrate-1766361600-"))
    );
    assert_eq!(line["release"]["namespace"], "from-request");
}

#[test]
fn a_lost_decision_denies_only_where_the_policy_says_so() {
    let good = review(&job()).to_string();
    let ask = |policy: &Policy| {
        ask_bytes(Validate, good.as_bytes(), policy, NamespaceView::default()).unwrap()
    };
    assert!(ask(&validate::builtin()).if_lost.is_none());
    let answer = ask(&policy("record: {onFailure: deny}\n"));
    let body: Value = serde_json::from_slice(&answer.if_lost.unwrap()).unwrap();
    assert_eq!(body["response"]["allowed"], false);
    assert_eq!(body["response"]["status"]["code"], 403);
}

#[test]
fn a_lost_decision_denies_nothing_that_may_not_be_denied() {
    let opted_out = changed(|job| {
        job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
    });
    let detected = changed(|job| job["metadata"]["labels"] = json!({"app": "shop"}));
    let mut cronjob = review(&json!({
        "kind": "CronJob",
        "metadata": {"name": "nightly", "labels": {"app.kubernetes.io/component": "migration"}},
        "spec": {"jobTemplate": {"spec": job()["spec"]}},
    }));
    cronjob["request"]["namespace"] = json!("other");
    for review in [&opted_out, &detected, &cronjob] {
        let (answer, _) = ask(Validate, review, &policy("record: {onFailure: deny}\n"));
        assert!(answer.line.is_some() && answer.if_lost.is_none());
    }
    for mode in ["warn", "audit", "off"] {
        let rest =
            format!("record: {{onFailure: deny}}\nnamespaces: [{{names: [shop], mode: {mode}}}]\n");
        assert!(
            ask(Validate, &review(&job()), &policy(&rest))
                .0
                .if_lost
                .is_none(),
            "{mode}"
        );
    }
}

#[test]
fn a_kind_is_what_the_request_says() {
    // Fields that do not belong to a Job do not make it a CronJob.
    let disguised = changed(|job| {
        job["metadata"]["name"] = json!("x");
        job["spec"]["jobTemplate"] = json!({});
    });
    assert_eq!(
        ask(Validate, &disguised, &validate::builtin()).0.outcome,
        Outcome::Denied
    );
}

#[test]
fn no_credential_gets_into_answer_or_line() {
    let secret = "s3cr3t-hunter2";
    let url = format!("postgres://app:{secret}@db/shop");
    let mut bad = changed(|job| {
        job["metadata"]["name"] = json!(format!("x --password={secret}"));
        job["metadata"]["annotations"] = json!({"helm.sh/hook": url, "helm.sh/hook-weight": url});
        let container = &mut job["spec"]["template"]["spec"]["containers"][0];
        container["image"] = json!(format!("https://u:{secret}@registry/shop"));
        container["args"] = json!([
            "-u",
            url,
            "--password",
            secret,
            format!("PGPASSWORD={secret}")
        ]);
        container["env"] = json!([{"name": "DB_PASSWORD", "value": secret}]);
        job["spec"]["template"]["spec"]["restartPolicy"] = json!(url);
        job["metadata"]["labels"]["app.kubernetes.io/instance"] = json!(url);
    });
    bad["request"]["userInfo"] = json!({"username": url, "groups": [url]});
    for phase in [Mutate, Validate] {
        let (answer, _) = ask(phase, &bad, &policy("profile: strict\n"));
        assert_eq!(
            answer
                .findings
                .iter()
                .filter(|(id, _)| *id == "MW010")
                .count(),
            4
        );
        for bytes in [answer.line.as_deref().unwrap(), &answer.body] {
            let text = String::from_utf8_lossy(bytes);
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn the_limits_of_the_apiserver_are_kept() {
    let env: Vec<Value> = (0..200)
        .map(|i| json!({"name": format!("V{i}_PASSWORD"), "value": "x\ny"}))
        .collect();
    let big = changed(|job| {
        job["spec"]["template"]["spec"]["initContainers"] = json!([{"env": env}]);
        let container = &mut job["spec"]["template"]["spec"]["containers"][0];
        container["env"] = json!(env);
        job["metadata"]["annotations"]["helm.sh/hook-weight"] = json!("a\n\t".repeat(500));
    });
    let (_, response) = ask(Validate, &big, &policy("profile: guide\n"));
    let warnings = response["warnings"].as_array().unwrap();
    let total: usize = warnings
        .iter()
        .map(|w| w.as_str().unwrap().chars().count())
        .sum();
    assert!(total < 4096, "{total}");
    for warning in warnings {
        let text = warning.as_str().unwrap();
        assert!(
            text.chars().count() <= 120 && !text.chars().any(char::is_control),
            "{text:?}"
        );
    }
    for (key, _) in response["auditAnnotations"].as_object().unwrap() {
        assert!(key.len() <= 63 && !key.contains('/'));
    }
}

#[test]
fn malformed_reviews_get_a_clear_error() {
    let text = review(&job()).to_string();
    let without = |field: &str| {
        let mut review = review(&job());
        review["request"].as_object_mut().unwrap().remove(field);
        review.to_string().into_bytes()
    };
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let mut wrong_type = review(&job());
    wrong_type["request"]["object"]["spec"]["backoffLimit"] = json!("s3cr3t");
    for (body, message) in [
        (Vec::new(), "the body is not an AdmissionReview: the JSON ends too early at line 1, column 0".to_owned()),
        (text.as_bytes()[..text.len() / 2].to_vec(),
         format!("the body is not an AdmissionReview: the JSON ends too early at line 1, column {}", text.len() / 2)),
        (b"{\"apiVersion\": \"\xff\"}".to_vec(), "the body is not UTF-8 from byte 16 on".to_owned()),
        (text.replace("k8s.io/v1\"", "k8s.io/v1beta1\"").into_bytes(),
         "expected apiVersion admission.k8s.io/v1 and kind AdmissionReview; set admissionReviewVersions: [v1] in the webhook configuration".to_owned()),
        (text.replace("\"AdmissionReview\"", "\"Pod\"").into_bytes(),
         "expected apiVersion admission.k8s.io/v1 and kind AdmissionReview; set admissionReviewVersions: [v1] in the webhook configuration".to_owned()),
        (b"{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\"}".to_vec(),
         "the AdmissionReview has no request".to_owned()),
        (without("uid"), "the AdmissionReview's request has no uid".to_owned()),
        (text.replace(review(&job())["request"]["uid"].as_str().unwrap(), &"u".repeat(254)).into_bytes(),
         "the uid of the AdmissionReview's request has 254 bytes, and 253 are the most".to_owned()),
        (without("object"), "the AdmissionReview's CREATE request has no object".to_owned()),
        (deep.into_bytes(), "the body is not an AdmissionReview: a field has the wrong type at line 1, column 1".to_owned()),
        (b"[1, 2]".to_vec(), "the body is not an AdmissionReview: a field has the wrong type at line 1, column 2".to_owned()),
    ] {
        let error = ask_bytes(Validate, &body, &validate::builtin(), NamespaceView::default()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let body = wrong_type.to_string();
    let error = ask_bytes(
        Validate,
        body.as_bytes(),
        &validate::builtin(),
        NamespaceView::default(),
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the body is not an AdmissionReview: a field has the wrong type"),
        "{error}"
    );
    assert!(!error.to_string().contains("s3cr3t"));
}

proptest::proptest! {
    /// Whatever stands in the fields that rules read: an answer the apiserver takes, patches that
    /// apply, and a second look that finds nothing more to patch.
    #[test]
    fn answers_are_well_formed_and_patches_idempotent(
        name in "[a-z0-9-]{0,70}", generate in proptest::option::of("[a-z-]{0,10}"),
        hook in proptest::option::of("[a-zA-Z ,-]{0,40}|pre-install,pre-upgrade"),
        policy_value in proptest::option::of("[a-z ,-]{0,40}|hook-succeeded"),
        restart in proptest::option::of("Never|Always|OnFailure|\\PC{0,5}"),
        operation in "Update|Apply", backoff in proptest::option::of(proptest::num::i32::ANY),
    ) {
        let review = changed(|job| {
            job["metadata"]["name"] = json!(name);
            job["metadata"]["generateName"] = json!(generate);
            job["metadata"]["managedFields"][0]["operation"] = json!(operation);
            job["metadata"]["annotations"] = json!({"helm.sh/hook": hook, "helm.sh/hook-delete-policy": policy_value});
            job["spec"]["template"]["spec"]["restartPolicy"] = json!(restart);
            job["spec"]["backoffLimit"] = json!(backoff);
        });
        let patching = policy(
            "rules: {restarting-pod: patch, wrong-delete-policy: patch, untimestamped-name: {action: patch, rename: true}}\n",
        );
        let (answer, response) = ask(Mutate, &review, &patching);
        proptest::prop_assert_eq!(response["allowed"].as_bool(), Some(answer.outcome != Outcome::Denied));
        if answer.outcome == Outcome::Patched {
            let good = patched(&review, &response);
            let (again, _) = ask(Mutate, &good, &patching);
            proptest::prop_assert!(again.outcome < Outcome::Patched, "{:?}", again.findings);
            proptest::prop_assert!(ask(Validate, &good, &patching).0.outcome < Outcome::Patched);
        }
        ask(Validate, &review, &patching);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), at in 0_usize..1500) {
        let mut body = review(&job()).to_string().into_bytes();
        let at = at.min(body.len());
        body.splice(at..(at + bytes.len() / 2).min(body.len()), bytes);
        for phase in [Mutate, Validate] {
            let _ = ask_bytes(phase, &body, &validate::builtin(), NamespaceView::default());
        }
    }
}
