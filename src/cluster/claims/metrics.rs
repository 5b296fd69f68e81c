//! The metrics of claims: the outcomes of those that reviews asked for, and releases.

use std::time::Duration;

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use strum::{IntoStaticStr, VariantNames};

use super::error::ClaimError;
use super::store::Taken;
use crate::host::metrics::{Counters, Registry};

/// Upper bounds in seconds. A free claim takes three round trips to the API server.
const SECONDS: [f64; 11] = [
    0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Outcome of a claim. The first three are known outcomes, the others are reasons why it is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Claimed {
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

/// The metrics of claims. Clones share the values.
#[derive(Clone, Debug)]
pub struct ClaimMetrics {
    outcomes: Counters,
    duration: Histogram,
    pub(super) released: Counter,
    pub(super) sweep_failures: Counter,
    pub(super) superseded: Counters,
}

impl ClaimMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        Self {
            outcomes: registry.counters(
                "claims",
                "Claims that reviews asked for, by outcome: held, taken_over, waiting, or the reason why it is unknown",
                "outcome",
                Claimed::VARIANTS,
            ),
            duration: registry.add_this(
                "claim_duration_seconds",
                "Time until the outcome of a claim was known, in seconds",
                Histogram::new(SECONDS),
            ),
            released: registry.add(
                "claims_released",
                "Claims that were released because their Job cannot run any more",
            ),
            sweep_failures: registry.add(
                "claim_sweep_failures",
                "Failures to list, read or release claims",
            ),
            superseded: registry.results(
                "claims_superseded",
                "Migrations that never started and were failed so that a newer attempt can run, by result",
            ),
        }
    }

    /// Counts a claim that a review asked for.
    pub(super) fn asked(&self, taken: &Result<Taken, ClaimError>, took: Duration) {
        self.outcomes.inc(match taken {
            Ok(Taken::Held { taken_over: None }) => Claimed::Held,
            Ok(Taken::Held { .. }) => Claimed::TakenOver,
            Ok(Taken::Waiting(_)) => Claimed::Waiting,
            Err(error) => error.outcome(),
        });
        self.duration.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::api::ApiError;

    #[test]
    fn claims_are_counted() {
        let mut registry = Registry::new();
        let metrics = ClaimMetrics::new(&mut registry);
        let contended = ApiError::Contended("write the claim".to_owned());
        metrics.asked(&Err(contended.into()), Duration::from_millis(3));
        metrics.asked(&Ok(Taken::Held { taken_over: None }), Duration::ZERO);
        registry.assert_has(&[
            r#"claims_total{outcome="contended"} 1"#,
            r#"claims_total{outcome="held"} 1"#,
            r#"claims_total{outcome="taken_over"} 0"#,
            r#"claim_duration_seconds_bucket{le="0.002"} 1"#,
            r#"claim_duration_seconds_bucket{le="0.005"} 2"#,
        ]);
    }
}
