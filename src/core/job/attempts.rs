//! The failed attempts of a Job that has not ended, and when it ends if the others fail too. Pure: from the Job, and for
//! the time of the last failure from its pods.
//!
//! Source: `k8s.io/kubernetes: pkg/controller/job/{job_controller,backoff_utils}.go`.

use jiff::{SignedDuration, Timestamp};

use crate::core::job::Job;
use crate::core::job::running::{Pod, is_managed_by_another};

/// Seconds between the first failure and the next attempt. Each failure doubles them, up to ten minutes. (The
/// documentation of Kubernetes says six.)
const BACK_OFF: i64 = 10;
const LONGEST: i64 = 600;
/// Failures after which the pause is still doubled.
const DOUBLED: i64 = 6;
const _: () = assert!(BACK_OFF << (DOUBLED - 1) < LONGEST && BACK_OFF << DOUBLED >= LONGEST);

/// What an unfinished Job says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Unfinished {
    /// It is suspended: none of its pods is started.
    pub is_suspended: bool,
    /// It is being deleted, so no pods follow those that it has. If another controller manages it, its pods may be in
    /// another cluster, and this is not set.
    pub is_terminating: bool,
    pub attempts: Attempts,
}

/// The attempts of an unfinished Job. Each is a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Attempts {
    /// How many have failed.
    pub failed: i64,
    /// With how many failures the Job ends; `None` if each of its indexes has a limit of its own.
    pub limit: Option<i64>,
    /// When the first one was due, if one follows the other and only their number decides.
    pub since: Option<Timestamp>,
    /// When Kubernetes stops the Job, by its `activeDeadlineSeconds`.
    pub deadline: Option<Timestamp>,
}

impl From<&Job<'_>> for Unfinished {
    fn from(job: &Job<'_>) -> Self {
        Self {
            is_suspended: job.spec.suspend.unwrap_or_default(),
            is_terminating: job.is_terminating()
                && !is_managed_by_another(job.spec.managed_by.as_deref()),
            attempts: Attempts::of(job),
        }
    }
}

impl Attempts {
    fn of(job: &Job<'_>) -> Self {
        let spec = job.spec;
        let at_once = [spec.parallelism, spec.completions];
        let is_sequential = spec.pod_failure_policy.rules.is_empty()
            && at_once.iter().flatten().all(|pods| *pods <= 1);
        // A suspended Job has no start, and begins its time again when it is resumed.
        let started = job.status.start_time.as_deref();
        let started: Option<Timestamp> = started.and_then(|time| time.parse().ok());
        let has_one_limit = spec.backoff_limit_per_index.is_none();
        Self {
            failed: job.status.failed.unwrap_or_default(),
            limit: has_one_limit.then(|| job.backoff_limit().saturating_add(1)),
            since: started.filter(|_| is_sequential),
            deadline: after(started, spec.active_deadline_seconds),
        }
    }

    /// When the Job ends by itself if its further attempts take as long as those before and fail too; `None` if that
    /// cannot be known. `last` is when the last attempt failed, if its pod still shows it.
    pub(crate) fn end(&self, last: Option<Timestamp>) -> Option<Timestamp> {
        let given_up = self.given_up(last);
        given_up.into_iter().chain(self.deadline).min()
    }

    fn given_up(&self, last: Option<Timestamp>) -> Option<Timestamp> {
        let (since, last, limit) = (self.since?, last?, self.limit?);
        let left = limit.checked_sub(self.failed).filter(|left| *left > 0)?;
        let rested = pauses(self.failed.checked_sub(1)?);
        let ran = last.duration_since(since).as_secs().checked_sub(rested)?;
        let each = ran.max(0).checked_div(self.failed)?;
        let rest = pauses(limit.checked_sub(1)?).checked_sub(rested)?;
        after(Some(last), each.checked_mul(left)?.checked_add(rest))
    }
}

/// When the last of those pods failed that have.
pub(crate) fn last_failure(pods: &[Pod]) -> Option<Timestamp> {
    let has_failed = |pod: &&Pod| &*pod.status.phase == "Failed";
    let containers = pods.iter().filter(has_failed).flat_map(Pod::all);
    let ends = containers.filter_map(|(_, container)| {
        let ended = container.state.terminated.as_ref()?;
        Some(ended.finished_at.as_ref()?.0)
    });
    ends.max()
}

/// The seconds of all pauses after the first so many failures.
fn pauses(failures: i64) -> i64 {
    let doubled = failures.clamp(0, DOUBLED);
    let rest = failures.saturating_sub(doubled).max(0);
    let rest = rest.saturating_mul(LONGEST);
    (BACK_OFF << doubled).saturating_add(rest) - BACK_OFF
}

