//! All metric families of the process, in one typed struct with its own registry.
//!
//! No label holds the name of a Job, a namespace or a user, or another value that callers choose. So the number of
//! series has a fixed bound.

mod certificates;
pub(crate) mod claims;
pub(crate) mod controller;
pub(crate) mod events;
pub(crate) mod guards;
mod labels;
mod reviews;
pub(crate) mod runs;
mod server;

pub use labels::Watch;
pub use server::Rejection;

use crate::core::review::{Operation, Phase};
use arc_swap::ArcSwapOption;
use certificates::CertificateMetrics;
use claims::ClaimMetrics;
use labels::{Counters, registered};
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, text},
    metrics::{MetricType, counter::Counter, gauge::Gauge, info::Info},
    registry::Registry,
};
use reviews::ReviewMetrics;
use server::ServerMetrics;
use std::{sync::Arc, time::Duration};
use strum::VariantNames;

/// Content type of the text that [`Metrics::encode`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Values of the label `reason` for a decision line that was not written before the response was sent.
pub(crate) const LOST: [&str; 2] = ["blocked", "failed"];

/// The policy in use, as one series. A family would keep the old hashes, or show none or two hashes during a change.
#[derive(Clone, Debug, Default)]
struct PolicyInfo(Arc<ArcSwapOption<String>>);

impl EncodeMetric for PolicyInfo {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        match &*self.0.load() {
            Some(hash) => encoder.encode_info(&[("hash", hash.as_str())]),
            None => Ok(()),
        }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Info
    }
}

