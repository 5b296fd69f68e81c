//! Counts the migrations that have not ended, and recognises those that have not started. Pure: from the Jobs and the
//! time.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::core::job::running::Said;
use crate::core::job::stored::StoredJob;

/// How long a migration without a deadline may take before it counts as overdue.
const NO_DEADLINE: SignedDuration = SignedDuration::from_hours(1);

/// How long after its Job's creation a migration should have started.
const LATE: SignedDuration = SignedDuration::from_mins(10);

/// Whether a migration has started, as far as its Job's status shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// It has started or ended, or it has opted out.
    Done,
    /// Its Job is too young to be late.
    Young,
    /// It should have started, and has not.
    Late,
    /// It should have started, and only its pods can show whether it has.
    Unclear,
}

/// Whether this migration has started by `now`.
pub(crate) fn start(job: &StoredJob, now: Timestamp) -> Start {
    if job.end.is_some() || job.is_opted_out || job.has_tried || job.said == Said::Running {
        Start::Done
    } else if now.duration_since(job.created) < LATE {
        Start::Young
    } else if job.said == Said::Unclear {
        Start::Unclear
    } else {
        Start::Late
    }
}

/// The migrations that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Active {
    /// How many there are.
    pub count: i64,
    /// How many of them are overdue.
    pub(crate) overdue: i64,
    /// When the oldest of them was created.
    pub oldest: Option<Timestamp>,
}

impl Active {
    /// Counts these Jobs at this time.
    pub(crate) fn of(jobs: &[Arc<StoredJob>], now: Timestamp) -> Self {
        let mut active = Self::default();
        for job in jobs
            .iter()
            .filter(|job| job.end.is_none() && !job.is_opted_out)
        {
            let allowed = job.deadline.map_or(NO_DEADLINE, SignedDuration::from_secs);
            let since = job.started.unwrap_or(job.created);
            active.count += 1;
            active.overdue += i64::from(now.duration_since(since) > allowed);
            let oldest = active.oldest.unwrap_or(job.created);
            active.oldest = Some(oldest.min(job.created));
        }
        active
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::runs::testing::{seen, yaml};

    #[test]
    fn a_migration_is_late_after_ten_minutes() {
        let rows = r#"
- ["10:00", {}, Late]
- ["09:59", {}, Young]
- ["10:00", {status: {active: 1, ready: 0}}, Unclear]
- ["09:59", {status: {active: 1, ready: 0}}, Young]
- ["10:00", {status: {active: 1, ready: 0}, spec: {managedBy: kueue.x-k8s.io/multikueue}}, Late]
- ["59:00", {status: {active: 1, ready: 1}}, Done]
- ["59:00", {status: {active: 1, ready: 0, failed: 1}}, Done]
- ["59:00", {status: {active: 0, succeeded: 1}}, Done]
- ["59:00", {status: {conditions: [{type: Failed, status: "True", lastTransitionTime: 2026-01-01T00:00:00Z}]}}, Done]
- ["59:00", {metadata: {labels: {migration-warden.io/migration: "false"}}}, Done]
"#;
        for (time, change, expected) in yaml::<Vec<(String, serde_json::Value, String)>>(rows) {
            let now = format!("2026-01-01T00:{time}Z").parse().unwrap();
            let found = start(&seen(&change.to_string()).job, now);
            assert_eq!(format!("{found:?}"), expected, "{change}");
        }
    }

    #[test]
    fn of_some_jobs() {
        let rows = r#"
- status: {conditions: [{type: Complete, status: "True", lastTransitionTime: 2026-01-01T00:00:00Z}]}
- metadata: {labels: {migration-warden.io/migration: "false"}}
- metadata: {creationTimestamp: 2026-01-01T02:30:00Z}
- metadata: {creationTimestamp: 2026-01-01T01:30:00Z}
- {metadata: {creationTimestamp: 2026-01-01T01:00:00Z}, status: {startTime: 2026-01-01T02:30:00Z}}
- metadata: {creationTimestamp: 2026-01-01T01:00:01Z}
  spec: {activeDeadlineSeconds: 600}
  status: {startTime: 2026-01-01T02:30:00Z}
- metadata: {creationTimestamp: 2026-01-01T01:00:02Z}
  spec: {activeDeadlineSeconds: 86400}
  status: {startTime: 2026-01-01T01:00:02Z}
"#;
        let changes = yaml::<Vec<serde_json::Value>>(rows).into_iter();
        let jobs: Vec<_> = changes
            .map(|change| Arc::new(seen(&change.to_string()).job))
            .collect();
        let now = "2026-01-01T03:00:00Z".parse().unwrap();
        let expected = Active {
            count: 5,
            overdue: 2,
            oldest: Some("2026-01-01T01:00:00Z".parse().unwrap()),
        };
        assert_eq!(Active::of(&jobs, now), expected);
        assert_eq!(Active::of(&jobs[..2], now), Active::default());
    }
}
