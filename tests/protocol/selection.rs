//! Which Jobs are judged, and how strictly.

use super::*;

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
        "MW004 spec.jobTemplate.spec.template.spec.restartPolicy: found \"OnFailure\"; write restartPolicy: Never in the pod template"
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
    let unadopted = policy("detection: {promises: []}\n");
    let (answer, response) = ask(Validate, &unlabelled, &unadopted);
    assert_eq!(
        (answer.outcome, &response["allowed"]),
        (Outcome::Allowed, &json!(true))
    );
    assert_eq!(line(&answer)["selection"], "detected");
    let warned = ask(
        Validate,
        &unlabelled,
        &policy("detection: {maxAction: warn, promises: []}\n"),
    )
    .0;
    assert_eq!(warned.outcome, Outcome::Warned);
    let denied = ask(
        Validate,
        &unlabelled,
        &policy("detection: {maxAction: deny, promises: []}\n"),
    )
    .0;
    assert_eq!(denied.outcome, Outcome::Denied);
    let (off, response) = ask(
        Validate,
        &unlabelled,
        &policy("detection: {maxAction: off, promises: []}\n"),
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
        json!([
            "namespace label migration-warden.io/mode: \"of\" is not a mode, so the policy is enforced; write enforce, warn, audit or off"
        ])
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
    // The pod itself says nothing about a mesh.
    let silent = changed(|job| {
        job["spec"]["template"]["metadata"].take();
    });
    let answer = ask_bytes(Validate, silent.to_string().as_bytes(), &strict, view).unwrap();
    assert!(answer.findings.iter().any(|(id, _)| *id == "MW019"));
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
