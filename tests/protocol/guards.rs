//! What happens to a stored Job: deletions, and hooks that are applied again.

use super::*;

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
         stops the migration halfway; wait for its end, or allow the deletion with an annotation\n\
         To allow the deletion:\n  \
         kubectl annotate job shop-migrate-1766361600 -n shop migration-warden.io/allow-delete=true"
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
        let warning = "MW102 metadata.name: shop/shop-migrate-1766361600 is running, and deleting it stops the migration \
                       halfway. To allow the deletion: kubectl annotate job shop-migrate-1766361600 -n shop \
                       migration-warden.io/allow-delete=true";
        let expected = (mode == "warn").then(|| json!([warning]));
        assert_eq!(response["warnings"], expected.unwrap_or_default(), "{mode}");
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
         again runs nothing; add a timestamp to the name, or before-hook-creation to the delete policy\n\
         For this upgrade, before you retry:\n  kubectl delete job shop-migrate-1766361600 -n shop"
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
    let circumstances = circumstances();
    let parsed = admit::parse(Validate, review.as_bytes()).unwrap();
    let open = |terminating: bool| {
        let view = NamespaceView {
            terminating,
            ..NamespaceView::default()
        };
        let case = parsed.select(&policy).expect("a migration");
        case.judge(&circumstances, view)
    };
    assert!(open(true).question().is_none());
    assert_eq!(open(true).finish().unwrap().outcome, Outcome::Allowed);

    let mut judged = open(false);
    // A deletion takes no claim.
    assert!(matches!(
        judged.question(),
        Some(Question::Namespace("shop"))
    ));
    judged.hear(Heard::Namespace(Ok(true)));
    assert!(judged.question().is_none());
    assert_eq!(line(&judged.finish().unwrap())["findings"], json!([]));

    let mut judged = open(false);
    let late = "the API server did not answer in time";
    judged.hear(Heard::Namespace(Err(late.to_owned())));
    let answer = judged.finish().unwrap();
    assert_eq!(answer.outcome, Outcome::Allowed);
    let told = line(&answer)["findings"][0]["detail"].clone();
    assert!(
        told.as_str().unwrap().ends_with(
            "; allowed, because migration-warden could not determine whether the namespace is being deleted: \
             the API server did not answer in time"
        ),
        "{told}"
    );
}

/// What a test changes in a request.
type Tweak = fn(&mut Value);

#[test]
fn the_pods_are_asked_only_if_the_status_does_not_say_it() {
    let policy = policy("");
    let deleted = |status: Value, view: NamespaceView, runs: Result<bool, String>| {
        let review = later("DELETE", |job| job["status"] = status).to_string();
        let review = admit::parse(Validate, review.as_bytes()).unwrap();
        let circumstances = circumstances();
        let case = review.select(&policy).expect("a migration");
        let mut judged = case.judge(&circumstances, view);
        let Some(Question::Pods(job)) = judged.question() else {
            return None;
        };
        assert_eq!((job.namespace, &*job.metadata.uid), ("shop", "0a1b"));
        judged.hear(Heard::Pods(runs));
        Some(judged.finish().unwrap().outcome)
    };
    let init = json!({"active": 1, "ready": 0});
    for (runs, outcome) in [
        (Ok(true), Outcome::Denied),
        (Ok(false), Outcome::Allowed),
        (Err("no answer".to_owned()), Outcome::Allowed),
    ] {
        let found = deleted(init.clone(), NamespaceView::default(), runs);
        assert_eq!(found, Some(outcome));
    }
    let going = NamespaceView {
        terminating: true,
        ..NamespaceView::default()
    };
    let unguarded = NamespaceView {
        mode: Some("off".to_owned()),
        ..NamespaceView::default()
    };
    for (status, view) in [
        (json!({"active": 1, "ready": 1}), NamespaceView::default()),
        (json!({"active": 0}), NamespaceView::default()),
        (init.clone(), going),
        (init, unguarded),
    ] {
        assert_eq!(deleted(status.clone(), view, Ok(true)), None, "{status}");
    }
}

#[test]
fn the_outcome_of_a_migration_that_has_ended_and_goes_is_shown() {
    let shows = |phase, change: Tweak| {
        let mut review = later("DELETE", finished);
        change(&mut review["request"]);
        let body = review.to_string();
        let read = admit::parse(phase, body.as_bytes()).unwrap();
        assert!(
            read.ended(&policy("record: {runs: {mode: off}}\n"))
                .is_none()
        );
        let shown = read.ended(&policy(""));
        assert!(
            shown
                .as_ref()
                .is_none_or(|job| &*job.metadata.uid == "0a1b")
        );
        shown.is_some()
    };
    assert!(shows(Validate, |_| {}));
    assert!(shows(Validate, |r| r["dryRun"] = json!(true)));
    assert!(!shows(Mutate, |_| {}));
    let others: [Tweak; 5] = [
        |r| {
            r["operation"] = json!("UPDATE");
            r["object"] = r["oldObject"].clone();
        },
        |r| r["subResource"] = json!("status"),
        |r| r["oldObject"]["status"] = json!({}),
        |r| r["oldObject"]["metadata"]["labels"] = json!({}),
        |r| r["oldObject"] = Value::Null,
    ];
    for other in others {
        assert!(!shows(Validate, other));
    }
}
