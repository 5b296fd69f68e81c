//! Tests with every kind of answer, as API servers word it.

use super::*;
use crate::cluster::verify::jobs;
use serde_json::json;

type Expected<'a> = &'a dyn Fn(&str) -> Outcome;

fn refused(status: u16, message: &str) -> Outcome {
    let answer = Answer {
        status,
        warnings: Vec::new(),
        body: json!({"kind": "Status", "message": message}),
    };
    classify(&jobs::broken(), &answer)
}

fn allowed(body: Value, warnings: &[&str]) -> Outcome {
    let answer = Answer {
        status: 201,
        warnings: warnings.iter().map(|&value| value.to_owned()).collect(),
        body,
    };
    classify(&jobs::broken(), &answer)
}

#[test]
fn a_refusal_is_ours_or_somebody_elses() {
    let denied = |webhook: &str, message: &str| Outcome::Denied {
        webhook: webhook.to_owned(),
        message: message.to_owned(),
    };
    let unanswered = |message: &str| Outcome::Unanswered {
        message: message.to_owned(),
    };
    let policy = |message: &str| Outcome::DeniedByPolicy {
        message: message.to_owned(),
    };
    let other = |by, message: &str| Outcome::Refused {
        by,
        message: message.to_owned(),
    };

    let cases: [(u16, &str, Expected<'_>); 14] = [
        (
            403,
            "admission webhook \"mutate.migration-warden.io\" denied the request: MW001 untimestamped-name: x\nMW004 restarting-pod: y",
            &|_| {
                denied(
                    "mutate.migration-warden.io",
                    "MW001 untimestamped-name: x\nMW004 restarting-pod: y",
                )
            },
        ),
        (
            429,
            "admission webhook \"validate.migration-warden.io\" denied the request: MW101",
            &|_| denied("validate.migration-warden.io", "MW101"),
        ),
        (
            403,
            "admission webhook \"validate.kyverno.svc-fail\" denied the request: no",
            &|m| other(Obstacle::Other, m),
        ),
        (
            403,
            "admission webhook \"notmigration-warden.io\" denied the request: no",
            &|m| other(Obstacle::Other, m),
        ),
        (
            400,
            "admission webhook \"mutate.migration-warden.io\" does not support dry run",
            &|m| other(Obstacle::Other, m),
        ),
        (
            500,
            "Internal error occurred: failed calling webhook \"mutate.migration-warden.io\": failed to call webhook: Post \"https://x/mutate?timeout=5s\": dial tcp 10.0.0.1:443: connect: connection refused",
            &unanswered,
        ),
        (
            500,
            "Internal error occurred: failed calling webhook \"validate.kyverno.svc-fail\": context deadline exceeded",
            &|m| other(Obstacle::Other, m),
        ),
        (
            422,
            "jobs.batch \"x\" is forbidden: ValidatingAdmissionPolicy 'migration-warden' with binding 'migration-warden' denied request: MW001",
            &policy,
        ),
        (
            422,
            "jobs.batch \"x\" is forbidden: ValidatingAdmissionPolicy 'other' with binding 'other' denied request: no",
            &|m| other(Obstacle::Other, m),
        ),
        (
            403,
            "jobs.batch is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"shop\"",
            &|m| other(Obstacle::Permission, m),
        ),
        (
            403,
            "jobs.batch \"x\" is forbidden: exceeded quota: q, requested: count/jobs.batch=1",
            &|m| other(Obstacle::Other, m),
        ),
        (401, "Unauthorized", &|m| other(Obstacle::Identity, m)),
        (404, "namespaces \"shop\" not found", &|m| {
            other(Obstacle::Namespace, m)
        }),
        (503, "", &|m| other(Obstacle::Other, m)),
    ];
    for (status, message, expected) in cases {
        assert_eq!(refused(status, message), expected(message), "{message}");
    }
}

#[test]
fn an_answer_that_is_no_status_is_told_by_its_code() {
    let answer = Answer {
        status: 502,
        warnings: Vec::new(),
        body: Value::Null,
    };
    assert_eq!(
        classify(&jobs::broken(), &answer),
        Outcome::Refused {
            by: Obstacle::Other,
            message: "HTTP status 502".to_owned()
        }
    );
}

#[test]
fn only_what_we_correct_is_a_correction() {
    for (path, value, corrected) in [
        (
            "/metadata/name",
            json!("migration-warden-verify-1766361600"),
            true,
        ),
        (
            "/metadata/annotations/helm.sh~1hook-delete-policy",
            json!("before-hook-creation,hook-succeeded"),
            true,
        ),
        ("/spec/template/spec/restartPolicy", json!("Never"), true),
        ("/spec/backoffLimit", json!(6), false),
        (
            "/metadata/labels/app.kubernetes.io~1instance",
            json!("x"),
            false,
        ),
    ] {
        let mut stored = jobs::broken();
        *stored.pointer_mut(path).unwrap() = value;
        assert_eq!(
            allowed(stored, &[]),
            Outcome::Allowed {
                corrected,
                warnings: Vec::new()
            },
            "{path}"
        );
    }
}

#[test]
fn warnings_are_taken_out_of_their_headers() {
    let headers = [
        r#"299 - "MW004 restarting-pod: found \"OnFailure\" in a \\ path""#,
        r#"299 - "one", 299 - "two""#,
        "299 - none",
    ];
    let expected = [
        r#"MW004 restarting-pod: found "OnFailure" in a \ path"#,
        "one",
        "two",
    ];
    assert_eq!(
        allowed(jobs::broken(), &headers),
        Outcome::Allowed {
            corrected: false,
            warnings: expected.map(str::to_owned).to_vec()
        }
    );
}
