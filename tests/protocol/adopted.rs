//! Jobs without a label that the policy adopts: what they are recognised by, and what they get.

use super::*;

const LABEL: &str = "migration-warden.io/adopted";

/// The valid Job without its label, as a chart sends it that no one has changed.
fn unlabelled(tweak: impl FnOnce(&mut Value)) -> Value {
    changed(|job| {
        job["metadata"]["labels"] = json!({"app": "shop"});
        tweak(job);
    })
}

/// A policy with these entries, each given by what it matches, and nothing else that adopts.
fn adopting(entries: &[&str]) -> Policy {
    let entry = |(index, matching)| format!("  - {{name: e{index}, match: {{{matching}}}}}");
    let entries: Vec<String> = entries.iter().enumerate().map(entry).collect();
    let entries = entries.join("\n");
    policy(&format!("detection: {{promises: []}}\nadopt:\n{entries}\n"))
}

/// What `/mutate` makes of the Job's label, and the name in the line of the decision of `/validate`.
fn adopted(review: &Value, policy: &Policy) -> (Value, Value) {
    let (_, response) = ask(Mutate, review, policy);
    let review = if response["patch"].is_null() {
        review.clone()
    } else {
        patched(review, &response)
    };
    let label = review["request"]["object"]["metadata"]["labels"][LABEL].clone();
    let line = ask(Validate, &review, policy)
        .0
        .line
        .map(|line| serde_json::from_slice::<Value>(&line).unwrap());
    (
        label,
        line.map_or(Value::Null, |line| line["adopted"].clone()),
    )
}

fn name(review: &Value, policy: &Policy) -> Option<String> {
    let (label, logged) = adopted(review, policy);
    assert_eq!(label, logged, "{review:#}");
    label.as_str().map(str::to_owned)
}

#[test]
fn each_field_of_an_entry_has_to_match() {
    let job = unlabelled(|job| {
        job["metadata"]["annotations"]["helm.sh/hook"] = json!(" Pre-Install , pre-upgrade");
    });
    for (matching, is_adopted) in [
        ("namespaces: [shop]", true),
        ("namespaces: [sh*, billing]", true),
        ("namespaces: [sho]", false),
        ("names: [shop-migrate-*]", true),
        ("names: [shop-migrate]", false),
        ("images: ['arigaio/atlas@*']", true),
        ("images: [atlas]", false),
        ("tools: [atlas]", true),
        ("tools: [flyway]", false),
        ("hooks: [pre-install]", true),
        ("hooks: [post-install, PreSync]", false),
        ("labels: {app: shop}", true),
        ("labels: {app: shop, tier: db}", false),
        (
            "namespaces: [shop], names: ['*-migrate-*'], images: ['*atlas*'], tools: [Atlas], hooks: [pre-upgrade], labels: {app: shop}",
            true,
        ),
        (
            "namespaces: [billing], names: ['*-migrate-*'], images: ['*atlas*']",
            false,
        ),
        ("names: ['*-migrate-*'], tools: [rails]", false),
    ] {
        let found = name(&job, &adopting(&[matching]));
        assert_eq!(found, is_adopted.then(|| "e0".to_owned()), "{matching}");
    }
}

#[test]
fn the_first_entry_wins_and_labels_win_over_all() {
    let both = adopting(&["names: [shop-*]", "namespaces: [shop]"]);
    assert_eq!(name(&unlabelled(|_| {}), &both).as_deref(), Some("e0"));
    let other = unlabelled(|job| job["metadata"]["name"] = json!("seed-1766361600"));
    assert_eq!(name(&other, &both).as_deref(), Some("e1"));
    assert_eq!(name(&review(&job()), &both), None, "labelled");
    let opted_out = unlabelled(|job| {
        job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
    });
    assert_eq!(name(&opted_out, &both), None);
    let generated = unlabelled(|job| {
        job["metadata"]["name"].take();
        job["metadata"]["generateName"] = json!("shop-migrate-");
    });
    assert_eq!(name(&generated, &both).as_deref(), Some("e0"));
    let argocds = unlabelled(|job| {
        job["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": "PreSync"});
    });
    let presync = adopting(&["hooks: [PreSync]"]);
    assert_eq!(name(&argocds, &presync).as_deref(), Some("e0"));
    let cronjob = review(&json!({
        "kind": "CronJob", "metadata": {"name": "shop-nightly"}, "spec": {"jobTemplate": {"spec": job()["spec"]}},
    }));
    assert_eq!(name(&cronjob, &both), None);
}

