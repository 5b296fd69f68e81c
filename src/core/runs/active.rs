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
#[must_use]
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
pub struct Active {
    /// How many there are.
    pub count: i64,
    /// How many of them are overdue.
    pub overdue: i64,
    /// When the oldest of them was created.
    pub oldest: Option<Timestamp>,
}

impl Active {
    /// Counts these Jobs at this time.
    #[must_use]
    pub fn of(jobs: &[Arc<StoredJob>], now: Timestamp) -> Self {
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
    use serde_json::{Value, json};

    use super::*;
    use crate::core::job::stored::WatchedJob;

    fn job(metadata: &Value, spec: &Value, status: &Value) -> Arc<StoredJob> {
        let mut metadata = metadata.clone();
        metadata["name"] = json!("x");
        let job = json!({"metadata": metadata, "spec": spec, "status": status});
        let job: WatchedJob = serde_json::from_value(job).unwrap();
        Arc::new(job.into())
    }

    #[test]
    fn a_migration_is_late_after_ten_minutes() {
        let made = json!({"creationTimestamp": "2026-01-01T00:00:00Z"});
        let none = json!({});
        let at = |time: &str, status: &Value| {
            let now = format!("2026-01-01T00:{time}Z").parse().unwrap();
            start(&job(&made, &none, status), now)
        };
        let pending = json!({"active": 1, "ready": 0});
        for (status, expected) in [(&none, Start::Late), (&pending, Start::Unclear)] {
            assert_eq!(at("09:59", status), Start::Young);
            assert_eq!(at("10:00", status), expected);
        }
        for status in [
            json!({"active": 1, "ready": 1}),
            json!({"active": 1, "ready": 0, "failed": 1}),
            json!({"active": 0, "succeeded": 1}),
            json!({"conditions": [
                {"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ]}),
        ] {
            assert_eq!(at("59:00", &status), Start::Done, "{status}");
        }
        let mut opted_out = made.clone();
        opted_out["labels"] = json!({"migration-warden.io/migration": "false"});
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        assert_eq!(start(&job(&opted_out, &none, &none), now), Start::Done);
        let elsewhere = json!({"managedBy": "kueue.x-k8s.io/multikueue"});
        assert_eq!(start(&job(&made, &elsewhere, &pending), now), Start::Late);
    }

    #[test]
    fn of_some_jobs() {
        let made = |at: &str| json!({"creationTimestamp": format!("2026-01-01T{at}Z")});
        let started = |at: &str| json!({"startTime": format!("2026-01-01T{at}Z")});
        let ended = json!({"conditions": [
            {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]});
        let mut opted_out = made("00:00:00");
        opted_out["labels"] = json!({"migration-warden.io/migration": "false"});
        let now = "2026-01-01T03:00:00Z".parse().unwrap();
        let none = json!({});
        let jobs = [
            job(&made("00:00:00"), &none, &ended),
            job(&opted_out, &none, &none),
            job(&made("02:30:00"), &none, &none),
            job(&made("01:30:00"), &none, &none),
            job(&made("01:00:00"), &none, &started("02:30:00")),
            job(
                &made("01:00:01"),
                &json!({"activeDeadlineSeconds": 600}),
                &started("02:30:00"),
            ),
            job(
                &made("01:00:02"),
                &json!({"activeDeadlineSeconds": 86_400}),
                &started("01:00:02"),
            ),
        ];
        assert_eq!(
            Active::of(&jobs, now),
            Active {
                count: 5,
                overdue: 2,
                oldest: Some("2026-01-01T01:00:00Z".parse().unwrap()),
            }
        );
        assert_eq!(Active::of(&jobs[..2], now), Active::default());
    }
}
