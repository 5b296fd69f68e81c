//! Tests of the report for every combination of outcomes.

use super::answer::Obstacle;
use super::*;

fn allowed(warnings: &[&str]) -> Outcome {
    Outcome::Allowed {
        corrected: false,
        warnings: warnings.iter().map(|&text| text.to_owned()).collect(),
    }
}

fn denied(message: &str) -> Outcome {
    Outcome::Denied {
        webhook: "mutate.migration-warden.io".to_owned(),
        message: message.to_owned(),
    }
}

fn refused(by: Obstacle, message: &str) -> Outcome {
    Outcome::Refused {
        by,
        message: message.to_owned(),
    }
}

/// The state, the lines for the two Jobs with the summary, and the advice.
fn told(good: Outcome, broken: Outcome) -> (State, String, String) {
    let verification = Verification {
        namespace: "shop".to_owned(),
        good,
        broken,
    };
    let text = verification.to_string();
    let end = text.find(" in namespace shop\n").unwrap() + " in namespace shop\n".len();
    (
        verification.state(),
        text[..end].to_owned(),
        text[end..].to_owned(),
    )
}

#[test]
fn a_good_job_allowed_and_a_broken_one_denied_is_in_force() {
    let (state, text, advice) = told(allowed(&[]), denied("MW001 a: x\nMW004 b: y"));
    assert_eq!(state, State::InForce);
    assert_eq!(
        text,
        "\
ok       good migration Job: allowed
ok       broken migration Job: denied by mutate.migration-warden.io
         MW001 a: x
         MW004 b: y

migration-warden is in force in namespace shop
"
    );
    assert_eq!(advice, "");
}

#[test]
fn a_policy_that_corrects_is_in_force() {
    let corrected = Outcome::Allowed {
        corrected: true,
        warnings: vec!["MW004 restarting-pod: patched".to_owned()],
    };
    let (state, text, advice) = told(allowed(&[]), corrected);
    assert_eq!(state, State::InForce);
    assert_eq!(
        text,
        "\
ok       good migration Job: allowed
ok       broken migration Job: allowed, and corrected
         MW004 restarting-pod: patched

migration-warden is in force in namespace shop
"
    );
    assert_eq!(advice, "");
}

#[test]
fn a_broken_job_that_gets_in_is_not_in_force() {
    let pod_security = "would violate PodSecurity \"restricted:latest\"";
    for (warnings, line, advised) in [
        (
            &["MW004 restarting-pod: x"][..],
            "failed   broken migration Job: allowed with warnings\n         MW004 restarting-pod: x\n",
            advice::warned("shop"),
        ),
        (
            &[],
            "failed   broken migration Job: allowed without a warning from migration-warden\n",
            advice::unjudged("shop"),
        ),
        (
            &[pod_security],
            "failed   broken migration Job: allowed without a warning from migration-warden\n",
            advice::unjudged("shop"),
        ),
    ] {
        let (state, text, advice) = told(allowed(&[]), allowed(warnings));
        assert_eq!(state, State::NotInForce);
        assert!(text.contains(line), "{text}");
        assert!(
            text.ends_with("\nmigration-warden is not in force in namespace shop\n"),
            "{text}"
        );
        assert_eq!(advice.trim_end(), advised);
    }
}

#[test]
fn what_hinders_both_is_said_once() {
    let message = "Internal error occurred: failed calling webhook \"x\"";
    let unanswered = || Outcome::Unanswered {
        message: message.to_owned(),
    };
    let (state, text, advice) = told(unanswered(), unanswered());
    assert_eq!(state, State::NotInForce);
    assert_eq!(
        text,
        format!(
            "\
failed   good migration Job: refused, because the webhook does not answer
         {message}
failed   broken migration Job: refused, because the webhook does not answer
         {message}

migration-warden is not in force in namespace shop
"
        )
    );
    assert_eq!(advice.trim_end(), advice::UNANSWERED);
}

#[test]
fn a_good_job_that_is_denied_is_not_in_force() {
    let (state, text, advice) = told(denied("MW011 x"), denied("MW001 x"));
    assert_eq!(state, State::NotInForce);
    assert!(
        text.starts_with("failed   good migration Job: denied by mutate.migration-warden.io\n"),
        "{text}"
    );
    assert_eq!(advice.trim_end(), advice::REFUSES_GOOD);
}

#[test]
fn the_net_below_is_not_the_webhook() {
    let policy = Outcome::DeniedByPolicy {
        message: "x".to_owned(),
    };
    let (state, _, advice) = told(allowed(&[]), policy);
    assert_eq!(state, State::NotInForce);
    assert_eq!(advice.trim_end(), advice::unjudged("shop"));
}

#[test]
fn somebody_elses_refusal_tells_nothing() {
    for (by, advised) in [
        (
            Obstacle::Permission,
            "the permission to create jobs.batch in namespace shop is missing, which a dry run needs too:\nkubectl auth can-i create jobs.batch --namespace shop",
        ),
        (
            Obstacle::Identity,
            "the API server does not accept the credentials",
        ),
        (
            Obstacle::Namespace,
            "this namespace does not exist: choose another one with --namespace",
        ),
        (
            Obstacle::Other,
            "something else refuses the Job: choose another namespace with --namespace",
        ),
    ] {
        for (good, broken) in [
            (refused(by, "no"), refused(by, "no")),
            (allowed(&[]), refused(by, "no")),
            (refused(by, "no"), denied("MW001 x")),
        ] {
            let (state, text, advice) = told(good, broken);
            assert_eq!(state, State::Unknown);
            assert!(
                text.ends_with(
                    "\ncould not determine whether migration-warden is in force in namespace shop\n"
                ),
                "{text}"
            );
            assert_eq!(advice.trim_end(), advised);
        }
    }
}