#[test]
fn a_job_of_the_guides_shape_is_adopted_as_detected() {
    let guides = unlabelled(|_| {});
    let found = name(&guides, &validate::builtin());
    assert_eq!(found.as_deref(), Some("detected"));
    let (answer, response) = ask(Validate, &guides, &validate::builtin());
    assert_eq!(answer.outcome, Outcome::Warned);
    assert_eq!(
        response["warnings"],
        json!([
            "MW022 metadata.labels: looks like a migration: it runs Atlas; write the label app.kubernetes.io/component: migration"
        ])
    );
    for (what, tweak) in [
        (
            "a later hook",
            (|job| job["metadata"]["annotations"]["helm.sh/hook"] = json!("post-install"))
                as fn(&mut Value),
        ),
        ("no hook", |job| job["metadata"]["annotations"] = json!({})),
        ("only its name", |job| {
            let container = &mut job["spec"]["template"]["spec"]["containers"][0];
            (container["image"], container["args"]) = (json!("app:1"), json!([]));
        }),
    ] {
        assert_eq!(
            name(&unlabelled(tweak), &validate::builtin()),
            None,
            "{what}"
        );
    }
    for none in ["{promises: []}", "{maxAction: off}"] {
        assert_eq!(
            name(&guides, &policy(&format!("detection: {none}\n"))),
            None,
            "{none}"
        );
    }
}

#[test]
fn what_the_owner_has_said_of_the_label_is_not_advised_against() {
    for (rules, outcome) in [
        ("", Outcome::Warned),
        ("rules: {MW022: audit}\n", Outcome::Allowed),
        ("profile: audit\n", Outcome::Allowed),
        (
            "namespaces: [{names: [shop], mode: audit}]\n",
            Outcome::Allowed,
        ),
    ] {
        let (answer, _) = ask(Validate, &unlabelled(|_| {}), &policy(rules));
        assert_eq!(answer.outcome, outcome, "{rules}");
    }
    let (answer, _) = ask(Validate, &unlabelled(|_| {}), &adopting(&["names: ['*']"]));
    assert_eq!(answer.outcome, Outcome::Allowed, "an entry names the Job");
}

