//! Metrics of claims.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use prometheus_client::registry::Registry;

/// Upper bounds in seconds. Without another in the way a claim is one round trip to the apiserver.
const SECONDS: [f64; 11] = [
    0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// What became of claims, and how long that took.
#[derive(Debug)]
pub(super) struct ClaimMetrics {
    claims: Family<OutcomeLabels, Counter>,
    duration: Histogram,
}

impl Default for ClaimMetrics {
    fn default() -> Self {
        Self {
            claims: Family::default(),
            duration: Histogram::new(SECONDS),
        }
    }
}

impl ClaimMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "claims",
            "Claims asked for in reviews, by outcome: held, taken_over, waiting, or why it is not known",
            self.claims.clone(),
        );
        registry.register(
            "claim_duration_seconds",
            "Time from asking for a claim to knowing its outcome in seconds",
            self.duration.clone(),
        );
    }

    pub(super) fn asked(&self, outcome: &'static str, took: Duration) {
        self.claims.get_or_create(&OutcomeLabels { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
    }
}
