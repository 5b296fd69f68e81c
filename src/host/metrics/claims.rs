//! Metrics of claims: the outcome of those that reviews asked for, and releases.

use std::time::Duration;

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use prometheus_client::registry::Registry;
use strum::{IntoStaticStr, VariantNames};

use super::labels::{self, Counters, registered};

/// Upper bounds in seconds. A free claim takes one round trip to the API server.
const SECONDS: [f64; 11] = [
    0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Outcome of a claim. The first three are known outcomes, the others are reasons why it is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Claimed {
    Held,
    TakenOver,
    Waiting,
    Timeout,
    Forbidden,
    Unavailable,
    Contended,
    Crowded,
    Unreadable,
    Other,
}

#[derive(Debug)]
pub struct ClaimMetrics {
    claims: Counters,
    duration: Histogram,
    released: Counter,
    sweep_failures: Counter,
}

impl ClaimMetrics {
    /// Registers the metrics. All series exist from the start, so that `increase` counts their first event.
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            claims: Counters::new(
                registry,
                "claims",
                "Claims that reviews asked for, by outcome: held, taken_over, waiting, or the reason why it is unknown",
                "outcome",
                Claimed::VARIANTS,
            ),
            duration: labels::with(
                registry,
                "claim_duration_seconds",
                "Time until the outcome of a claim was known, in seconds",
                Histogram::new(SECONDS),
            ),
            released: registered(
                registry,
                "claims_released",
                "Claims that were released because their Job cannot run any more",
            ),
            sweep_failures: registered(
                registry,
                "claim_sweep_failures",
                "Failures to list, read or release claims",
            ),
        }
    }

    /// Counts a claim that a review asked for.
    pub fn asked(&self, outcome: Claimed, took: Duration) {
        self.claims.inc(outcome);
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a claim that was released.
    pub fn released(&self) {
        self.released.inc();
    }

    /// Counts a failure to list, read or release claims.
    pub fn sweep_failed(&self) {
        self.sweep_failures.inc();
    }
}
