//! The published names and the behaviour of the families.

use super::controller::CleanupResult;
use super::guards::Lookup;
use super::runs::Wrote;
use super::*;
use crate::core::cleanup::Reason;
use crate::core::runs::active::Active;
use crate::core::runs::resource::Outcome;

#[test]
fn families_have_their_published_names() {
    let metrics = Metrics::new();
    metrics.reviewed(Phase::Validate, Operation::from("CREATE"), "denied");
    metrics.reviewed(Phase::Validate, Operation::from("PATCH"), "allowed");
    metrics.found("MW004", "deny");
    metrics.excepted("MW004");
    metrics.use_dropped();
    metrics.took(Phase::Mutate, Duration::from_micros(120));
    metrics.evaluated(Phase::Validate, Duration::from_micros(15));
    metrics.rejected(Rejection::TooLarge);
    metrics.connection_refused();
    metrics.record_lost("blocked");
    metrics.policy_reloaded(true);
    metrics.certificate_reloaded(false);
    metrics.certificate_expires(jiff::Timestamp::UNIX_EPOCH);
    metrics.ca_expires(jiff::Timestamp::UNIX_EPOCH);
    metrics.ca_published("MutatingWebhookConfiguration", true);
    metrics.in_agreement("ValidatingWebhookConfiguration", false);
    metrics.ready(true);
    metrics.controller.leads(true);
    metrics
        .controller
        .removed(Reason::EarlierAttempt, CleanupResult::Deleted);
    metrics
        .runs
        .ended(Outcome::Failed, Some(jiff::SignedDuration::from_secs(3)));
    metrics.runs.unreviewed();
    metrics.runs.wrote(Wrote::Written);
    metrics.runs.active(Active {
        count: 3,
        overdue: 1,
        oldest: Some(jiff::Timestamp::from_second(1_766_361_600).unwrap()),
    });
    metrics
        .claims
        .asked(super::claims::Claimed::Contended, Duration::from_millis(3));
    metrics.claims.released();
    metrics.claims.sweep_failed();
    metrics.guards.looked_up(Lookup::Failed);
    let _guard = metrics.in_flight();
    let text = metrics.encode();
    for line in [
        r#"migration_warden_reviews_total{phase="validate",operation="CREATE",verdict="denied"} 1"#,
        r#"migration_warden_reviews_total{phase="validate",operation="other",verdict="allowed"} 1"#,
        r#"migration_warden_findings_total{rule="MW004",action="deny"} 1"#,
        r#"migration_warden_exceptions_used_total{rule="MW004"} 1"#,
        "migration_warden_exception_uses_dropped_total 1",
        r#"migration_warden_review_duration_seconds_bucket{le="0.0001",phase="mutate"} 0"#,
        r#"migration_warden_review_duration_seconds_bucket{le="0.0002",phase="mutate"} 1"#,
        r#"migration_warden_evaluation_duration_seconds_bucket{le="0.00001",phase="validate"} 0"#,
        r#"migration_warden_evaluation_duration_seconds_bucket{le="0.00002",phase="validate"} 1"#,
        r#"migration_warden_requests_rejected_total{reason="too_large"} 1"#,
        r#"migration_warden_requests_rejected_total{reason="panic"} 0"#,
        "migration_warden_requests_in_flight 1",
        "migration_warden_connections_refused_total 1",
        r#"migration_warden_decision_records_lost_total{reason="blocked"} 1"#,
        r#"migration_warden_policy_reloads_total{result="success"} 1"#,
        r#"migration_warden_certificate_reloads_total{result="failure"} 1"#,
        "migration_warden_certificate_expiration_timestamp_seconds 0",
        "migration_warden_ca_expiration_timestamp_seconds 0",
        r#"migration_warden_ca_published{kind="MutatingWebhookConfiguration"} 1"#,
        r#"migration_warden_webhook_configuration_in_agreement{kind="ValidatingWebhookConfiguration"} 0"#,
        "migration_warden_ready 1",
        r#"migration_warden_claims_total{outcome="contended"} 1"#,
        r#"migration_warden_claims_total{outcome="timeout"} 0"#,
        r#"migration_warden_claims_total{outcome="held"} 0"#,
        r#"migration_warden_claim_duration_seconds_bucket{le="0.002"} 0"#,
        r#"migration_warden_claim_duration_seconds_bucket{le="0.005"} 1"#,
        "migration_warden_claims_released_total 1",
        "migration_warden_claim_sweep_failures_total 1",
        r#"migration_warden_guard_lookups_total{result="failed"} 1"#,
        r#"migration_warden_guard_lookups_total{result="terminating"} 0"#,
        "migration_warden_leader 1",
        r#"migration_warden_tidy_ups_total{reason="earlier-attempt",result="deleted"} 1"#,
        r#"migration_warden_tidy_ups_total{reason="hook-succeeded",result="failed"} 0"#,
        r#"migration_warden_runs_total{outcome="failed"} 1"#,
        r#"migration_warden_runs_total{outcome="lost"} 0"#,
        r#"migration_warden_run_duration_seconds_bucket{le="2.0",outcome="failed"} 0"#,
        r#"migration_warden_run_duration_seconds_bucket{le="5.0",outcome="failed"} 1"#,
        "migration_warden_runs_active 3",
        "migration_warden_runs_overdue 1",
        "migration_warden_oldest_active_run_timestamp_seconds 1766361600",
        "migration_warden_unreviewed_migrations_total 1",
        r#"migration_warden_run_writes_total{result="written"} 1"#,
        r#"migration_warden_run_writes_total{result="dropped"} 0"#,
        concat!(
            r#"migration_warden_build_info{version=""#,
            env!("CARGO_PKG_VERSION"),
            r#""} 1"#
        ),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_new_policy_replaces_the_old_one() {
    let metrics = Metrics::new();
    metrics.policy_in_use("aaa".to_owned());
    metrics.policy_in_use("bbb".to_owned());
    let text = metrics.encode();
    let series: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("migration_warden_policy_info"))
        .collect();
    assert_eq!(series, [r#"migration_warden_policy_info{hash="bbb"} 1"#]);
}

/// Prometheus ignores the first value of a counter that did not exist before.
#[test]
fn what_may_be_counted_is_there_before_it_is() {
    let text = Metrics::new().encode();
    for line in [
        r#"migration_warden_reviews_total{phase="mutate",operation="CREATE",verdict="denied"} 0"#,
        r#"migration_warden_findings_total{rule="MW001",action="deny"} 0"#,
        r#"migration_warden_findings_total{rule="MW101",action="wait"} 0"#,
        r#"migration_warden_exceptions_used_total{rule="MW004"} 0"#,
        "migration_warden_policy_last_reload_successful 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    for never in [
        r#"{rule="MW002",action="patch"}"#,
        r#"{rule="MW001",action="wait"}"#,
    ] {
        assert!(!text.contains(never), "{never}");
    }
}

#[test]
fn the_last_reload_is_told_until_the_next() {
    let metrics = Metrics::new();
    for success in [false, true] {
        metrics.policy_reloaded(success);
        let line = format!(
            "migration_warden_policy_last_reload_successful {}\n",
            u8::from(success)
        );
        assert!(metrics.encode().contains(&line), "{line}");
    }
}

#[test]
fn a_request_is_in_flight_until_its_guard_is_dropped() {
    let metrics = Metrics::new();
    drop(metrics.in_flight());
    assert!(metrics.encode().contains("requests_in_flight 0\n"));
}
