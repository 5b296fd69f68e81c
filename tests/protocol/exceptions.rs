//! What an exception covers.

use super::*;

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
            "MW001 metadata.name: exempted by hotfix until 2025-12-23T00:00:00Z",
            "MW004 spec.template.spec.restartPolicy: exempted by hotfix until 2025-12-23T00:00:00Z",
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
