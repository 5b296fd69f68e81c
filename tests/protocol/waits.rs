//! The answer to a migration that has to wait for another one: when to retry, and what the client and the Event say.

use super::*;

fn holder(age: i64, state: State) -> Refusal {
    Refusal::Held(Holder {
        namespace: "shop".to_owned(),
        job: "shop-migrate-1".to_owned(),
        age: SignedDuration::from_secs(age),
        user: "ci".to_owned(),
        state,
        failures: Some(Failures {
            failed: 3,
            limit: Some(7),
            end: "2025-12-22T00:12:00Z".parse().ok(),
        }),
    })
}

/// The answer if the claim is refused for this reason.
fn answered(rules: &str, is_dry_run: bool, why: Refusal) -> (Answer, Value) {
    let mut review = review(&job());
    review["request"]["dryRun"] = json!(is_dry_run);
    let body = review.to_string();
    let (policy, circumstances) = (policy(rules), circumstances());
    let parsed = admit::parse(Validate, body.as_bytes()).unwrap();
    let case = parsed.select(&policy).expect("a migration");
    let mut judged = case.judge(&circumstances, NamespaceView::default());
    assert!(matches!(judged.question(), Some(Question::Claim(_))));
    judged.hear(Heard::Refused(why, false));
    let answer = judged.finish().unwrap();
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
    (answer, body["response"]["status"].take())
}

const HELD: &str = "MW101 concurrent-migration: metadata.name: shop/shop-migrate-1 has not ended, created 75 seconds ago \
                    by \"ci\"; 3 of 7 attempts failed, ends by itself at about 2025-12-22 00:12 UTC; retry when that \
                    migration has finished";
const STOP: &str =
    "kubectl annotate job shop-migrate-1 -n shop migration-warden.io/allow-delete=true";

#[test]
fn the_client_retries_after_as_long_as_the_other_one_has_lasted() {
    let unknown = || Refusal::Unknown("it did not answer".to_owned());
    for (why, seconds, patience) in [
        (holder(0, State::Unfinished), 15, "eight to ten"),
        (holder(37, State::Suspended), 37, "eight to ten"),
        (holder(3_600, State::Deleted), 60, "eight to ten"),
        (holder(40, State::NotYetThere), 15, "at least two"),
        (Refusal::Crowded("full".to_owned()), 15, "at least two"),
        (unknown(), 15, "at least two"),
    ] {
        let (_, status) = answered("", false, why);
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(429), &json!("TooManyRequests"))
        );
        assert_eq!(
            status["details"]["retryAfterSeconds"], seconds,
            "{status:#}"
        );
        let message = status["message"].as_str().unwrap();
        let last = format!("\nHelm and kubectl retry by themselves for {patience} minutes.");
        assert!(message.ends_with(&last), "{message}");
    }
}

#[test]
fn who_does_not_retry_is_not_told_to() {
    for (rules, is_dry_run, code) in [
        ("", true, 429),
        ("rules: {concurrent-migration: deny}\n", false, 403),
    ] {
        let (_, status) = answered(rules, is_dry_run, holder(75, State::Unfinished));
        assert_eq!(status["code"], code, "{status:#}");
        assert_eq!(status["details"]["retryAfterSeconds"], Value::Null);
        let message = status["message"].as_str().unwrap();
        assert!(
            message.starts_with(HELD)
                && message.ends_with("kubectl delete job shop-migrate-1 -n shop"),
            "{message}"
        );
    }
}

/// The client shows nothing while it waits.
#[test]
fn the_event_says_what_the_client_does() {
    let (answer, status) = answered("", false, holder(75, State::Unfinished));
    let message = status["message"].as_str().unwrap();
    assert_eq!(
        message,
        format!(
            "{HELD}\nTo look:\n  kubectl describe job shop-migrate-1 -n shop\nTo stop it halfway:\n  {STOP}\n  \
             kubectl delete job shop-migrate-1 -n shop\nHelm and kubectl retry by themselves for eight to ten minutes."
        )
    );
    let happening = answer.happening.unwrap();
    assert_eq!(happening.reason, "MigrationWaiting");
    assert_eq!(
        happening.note,
        format!(
            "shop-migrate-1766361600: {HELD}; To look: kubectl describe job shop-migrate-1 -n shop; \
             To stop it halfway: {STOP}; kubectl delete job shop-migrate-1 -n shop; \
             Helm and kubectl retry by themselves for eight to ten minutes"
        )
    );
}
