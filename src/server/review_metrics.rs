//! The metrics of reviews and of the requests that carry them: verdicts, findings, durations and refusals.
//!
//! All series exist from the start, because `increase` ignores the first value of a counter that did not exist before.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use strum::{VariantArray, VariantNames};

use super::refusal::Rejection;
use crate::core::policy::Action;
use crate::core::policy::rule::{Patch, Rule};
use crate::core::policy::rules::RULES;
use crate::core::policy::verdict::Outcome;
use crate::core::review::{Operation, Phase};
use crate::host::metrics::{Counters, Label, Registry};

/// Upper bounds in seconds. A review takes tens of microseconds, so most bounds are below 1 ms. The last ones are for
/// slow clients and a blocked decision log.
const REVIEW_SECONDS: [f64; 15] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.000_75, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1,
    0.5, 1.0, 10.0,
];

/// Upper bounds in seconds. Evaluating a Job of 3.5 KB takes about 20 microseconds, one of 1 MB some milliseconds.
const EVALUATION_SECONDS: [f64; 13] = [
    0.000_005, 0.000_01, 0.000_02, 0.000_03, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002,
    0.005, 0.01, 0.05,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    phase: &'static str,
    operation: &'static str,
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    rule: &'static str,
    action: &'static str,
}

/// One histogram for each phase.
#[derive(Debug)]
struct Durations {
    mutate: Histogram,
    validate: Histogram,
}

impl Durations {
    fn new(registry: &mut Registry, name: &str, help: &str, histogram: fn() -> Histogram) -> Self {
        let family = Family::<Label, Histogram, _>::new_with_constructor(histogram);
        let family = registry.add_this(name, help, family);
        let of = |phase: Phase| family.get_or_create_owned(&[("phase", phase.as_str())]);
        let (mutate, validate) = (of(Phase::Mutate), of(Phase::Validate));
        Self { mutate, validate }
    }

    fn observe(&self, phase: Phase, duration: Duration) {
        let histogram = match phase {
            Phase::Mutate => &self.mutate,
            Phase::Validate => &self.validate,
        };
        histogram.observe(duration.as_secs_f64());
    }
}

#[derive(Debug)]
pub(super) struct ReviewMetrics {
    reviews: Family<ReviewLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    durations: Durations,
    evaluations: Durations,
    rejected: Counters,
    in_flight: Gauge,
}

impl ReviewMetrics {
    /// Registers the metrics. All series exist from the start, so that `increase` counts their first event.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reviews: registry.add(
                "reviews",
                "Reviews answered, by phase, operation and verdict",
            ),
            findings: registry.add("findings", "Findings in reviews, by rule and by action"),
            durations: Durations::new(
                registry,
                "review_duration_seconds",
                "Time from the headers of a review to its response, in seconds; includes the time to receive the body",
                || Histogram::new(REVIEW_SECONDS),
            ),
            evaluations: Durations::new(
                registry,
                "evaluation_duration_seconds",
                "Time to evaluate a review, in seconds; excludes requests to the API server and writing the decision",
                || Histogram::new(EVALUATION_SECONDS),
            ),
            rejected: registry.counters(
                "requests_rejected",
                "Requests answered with an HTTP error instead of a review",
                "reason",
                Rejection::VARIANTS,
            ),
            in_flight: registry.add("requests_in_flight", "Requests being answered now"),
        };
        for phase in [Phase::Mutate, Phase::Validate] {
            for operation in Operation::ALL {
                for verdict in Outcome::VARIANTS {
                    drop(metrics.review(phase, operation, verdict.as_str()));
                }
            }
        }
        for rule in RULES {
            for action in actions(rule) {
                drop(metrics.finding(rule.id, action.as_str()));
            }
        }
        metrics
    }

    /// Counts a review that was answered. `verdict` is one of the outcomes of a decision.
    pub(super) fn reviewed(&self, phase: Phase, operation: Operation, verdict: &'static str) {
        self.review(phase, operation, verdict).inc();
    }

    /// Counts a finding. `rule` is the id of its rule, `action` what the policy did with it.
    pub(super) fn found(&self, rule: &'static str, action: &'static str) {
        self.finding(rule, action).inc();
    }

    /// Records the time from the headers of a review to its response.
    pub(super) fn took(&self, phase: Phase, duration: Duration) {
        self.durations.observe(phase, duration);
    }

    /// Records the time to evaluate a review, without the time it waited.
    pub(super) fn evaluated(&self, phase: Phase, duration: Duration) {
        self.evaluations.observe(phase, duration);
    }

    /// Counts a request that was answered with an HTTP error.
    pub(super) fn rejected(&self, why: Rejection) {
        self.rejected.inc(why);
    }

    /// Counts a request as in flight until the guard is dropped.
    #[must_use = "the request counts as in flight for as long as the guard lives"]
    pub(super) fn in_flight(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    fn review(
        &self,
        phase: Phase,
        operation: Operation,
        verdict: &'static str,
    ) -> impl std::ops::Deref<Target = Counter> {
        self.reviews.get_or_create(&ReviewLabels {
            phase: phase.as_str(),
            operation: operation.as_str(),
            verdict,
        })
    }

    fn finding(
        &self,
        rule: &'static str,
        action: &'static str,
    ) -> impl std::ops::Deref<Target = Counter> {
        self.findings.get_or_create(&FindingLabels { rule, action })
    }
}

/// The guard of [`ReviewMetrics::in_flight`].
pub(super) struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The actions that a policy can set for a rule.
fn actions(rule: &Rule) -> impl Iterator<Item = Action> {
    let patch = matches!(rule.patch, Patch::Possible).then_some(Action::Patch);
    let wait = (rule.guide == Action::Wait).then_some(Action::Wait);
    [Action::Audit, Action::Warn, Action::Deny]
        .into_iter()
        .chain(patch)
        .chain(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_and_requests_are_counted() {
        let mut registry = Registry::new();
        let metrics = ReviewMetrics::new(&mut registry);
        metrics.reviewed(Phase::Validate, Operation::from("PATCH"), "allowed");
        metrics.found("MW004", "deny");
        metrics.took(Phase::Mutate, Duration::from_micros(120));
        metrics.evaluated(Phase::Validate, Duration::from_micros(15));
        metrics.rejected(Rejection::TooLarge);
        let in_flight = metrics.in_flight();
        registry.assert_has(&[
            r#"reviews_total{phase="validate",operation="other",verdict="allowed"} 1"#,
            r#"findings_total{rule="MW004",action="deny"} 1"#,
            r#"review_duration_seconds_bucket{le="0.0001",phase="mutate"} 0"#,
            r#"review_duration_seconds_bucket{le="0.0002",phase="mutate"} 1"#,
            r#"evaluation_duration_seconds_bucket{le="0.00001",phase="validate"} 0"#,
            r#"evaluation_duration_seconds_bucket{le="0.00002",phase="validate"} 1"#,
            r#"requests_rejected_total{reason="too_large"} 1"#,
            "requests_in_flight 1",
        ]);
        drop(in_flight);
        registry.assert_has(&["requests_in_flight 0"]);
    }
}