fn after(time: Option<Timestamp>, seconds: Option<i64>) -> Option<Timestamp> {
    let duration = SignedDuration::from_secs(seconds?);
    time?.checked_add(duration).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::policy::testing::stored;
    use crate::testing::merge;

    #[test]
    fn kubernetes_doubles_the_pauses_up_to_ten_minutes() {
        for (failures, seconds) in [(-1, 0), (0, 0), (1, 10), (2, 30), (6, 630), (7, 1_230)] {
            assert_eq!(pauses(failures), seconds, "{failures}");
        }
        assert_eq!(pauses(i64::MAX), i64::MAX - BACK_OFF);
    }

    /// A Job that started at 14:00 and waits for its third pod: the first two failed after 5 seconds each, with a pause
    /// of 10 seconds between them.
    const FAILING: &str = "
metadata: {creationTimestamp: 2026-01-01T13:59:59Z}
spec: {backoffLimit: 6}
status: {startTime: 2026-01-01T14:00:00Z, failed: 2}
";

    fn unfinished(change: &Value) -> Unfinished {
        let mut job = serde_saphyr::from_str(FAILING).unwrap();
        merge(&mut job, Some(change));
        stored(&job, |job| Unfinished::from(job))
    }

    fn attempts(change: &Value) -> Attempts {
        unfinished(change).attempts
    }

    #[test]
    fn the_pods_of_another_controller_are_not_asked() {
        let deleted = |controller: Option<&str>| {
            let time = json!({"deletionTimestamp": "2026-01-01T14:00:00Z"});
            let spec = json!({"managedBy": controller});
            unfinished(&json!({"metadata": time, "spec": spec})).is_terminating
        };
        assert!(deleted(None) && deleted(Some("kubernetes.io/job-controller")));
        assert!(!deleted(Some("kueue.x-k8s.io/multikueue")));
        assert!(!unfinished(&json!({})).is_terminating);
    }

    #[test]
    fn when_it_ends_by_itself() {
        let last = "2026-01-01T14:00:20Z".parse().ok();
        // Five attempts and pauses of 20, 40, 80, 160 and 320 seconds are left.
        let rows = "
- [{}, 2 of 7, 14:11:05]
- [{spec: {backoffLimit: null}}, 2 of 7, 14:11:05]
- [{spec: {backoffLimit: 2}}, 2 of 3, 14:00:45]
- [{spec: {activeDeadlineSeconds: 300}}, 2 of 7, 14:05:00]
- [{spec: {activeDeadlineSeconds: 3600}}, 2 of 7, 14:11:05]
- [{status: {failed: 1}}, 1 of 7, 14:12:50]
# Not to be known.
- [{status: {startTime: null}}, 2 of 7, null]
- [{spec: {activeDeadlineSeconds: 300}, status: {startTime: null}}, 2 of 7, null]
- [{spec: {parallelism: 2}}, 2 of 7, null]
- [{spec: {completions: 2}}, 2 of 7, null]
- [{spec: {podFailurePolicy: {rules: [{action: Ignore}]}}}, 2 of 7, null]
- [{spec: {parallelism: 2, activeDeadlineSeconds: 300}}, 2 of 7, 14:05:00]
- [{spec: {backoffLimit: null, backoffLimitPerIndex: 1}}, 2 of any, null]
# It is about to end.
- [{spec: {backoffLimit: 1}}, 2 of 2, null]
- [{status: {failed: 0}}, 0 of 7, null]
# Nothing that Kubernetes writes.
- [{status: {failed: 9223372036854775807}}, 9223372036854775807 of 7, null]
- [{status: {failed: -9223372036854775808}}, -9223372036854775808 of 7, null]
- [{spec: {backoffLimit: 9223372036854775807}}, 2 of 9223372036854775807, null]
- [{spec: {activeDeadlineSeconds: 9223372036854775807}}, 2 of 7, 14:11:05]
";
        let rows: Vec<(Value, String, Option<String>)> = serde_saphyr::from_str(rows).unwrap();
        for (change, count, end) in rows {
            let attempts = attempts(&change);
            let limit = attempts
                .limit
                .map_or_else(|| "any".to_owned(), |limit| limit.to_string());
            assert_eq!(format!("{} of {limit}", attempts.failed), count, "{change}");
            let found = attempts.end(last).map(|end| end.to_string());
            let end = end.map(|end| format!("2026-01-01T{end}Z"));
            assert_eq!(found, end, "{change}");
        }
    }

    #[test]
    fn without_the_last_failure_only_the_deadline_is_known() {
        assert_eq!(attempts(&json!({})).end(None), None);
        let deadline = attempts(&json!({"spec": {"activeDeadlineSeconds": 300}}));
        assert_eq!(deadline.end(None), "2026-01-01T14:05:00Z".parse().ok());
    }
}
