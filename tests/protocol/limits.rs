//! How long an answer may be, and what is not a review.

use super::*;

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
            text.chars().count() <= 256 && !text.chars().any(char::is_control),
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
    let mut update = later("UPDATE", |_| {});
    update["request"]["object"] = Value::Null;
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
         "the uid of the AdmissionReview's request has 254 bytes; at most 253 are allowed".to_owned()),
        (without("object"), "the AdmissionReview's CREATE request has no object".to_owned()),
        (update.to_string().into_bytes(), "the AdmissionReview's UPDATE request has no object".to_owned()),
        (deep.into_bytes(), "the body is not an AdmissionReview: a field has the wrong type at line 1, column 1".to_owned()),
        (b"[1, 2]".to_vec(), "the body is not an AdmissionReview: a field has the wrong type at line 1, column 2".to_owned()),
    ] {
        let error = ask_bytes(Validate, &body, &validate::builtin(), NamespaceView::default()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let body = wrong_type.to_string();
    let error = admit::parse(Validate, body.as_bytes())
        .unwrap_err()
        .to_string();
    let start = "the body is not an AdmissionReview: a field has the wrong type";
    assert!(
        error.starts_with(start) && !error.contains("s3cr3t"),
        "{error}"
    );
}

#[test]
fn a_summary_is_cut_and_holds_no_credential() {
    let of = |name: &str| {
        let body = changed(|job| job["metadata"]["name"] = json!(name)).to_string();
        admit::parse(Mutate, body.as_bytes()).unwrap().summary()
    };
    assert!(of("web-migrate").ends_with("/web-migrate"));
    let shown = of("postgres://u:hunter2@db/x");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(of(&"x".repeat(5000)).len() <= 512);
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

/// Rule, path and advice stay, and the detail is cut.
#[test]
fn a_long_warning_keeps_its_advice() {
    let value = format!("pre-install,pre-upgrade,{}", "x".repeat(80));
    let stray = changed(|job| {
        job["metadata"]["annotations"]
            .as_object_mut()
            .unwrap()
            .remove("helm.sh/hook");
        job["spec"]["template"]["metadata"] = json!({"annotations": {"helm.sh/hook": value}});
    });
    let (_, response) = ask(Validate, &stray, &policy("rules: {missing-hook: warn}\n"));
    let warnings = response["warnings"].as_array().unwrap();
    let start = "MW002 spec.template.metadata.annotations['helm.sh/hook']: found \"pre-install";
    let mut warnings = warnings.iter().filter_map(Value::as_str);
    let warning = warnings.find(|line| line.starts_with(start)).unwrap();
    assert!(
        warning.ends_with("pre-install,pre-upgrade") && warning.contains("…; move it to"),
        "{warning}"
    );
    assert_eq!(warning.chars().count(), 256);
}