/// The metrics of one process. Every method is cheap and none fails.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: ReviewMetrics,
    uses_dropped: Counter,
    server: ServerMetrics,
    lost: Counters,
    policy_reloads: Counters,
    policy_reloaded: Gauge,
    policy: PolicyInfo,
    namespace_lookups: Counters,
    watch_failures: Counters,
    certificates: CertificateMetrics,
    ready: Gauge,
    /// Claims that reviews asked for, and claims that were released.
    pub claims: ClaimMetrics,
    events: Counters,
    /// Requests of the guards.
    pub guards: guards::GuardMetrics,
    /// Election and tidy-up.
    pub controller: controller::Controller,
    pub runs: runs::Runs,
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
        let mut owned = Registry::with_prefix("migration_warden");
        let registry = &mut owned;
        let mut metrics = Self {
            reviews: ReviewMetrics::new(registry),
            uses_dropped: registered(
                registry,
                "exception_uses_dropped",
                "Uses of exceptions that are missing from their status, because too many came at once",
            ),
            server: ServerMetrics::new(registry),
            lost: Counters::new(
                registry,
                "decision_records_lost",
                "Decision lines that were not written before the response was sent, by reason",
                "reason",
                &LOST,
            ),
            policy_reloads: Counters::of_results(
                registry,
                "policy_reloads",
                "Reloads of the policy file, by result",
            ),
            policy_reloaded: registered(
                registry,
                "policy_last_reload_successful",
                "1 if the last reload of the policy file succeeded, 0 if it failed",
            ),
            policy: registered(registry, "policy", "The policy in use"),
            namespace_lookups: Counters::of_results(
                registry,
                "namespace_lookups",
                "Requests for a namespace that the watch had not delivered yet, by result; \
             after a failure the labels of the namespace are ignored",
            ),
            watch_failures: Counters::new(
                registry,
                "watch_failures",
                "Failed requests of a watch; the known state stays in use, and the watch is retried",
                "watch",
                Watch::VARIANTS,
            ),
            certificates: CertificateMetrics::new(registry),
            claims: ClaimMetrics::new(registry),
            events: Counters::new(
                registry,
                "events",
                "Kubernetes Events about migrations, by whether they were sent",
                "result",
                events::Delivery::VARIANTS,
            ),
            guards: guards::GuardMetrics::new(registry),
            ready: registered(
                registry,
                "ready",
                "1 if this replica is ready for reviews, 0 if not",
            ),
            controller: controller::Controller::new(registry),
            runs: runs::Runs::new(registry),
            registry: owned,
        };
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        metrics
            .registry
            .register("build", "The running version", version);
        // The first policy was already loaded: without a valid one the program does not start.
        metrics.policy_reloaded.set(1);
        metrics
    }

    /// Counts a review with a response. `verdict` is one of the five outcomes of a decision.
    pub fn reviewed(&self, phase: Phase, operation: Operation, verdict: &'static str) {
        self.reviews.reviewed(phase, operation, verdict);
    }

    /// Counts a failed request of a watch.
    pub fn watch_failed(&self, watch: Watch) {
        self.watch_failures.inc(watch);
    }

    /// Counts a request to the API server for a namespace that a review needed.
    pub fn namespace_looked_up(&self, success: bool) {
        self.namespace_lookups.inc_result(success);
    }

    /// Counts a finding. `rule` is the id of its rule, `action` what the policy did with it.
    pub fn found(&self, rule: &'static str, action: &'static str) {
        self.reviews.found(rule, action);
    }

    /// Counts a review that an exception from this rule allowed.
    pub fn excepted(&self, rule: &'static str) {
        self.reviews.excepted(rule);
    }

    /// Counts a use of an exception that its status will not show.
    pub fn use_dropped(&self) {
        self.uses_dropped.inc();
    }

    /// Records the time from the headers of a review to its response.
    pub fn took(&self, phase: Phase, duration: Duration) {
        self.reviews.took(phase, duration);
    }

    /// Records the time to evaluate a review, without the time it waited.
    pub fn evaluated(&self, phase: Phase, duration: Duration) {
        self.reviews.evaluated(phase, duration);
    }

    /// Counts a request that was answered with an HTTP error.
    pub fn rejected(&self, why: Rejection) {
        self.server.rejected.inc(why);
    }

    /// Counts a request as in flight until the guard is dropped.
    #[must_use = "the request counts as in flight for as long as the guard lives"]
    pub fn in_flight(&self) -> InFlight<'_> {
        self.server.in_flight.inc();
        InFlight(&self.server.in_flight)
    }

    /// Counts a connection that was closed at once because too many were open.
    pub fn connection_refused(&self) {
        self.server.refused.inc();
    }

    /// Counts an open connection that was closed to make room.
    pub fn connection_evicted(&self) {
        self.server.evicted.inc();
    }

    /// Counts a decision line that was not written.
    pub fn record_lost(&self, reason: &'static str) {
        self.lost.inc(reason);
    }

    /// Counts a reload of the policy file.
    pub fn policy_reloaded(&self, success: bool) {
        self.policy_reloads.inc_result(success);
        self.policy_reloaded.set(success.into());
    }

    /// Sets the hash of the policy in use. The previous one is no longer exported.
    pub fn policy_in_use(&self, hash: String) {
        self.policy.0.store(Some(Arc::new(hash)));
    }

    /// Counts a reload of the certificate or of the client CA.
    pub fn certificate_reloaded(&self, success: bool) {
        self.certificates.reloads.inc_result(success);
    }

    /// Sets when the certificate in use expires.
    pub fn certificate_expires(&self, at: jiff::Timestamp) {
        self.certificates.expiration.set(at.as_second());
    }

    /// Sets when the last CA in the published bundle expires.
    pub fn ca_expires(&self, at: jiff::Timestamp) {
        self.certificates.ca_expiration.set(at.as_second());
    }

    /// Sets whether every entry of the webhook configuration of this kind trusts the CA of the certificate in use.
    pub fn ca_published(&self, kind: &'static str, published: bool) {
        let published_in = self
            .certificates
            .ca_published
            .get_or_create(&[("kind", kind)]);
        published_in.set(published.into());
    }

    /// Sets whether the webhook configuration of this kind sends all Jobs that the policy matches.
    pub fn in_agreement(&self, kind: &'static str, agrees: bool) {
        let agreement = self.certificates.agreement.get_or_create(&[("kind", kind)]);
        agreement.set(agrees.into());
    }

    /// Counts a Kubernetes Event by its result.
    pub fn event(&self, result: events::Delivery) {
        self.events.inc(result);
    }

    /// Sets whether this replica is ready for reviews.
    pub fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// All metrics as `OpenMetrics` text, to be sent as [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail. So an error means that one family cannot be encoded, and the others are
        // still useful.
        if let Err(error) = text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "failed to encode the metrics");
        }
        text
    }
}

/// A guard that counts one request as in flight. See [`Metrics::in_flight`].
#[derive(Debug)]
pub struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
