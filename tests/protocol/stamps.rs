//! The stamps that a migration Job gets.

use super::*;

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
    let untidy = policy("tidyUp: {mode: off}\ndetection: {promises: []}\n");
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