#[test]
fn an_entry_caps_the_rules_and_no_promise() {
    let bad = unlabelled(|job| job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always"));
    let running = later("DELETE", |job| {
        job["metadata"]["labels"] = json!({LABEL: "shop"});
    });
    for (rules, outcome) in [
        ("", Outcome::Allowed),
        ("rules: off, ", Outcome::Allowed),
        ("rules: audit, ", Outcome::Allowed),
        ("rules: warn, ", Outcome::Warned),
        ("rules: enforce, ", Outcome::Denied),
    ] {
        let policy = policy(&format!(
            "adopt: [{{name: shop, {rules}match: {{names: [shop-*]}}}}]\n"
        ));
        let (answer, _) = ask(Validate, &bad, &policy);
        assert_eq!(answer.outcome, outcome, "{rules}");
        assert_eq!(answer.findings.is_empty(), rules.contains("off"), "{rules}");
        assert_eq!(
            ask(Validate, &running, &policy).0.outcome,
            Outcome::Denied,
            "{rules}"
        );
    }
}

#[test]
fn only_the_promises_of_the_entry_are_kept() {
    let running = later("DELETE", |job| {
        job["metadata"]["labels"] = json!({LABEL: "shop"});
    });
    let ended = later("DELETE", |job| {
        job["metadata"]["labels"] = json!({LABEL: "shop"});
        finished(job);
    });
    for promise in ["claims", "guards", "record", "tidyUp"] {
        let policy = policy(&format!(
            "adopt: [{{name: shop, match: {{names: [shop-*]}}, promises: [{promise}]}}]\n"
        ));
        let is_denied = ask(Validate, &running, &policy).0.outcome == Outcome::Denied;
        assert_eq!(is_denied, promise == "guards");
        let body = ended.to_string();
        let review = admit::parse(Validate, body.as_bytes()).unwrap();
        assert_eq!(review.ended(&policy).is_some(), promise == "record");
        let body = unlabelled(|_| {}).to_string();
        let review = admit::parse(Validate, body.as_bytes()).unwrap();
        let circumstances = circumstances();
        let case = review.select(&policy).unwrap();
        let judged = case.judge(&circumstances, NamespaceView::default());
        assert_eq!(judged.question().is_some(), promise == "claims");
        let (_, response) = ask(Mutate, &unlabelled(|_| {}), &policy);
        let job = &patched(&unlabelled(|_| {}), &response)["request"]["object"];
        let has_ttl = !job["spec"]["ttlSecondsAfterFinished"].is_null();
        assert_eq!(has_ttl, promise == "tidyUp");
        assert_eq!(job["metadata"]["labels"][LABEL], "shop");
    }
}

#[test]
fn the_label_is_the_policys_word_and_not_the_clients() {
    let claims = |job: &mut Value| job["metadata"]["labels"][LABEL] = json!("other");
    let builtin = validate::builtin();
    assert_eq!(
        name(&unlabelled(claims), &builtin).as_deref(),
        Some("detected")
    );
    let plain = unlabelled(|job| {
        claims(job);
        job["metadata"]["annotations"] = json!({});
    });
    let (label, logged) = adopted(&plain, &builtin);
    assert_eq!((label, logged), (json!("other"), json!("other")));
    // An earlier policy may have adopted it: it keeps the promises, and its rules are those of a detected Job.
    let (answer, _) = ask(Validate, &plain, &builtin);
    assert_eq!(
        (&line(&answer)["adopted"], answer.outcome),
        (&json!("other"), Outcome::Allowed)
    );
    // Not even the name of an entry chooses the entry: it would lift the limit of detection, or lower it.
    let denying = policy(
        "detection: {maxAction: deny, promises: []}\n\
         adopt: [{name: other, rules: off, match: {namespaces: [billing]}}]\n",
    );
    let later = unlabelled(|job| {
        claims(job);
        job["metadata"]["annotations"]["helm.sh/hook"] = json!("post-install");
    });
    let (answer, _) = ask(Validate, &later, &denying);
    assert_eq!(answer.outcome, Outcome::Denied);
    let labelled = changed(claims);
    let (_, response) = ask(Mutate, &labelled, &builtin);
    assert!(
        patched(&labelled, &response)["request"]["object"]["metadata"]["labels"][LABEL].is_null()
    );
    assert!(line(&ask(Validate, &labelled, &builtin).0)["adopted"].is_null());
}

#[test]
fn in_a_namespace_that_is_off_nothing_is_changed() {
    let off = policy("namespaces: [{names: [shop], mode: off}]\n");
    let (_, response) = ask(Mutate, &unlabelled(|_| {}), &off);
    assert!(response["patch"].is_null(), "{response:#}");
}

/// The API server asks no other phase about it.
#[test]
fn the_decision_about_a_job_that_is_only_detected_is_that_of_the_mutating_phase() {
    let later =
        unlabelled(|job| job["metadata"]["annotations"]["helm.sh/hook"] = json!("post-install"));
    let (answer, response) = ask(Mutate, &later, &validate::builtin());
    assert_eq!(line(&answer)["selection"], "detected");
    assert!(response["patch"].is_null());
    let denying = policy("detection: {maxAction: deny}\nrules: {MW002: warn, MW017: warn}\n");
    assert!(ask(Mutate, &later, &denying).0.line.is_none());
    assert_eq!(
        line(&ask(Validate, &later, &denying).0)["selection"],
        "detected"
    );
}

#[test]
fn a_job_without_any_label_gets_its_first() {
    let bare = unlabelled(|job| {
        job["metadata"].as_object_mut().unwrap().remove("labels");
    });
    assert_eq!(
        name(&bare, &validate::builtin()).as_deref(),
        Some("detected")
    );
}

#[test]
fn the_label_of_an_existing_job_stays() {
    let told = |before: Value, after: Value| {
        let mut review = later("UPDATE", |job| job["metadata"]["labels"] = before);
        review["request"]["object"]["metadata"]["labels"] = after;
        let (answer, response) = ask(Validate, &review, &validate::builtin());
        let ids: Vec<_> = answer.findings.iter().map(|(id, _)| *id).collect();
        (
            ids,
            response["status"]["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let migration = json!({"app.kubernetes.io/component": "migration"});
    let with = |name: &str| json!({"app.kubernetes.io/component": "migration", LABEL: name});
    assert_eq!(told(json!({LABEL: "a"}), json!({LABEL: "a"})).0, [""; 0]);
    for (before, after, ids) in [
        (json!({LABEL: "a"}), json!({LABEL: "b"}), &["MW104"][..]),
        (migration.clone(), with("a"), &["MW104"]),
        (with("a"), migration, &["MW104"]),
        (json!({LABEL: "a"}), json!({}), &["MW102", "MW104"]),
        // The elected replica adopts a Job that runs already.
        (json!({}), json!({LABEL: "a"}), &[]),
    ] {
        assert_eq!(told(before.clone(), after).0, ids, "{before}");
    }
    assert_eq!(
        told(json!({LABEL: "a"}), json!({LABEL: "b"})).1,
        "MW104 forged-stamp: metadata.labels['migration-warden.io/adopted']: it is \"a\", and may not become \"b\"; leave stamps out of charts and \
         manifests, and keep the label of a stamped Job"
    );
}

#[test]
fn under_the_profile_audit_a_job_gets_its_stamps_and_no_more() {
    let bad = |job: &mut Value| job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    for (text, is_left) in [
        ("profile: audit\n", true),
        ("namespaces: [{names: [shop], mode: audit}]\n", true),
        ("rules: {MW004: audit}\n", false),
    ] {
        for review in [changed(bad), unlabelled(bad)] {
            let (answer, response) = ask(Mutate, &review, &policy(text));
            assert!(answer.outcome <= Outcome::Warned, "{text}");
            let job = &patched(&review, &response)["request"]["object"];
            assert_eq!(
                job["spec"] == review["request"]["object"]["spec"],
                is_left,
                "{text}"
            );
            assert_eq!(
                job["metadata"]["annotations"]["migration-warden.io/requested-by"],
                "ci"
            );
        }
    }
}
