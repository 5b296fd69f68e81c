//! Metrics of runs. Counters are increased by the replica that wrote the change; gauges show the view of each replica.

use jiff::{SignedDuration, Timestamp};
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use prometheus_client::registry::Registry;
use strum::{IntoStaticStr, VariantNames};

use super::labels::{Counters, Label};
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

/// The metrics of runs.
#[derive(Debug)]
pub struct Runs {
    ended: Family<Label, Counter>,
    duration: Family<Label, Histogram, fn() -> Histogram>,
    active: Gauge,
    overdue: Gauge,
    oldest: Gauge,
    not_started: Gauge,
    unreviewed: Counter,
    writes: Counters,
}

impl Default for Runs {
    /// All series start at zero, so that `increase` counts their first event.
    fn default() -> Self {
        let runs = Self {
            ended: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            active: Gauge::default(),
            overdue: Gauge::default(),
            oldest: Gauge::default(),
            not_started: Gauge::default(),
            unreviewed: Counter::default(),
            writes: Counters::new("result", Wrote::VARIANTS),
        };
        for end in ENDS {
            drop(runs.ended.get_or_create(&labels(end)));
            drop(runs.duration.get_or_create(&labels(end)));
        }
        runs
    }
}

impl Runs {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "runs",
            "Migrations that ended, by outcome; counted by the replica that recorded the end",
            self.ended.clone(),
        );
        registry.register(
            "run_duration_seconds",
            "Time from the start of a migration to its end, in seconds, by outcome; excludes lost migrations",
            self.duration.clone(),
        );
        registry.register(
            "runs_active",
            "Migration Jobs that have not ended, as seen by this replica",
            self.active.clone(),
        );
        registry.register(
            "runs_overdue",
            "Migration Jobs that have not ended after their activeDeadlineSeconds, or after an hour if it is not set",
            self.overdue.clone(),
        );
        registry.register(
            "oldest_active_run_timestamp_seconds",
            "When the oldest migration Job that has not ended was created, in seconds since the Unix epoch; \
             0 if there is no such Job",
            self.oldest.clone(),
        );
        registry.register(
            "runs_not_started",
            "Migration Jobs that have not started ten minutes after their creation, as seen by this replica",
            self.not_started.clone(),
        );
        registry.register(
            "unreviewed_migrations",
            "Migration Jobs that were found without a decision",
            self.unreviewed.clone(),
        );
        self.writes.register(
            "run_writes",
            "Writes of runs, by result: written, failed (and retried), or dropped",
            registry,
        );
    }

    /// Counts a run that ended.
    pub fn ended(&self, outcome: Outcome, took: Option<SignedDuration>) {
        let labels = labels(outcome);
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

fn labels(outcome: Outcome) -> Label {
    let outcome = match outcome {
        Outcome::Running => "running",
        Outcome::Lost => "lost",
        Outcome::Deleted => "deleted",
        Outcome::Failed => "failed",
        Outcome::Succeeded => "succeeded",
    };
    [("outcome", outcome)]
}
