//! Metrics of runs. Counters are increased by the replica that wrote the change; gauges show the view of each replica.

use jiff::{SignedDuration, Timestamp};
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use strum::{IntoStaticStr, VariantNames};

use crate::core::runs::active::Active;
use crate::core::runs::resource::Outcome;
use crate::host::metrics::{Counters, Label, Registry};

/// Upper bounds in seconds, from a migration without pending changes to one that takes a night.
const SECONDS: [f64; 12] = [
    1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0,
];

/// Outcomes of a run that has ended.
const ENDS: [Outcome; 4] = [
    Outcome::Succeeded,
    Outcome::Failed,
    Outcome::Deleted,
    Outcome::Lost,
];

/// The label of runs that failed before they started, so that a newer attempt can run: no alert counts them.
const SUPERSEDED: Label = [("outcome", "superseded")];

/// Result of writing a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Wrote {
    /// The run is stored.
    Written,
    /// The write failed and is retried.
    Failed,
    /// The write is not retried any more.
    Dropped,
}

type Durations = Family<Label, Histogram, fn() -> Histogram>;

/// The metrics of runs. Clones share the values.
#[derive(Clone, Debug)]
pub struct RunMetrics {
    ended: Family<Label, Counter>,
    duration: Durations,
    active: Gauge,
    overdue: Gauge,
    oldest: Gauge,
    unreviewed: Counter,
    writes: Counters,
}

impl RunMetrics {
    /// Registers the metrics. All series exist from the start, so that `increase` counts their first event.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            ended: registry.add(
                "runs",
                "Migrations that ended, by outcome; counted by the replica that recorded the end",
            ),
            duration: registry.add_this(
                "run_duration_seconds",
                "Time from the start of a migration to its end, in seconds, by outcome; excludes lost migrations",
                Durations::new_with_constructor(|| Histogram::new(SECONDS)),
            ),
            active: registry.add(
                "runs_active",
                "Migration Jobs that have not ended, as seen by this replica",
            ),
            overdue: registry.add(
                "runs_overdue",
                "Migration Jobs that have not ended after their activeDeadlineSeconds, or after an hour if it is not set",
            ),
            oldest: registry.add(
                "oldest_active_run_timestamp_seconds",
                "When the oldest migration Job that has not ended was created, in seconds since the Unix epoch; \
             0 if there is no such Job",
            ),
            unreviewed: registry.add(
                "unreviewed_migrations",
                "Migration Jobs that were found without a decision",
            ),
            writes: registry.counters(
                "run_writes",
                "Writes of runs, by result: written, failed (and retried), or dropped",
                "result",
                Wrote::VARIANTS,
            ),
        };
        drop(metrics.ended.get_or_create(&SUPERSEDED));
        for end in ENDS.map(label) {
            drop(metrics.ended.get_or_create(&end));
            drop(metrics.duration.get_or_create(&end));
        }
        metrics
    }

    /// Counts a run that ended.
    pub(super) fn ended(&self, outcome: Outcome, took: Option<SignedDuration>) {
        let labels = label(outcome);
        self.ended.get_or_create(&labels).inc();
        if let Some(took) = took {
            let duration = self.duration.get_or_create(&labels);
            duration.observe(took.as_secs_f64().max(0.0));
        }
    }

    /// Counts a run that failed before it started, so that a newer attempt can run.
    pub(super) fn superseded(&self) {
        self.ended.get_or_create(&SUPERSEDED).inc();
    }

    /// Counts a migration Job that exists without a decision.
    pub(super) fn unreviewed(&self) {
        self.unreviewed.inc();
    }

    /// Counts a write by its result.
    pub(super) fn wrote(&self, result: Wrote) {
        self.writes.inc(result);
    }

    /// Sets how many migration Jobs have not ended, and since when.
    pub(super) fn active(&self, active: Active) {
        self.active.set(active.count);
        self.overdue.set(active.overdue);
        let oldest = active.oldest.map_or(0, Timestamp::as_second);
        self.oldest.set(oldest);
    }
}

fn label(outcome: Outcome) -> Label {
    let outcome = match outcome {
        Outcome::Running => "running",
        Outcome::Lost => "lost",
        Outcome::Deleted => "deleted",
        Outcome::Failed => "failed",
        Outcome::Succeeded => "succeeded",
    };
    [("outcome", outcome)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted() {
        let mut registry = Registry::new();
        let metrics = RunMetrics::new(&mut registry);
        metrics.ended(Outcome::Failed, Some(SignedDuration::from_secs(3)));
        metrics.superseded();
        metrics.active(Active {
            count: 3,
            overdue: 1,
            oldest: Some(Timestamp::from_second(1_766_361_600).unwrap()),
        });
        registry.assert_has(&[
            r#"runs_total{outcome="failed"} 1"#,
            r#"runs_total{outcome="superseded"} 1"#,
            r#"run_duration_seconds_bucket{le="2.0",outcome="failed"} 0"#,
            r#"run_duration_seconds_bucket{le="5.0",outcome="failed"} 1"#,
            "runs_active 3",
            "runs_overdue 1",
            "oldest_active_run_timestamp_seconds 1766361600",
        ]);
    }
}
