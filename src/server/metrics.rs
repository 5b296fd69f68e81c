//! All metrics of the process. Each part declares and counts its own, in the file that its type names.

use prometheus_client::metrics::gauge::Gauge;

use super::connections::ConnectionMetrics;
use super::review_metrics::ReviewMetrics;
use super::warden::lookups::LookupMetrics;
use crate::cluster::claims::metrics::ClaimMetrics;
use crate::cluster::cleanup::CleanupMetrics;
use crate::cluster::events::EventMetrics;
use crate::cluster::exceptions::ExceptionMetrics;
use crate::cluster::registration::RegistrationMetrics;
use crate::cluster::runs::RunMetrics;
use crate::cluster::{WatchMetrics, adoption, leader, starts};
use crate::host::decision_log::LostLines;
use crate::host::metrics::{Counters, Registry};
use crate::host::policy_watch::PolicyMetrics;
use crate::host::tls::live::CertificateMetrics;

/// All metrics of the process. A part that counts by itself gets a clone of its own.
#[derive(Debug)]
#[expect(missing_docs, reason = "the type of each says what it counts")]
pub struct Metrics {
    registry: Registry,
    pub(super) reviews: ReviewMetrics,
    pub(super) lookups: LookupMetrics,
    pub(super) connections: ConnectionMetrics,
    pub(super) ready: Gauge,
    pub lost_lines: LostLines,
    pub policy: PolicyMetrics,
    pub certificates: CertificateMetrics,
    pub registration: RegistrationMetrics,
    pub(crate) exceptions: ExceptionMetrics,
    pub watches: WatchMetrics,
    pub claims: ClaimMetrics,
    pub events: EventMetrics,
    pub leader: Gauge,
    pub cleanup: CleanupMetrics,
    pub(crate) adoptions: Counters,
    pub runs: RunMetrics,
    pub(crate) not_started: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All families at zero. Series whose labels are known exist from the start, because `increase` ignores the first
    /// value of a counter that did not exist before.
    #[must_use]
    pub fn new() -> Self {
        let mut owned = Registry::new();
        let registry = &mut owned;
        Self {
            reviews: ReviewMetrics::new(registry),
            lookups: LookupMetrics::new(registry),
            connections: ConnectionMetrics::new(registry),
            ready: registry.add("ready", "1 if this replica is ready for reviews, 0 if not"),
            lost_lines: LostLines::new(registry),
            policy: PolicyMetrics::new(registry),
            certificates: CertificateMetrics::new(registry),
            registration: RegistrationMetrics::new(registry),
            exceptions: ExceptionMetrics::new(registry),
            watches: WatchMetrics::new(registry),
            claims: ClaimMetrics::new(registry),
            events: EventMetrics::new(registry),
            leader: leader::metric(registry),
            cleanup: CleanupMetrics::new(registry),
            adoptions: adoption::metric(registry),
            runs: RunMetrics::new(registry),
            not_started: starts::metric(registry),
            registry: owned,
        }
    }

    /// All metrics as `OpenMetrics` text.
    #[must_use]
    pub fn encode(&self) -> String {
        self.registry.encode()
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    /// The published names. Prometheus ignores the first value of a counter that did not exist before.
    #[test]
    fn what_may_be_counted_exists_from_the_start() {
        let metrics = Metrics::new();
        metrics.registry.assert_has(&[
            concat!("build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            r#"reviews_total{phase="mutate",operation="CREATE",verdict="denied"} 0"#,
            r#"findings_total{rule="MW001",action="deny"} 0"#,
            r#"findings_total{rule="MW101",action="wait"} 0"#,
            r#"exceptions_used_total{rule="MW004"} 0"#,
            "exception_uses_dropped_total 0",
            r#"requests_rejected_total{reason="panic"} 0"#,
            "connections_refused_total 0",
            "connections_evicted_total 0",
            r#"decision_records_lost_total{reason="blocked"} 0"#,
            r#"policy_reloads_total{result="success"} 0"#,
            r#"adopted_jobs_total{adopted="detected"} 0"#,
            "policy_last_reload_successful 1",
            r#"namespace_lookups_total{result="failure"} 0"#,
            r#"watch_failures_total{watch="exceptions"} 0"#,
            r#"certificate_reloads_total{result="failure"} 0"#,
            "certificate_expiration_timestamp_seconds 0",
            "ca_expiration_timestamp_seconds 0",
            "ready 0",
            r#"claims_total{outcome="timeout"} 0"#,
            r#"claims_total{outcome="held"} 0"#,
            "claims_released_total 0",
            "claim_sweep_failures_total 0",
            r#"events_total{result="dropped"} 0"#,
            r#"guard_lookups_total{result="terminating"} 0"#,
            r#"guard_pod_lookups_total{result="idle"} 0"#,
            "leader 0",
            r#"tidy_ups_total{reason="hook-succeeded",result="dry-run"} 0"#,
            r#"adoptions_total{result="failure"} 0"#,
            r#"runs_total{outcome="lost"} 0"#,
            "runs_active 0",
            "runs_overdue 0",
            "runs_not_started 0",
            "oldest_active_run_timestamp_seconds 0",
            "unreviewed_migrations_total 0",
            r#"run_writes_total{result="dropped"} 0"#,
        ]);
        metrics
            .registration
            .published("MutatingWebhookConfiguration", true);
        metrics
            .registration
            .agrees("ValidatingWebhookConfiguration", false);
        metrics.registry.assert_has(&[
            r#"ca_published{kind="MutatingWebhookConfiguration"} 1"#,
            r#"webhook_configuration_in_agreement{kind="ValidatingWebhookConfiguration"} 0"#,
        ]);
        let text = metrics.encode();
        for never in [
            r#"{rule="MW002",action="patch"}"#,
            r#"{rule="MW001",action="wait"}"#,
        ] {
            assert!(!text.contains(never), "{never}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
