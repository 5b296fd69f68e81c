//! What an answer says, and what is written down of it.

use super::*;

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
                     \"OnFailure\"; write restartPolicy: Never in the pod template"
                ),
                "details": {"name": "shop-migrate", "group": "batch", "kind": "jobs", "causes": [
                    {"field": "metadata.name", "reason": "MW001",
                     "message": format!("\"shop-migrate\" does not end in a timestamp; {write_name}")},
                    {"field": "spec.template.spec.restartPolicy", "reason": "MW004",
                     "message": "found \"OnFailure\"; write restartPolicy: Never in the pod template"},
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
fn a_denial_ends_with_the_policys_help() {
    let bad = changed(|job| {
        job["metadata"]["name"] = json!("x");
        job["spec"]["parallelism"] = json!(2);
    });
    for (key, last) in [
        (
            "help: https://wiki.example.com/migrations\n",
            "https://wiki.example.com/migrations",
        ),
        (
            "help: >\n  Ask #platform\n  for an exception.\n",
            "Ask #platform for an exception.",
        ),
    ] {
        let (_, response) = ask(Validate, &bad, &policy(key));
        let message = response["status"]["message"].as_str().unwrap();
        let lines: Vec<_> = message.lines().collect();
        let expected = format!("Why, and how to ask for an exception: {last}");
        assert_eq!((lines.len(), lines[1]), (2, &*expected), "{message}");
        assert!(!response["warnings"].to_string().contains(last));
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
