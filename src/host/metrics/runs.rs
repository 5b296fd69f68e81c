//! Metrics of runs. Counters are increased by the replica that wrote the change; gauges show the view of each replica.

use jiff::{SignedDuration, Timestamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use prometheus_client::registry::Registry;

use super::labels::ResultLabels;
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// Result of writing a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrote {
    /// The run is stored.
    Written,
    /// The write failed and is retried.
    Failed,
    /// The write is not retried any more.
    Dropped,
}

impl Wrote {
    const ALL: [Self; 3] = [Self::Written, Self::Failed, Self::Dropped];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The metrics of runs.
#[derive(Debug)]
pub struct Runs {
    ended: Family<OutcomeLabels, Counter>,
    duration: Family<OutcomeLabels, Histogram, fn() -> Histogram>,
    active: Gauge,
    overdue: Gauge,
    oldest: Gauge,
    not_started: Gauge,
    unreviewed: Counter,
    writes: Family<ResultLabels, Counter>,
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
            writes: Family::default(),
        };
        for end in ENDS {
            drop(runs.ended.get_or_create(&labels(end)));
            drop(runs.duration.get_or_create(&labels(end)));
        }
        for result in Wrote::ALL.map(Wrote::as_str) {
            drop(runs.writes.get_or_create(&ResultLabels { result }));
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
        registry.register(
            "run_writes",
            "Writes of runs, by result: written, failed (and retried), or dropped",
            self.writes.clone(),
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
        let result = result.as_str();
        self.writes.get_or_create(&ResultLabels { result }).inc();
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

fn labels(outcome: Outcome) -> OutcomeLabels {
    let outcome = match outcome {
        Outcome::Running => "running",
        Outcome::Lost => "lost",
        Outcome::Deleted => "deleted",
        Outcome::Failed => "failed",
        Outcome::Succeeded => "succeeded",
    };
    OutcomeLabels { outcome }
}
