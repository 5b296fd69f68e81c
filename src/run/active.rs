//! What has not ended yet, in numbers. Pure: from the Jobs and the time.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::job::stored::StoredJob;

/// What a migration without a deadline may take before somebody should look.
const NO_DEADLINE: SignedDuration = SignedDuration::from_hours(1);

/// The migrations that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Active {
    /// How many.
    pub count: i64,
    /// How many of them take longer than they should.
    pub overdue: i64,
    /// When the oldest of them was made.
    pub oldest: Option<Timestamp>,
}

impl Active {
    /// Of these Jobs, at this time.
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
    use crate::job::stored::WatchedJob;

    fn job(metadata: &Value, spec: &Value, status: &Value) -> Arc<StoredJob> {
        let mut metadata = metadata.clone();
        metadata["name"] = json!("x");
        let job = json!({"metadata": metadata, "spec": spec, "status": status});
        let job: WatchedJob = serde_json::from_value(job).unwrap();
        Arc::new(job.into())
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
