//! Metrics of runs. Counters are increased by the replica that wrote the change; gauges show the view of each replica.

use jiff::{SignedDuration, Timestamp};
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use prometheus_client::registry::Registry;
use strum::{IntoStaticStr, VariantNames};

use super::labels::{self, Counters, Label, registered};
use crate::core::runs::active::Active;
use crate::core::runs::resource::Outcome;

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

/// Result of writing a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Wrote {
    /// The run is stored.
    Written,
    /// The write failed and is retried.
    Failed,
    /// The write is not retried any more.
    Dropped,
}

type Durations = Family<Label, Histogram, fn() -> Histogram>;

/// The metrics of runs.
#[derive(Debug)]
pub struct Runs {
    ended: Family<Label, Counter>,
    duration: Durations,
    active: Gauge,
    overdue: Gauge,
    oldest: Gauge,
    not_started: Gauge,
    unreviewed: Counter,
    writes: Counters,
}

impl Runs {
    /// Registers the metrics. All series exist from the start, so that `increase` counts their first event.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            ended: registered(
                registry,
                "runs",
                "Migrations that ended, by outcome; counted by the replica that recorded the end",
            ),
            duration: labels::with(
                registry,
                "run_duration_seconds",
                "Time from the start of a migration to its end, in seconds, by outcome; excludes lost migrations",
                Durations::new_with_constructor(|| Histogram::new(SECONDS)),
            ),
            active: registered(
                registry,
                "runs_active",
                "Migration Jobs that have not ended, as seen by this replica",
            ),
            overdue: registered(
                registry,
                "runs_overdue",
                "Migration Jobs that have not ended after their activeDeadlineSeconds, or after an hour if it is not set",
            ),
            oldest: registered(
                registry,
                "oldest_active_run_timestamp_seconds",
                "When the oldest migration Job that has not ended was created, in seconds since the Unix epoch; \
             0 if there is no such Job",
            ),
            not_started: registered(
                registry,
                "runs_not_started",
                "Migration Jobs that have not started ten minutes after their creation, as seen by this replica",
            ),
            unreviewed: registered(
                registry,
                "unreviewed_migrations",
                "Migration Jobs that were found without a decision",
            ),
            writes: Counters::new(
                registry,
                "run_writes",
                "Writes of runs, by result: written, failed (and retried), or dropped",
                "result",
                Wrote::VARIANTS,
            ),
        };
        for end in ENDS.map(label) {
            drop(metrics.ended.get_or_create(&end));
            drop(metrics.duration.get_or_create(&end));
        }
        metrics
    }

    /// Counts a run that ended.
    pub fn ended(&self, outcome: Outcome, took: Option<SignedDuration>) {
        let labels = label(outcome);
        self.ended.get_or_create(&labels).inc();
        if let Some(took) = took {
            let duration = self.duration.get_or_create(&labels);
            duration.observe(took.as_secs_f64().max(0.0));
        }
    }

    /// Counts a migration Job that exists without a decision.
    pub fn unreviewed(&self) {
        self.unreviewed.inc();
    }

    /// Counts a write by its result.
    pub fn wrote(&self, result: Wrote) {
        self.writes.inc(result);
    }

    /// Sets how many migration Jobs have not started in time.
    pub fn not_started(&self, late: i64) {
        self.not_started.set(late);
    }

    /// Sets how many migration Jobs have not ended, and since when.
    pub fn active(&self, active: Active) {
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
