//! Stamps that a client writes, changes or takes away.

use super::*;

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
        "MW104 forged-stamp: metadata.annotations['migration-warden.io/requested-by']: the annotation migration-warden.io/requested-by is missing beside other \
         stamps, and \"ci\" creates the Job; leave stamps out of charts and manifests, and keep the label of a stamped Job"
    );
    // A detected Job is corrected, and has no other stamp.
    let detected = changed(|job| {
        claims(job);
        job["metadata"]["labels"] = json!({"app": "shop"});
    });
    let (answer, _) = ask(
        Validate,
        &detected,
        &policy("detection: {maxAction: deny, promises: []}\n"),
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
        let message = response["status"]["message"].as_str().unwrap();
        let job = "shop-migrate-1766361600";
        let lost = format!(
            "MW104 forged-stamp: metadata.labels: shop/{job} was admitted as a migration Job, and is not one after this \
             update; leave stamps out of charts and manifests, and keep the label of a stamped Job\n\
             To remove the Job:\n  kubectl delete job {job} -n shop"
        );
        assert!(message.ends_with(&lost), "{message}");
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
    let end = "leave stamps out of charts and manifests, and keep the label of a stamped Job";
    for (stamps, said) in [
        (
            json!({"requested-by": "root"}),
            "it is \"root\", but \"ci\" creates the Job",
        ),
        (
            json!({"decision": ID}),
            "the annotation migration-warden.io/requested-by is missing beside other stamps, and \"ci\" creates the Job",
        ),
        (
            json!({"exceptions": "all"}),
            "the annotation migration-warden.io/requested-by is missing beside other stamps, and \"ci\" creates the Job",
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
    let end = "leave stamps out of charts and manifests, and keep the label of a stamped Job";
    let at = |stamp: &str| {
        format!("MW104 forged-stamp: metadata.annotations['migration-warden.io/{stamp}']: ")
    };
    for (stamps, said) in [
        (
            json!({"decision": "2"}),
            format!(
                "{}it is \"1\", and may not become \"2\"; {end}",
                at("decision")
            ),
        ),
        (
            json!({"requested-by": null}),
            format!(
                "{}it is \"ci\", and may not be removed; {end}",
                at("requested-by")
            ),
        ),
        (
            json!({"exceptions": "x", "decision": ""}),
            format!(
                "{}it is \"1\", and may not become \"\"; {end}\n{}the Job was created without it, so \"x\" may not be added; {end}",
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
        "MW104 forged-stamp: metadata.annotations['migration-warden.io/requested-by']: \
         migration-warden did not write \"alice\", because the Job was not a migration Job when it was created (remove \
         the annotation to make it one); leave stamps out of charts and manifests, and keep the label of a stamped Job"
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
