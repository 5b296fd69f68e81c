//! Describes, for the user, the Job that a migration has to wait for. Pure: from the holder's pods.

use jiff::{SignedDuration, Timestamp};

use super::protocol::{Claim, Standing};
use crate::core::job::attempts::{Attempts, last_failure};
use crate::core::job::running::{Pod, Progress, progress};
use crate::core::policy::rules::concurrent_migration::{Failures, Holder, State};

/// The Job that a migration has to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// What the client is shown of it.
    pub facts: Holder,
    /// Whether this replica has not logged yet, as far as it remembers, that the migration waits for this one.
    pub first: bool,
}

impl Blocker {
    /// `now` is the API server's clock; `pods` are the holder's, if they could be listed.
    #[must_use]
    pub(super) fn new(
        claim: &Claim,
        standing: Standing,
        pods: Option<&[Pod]>,
        now: Timestamp,
        first: bool,
    ) -> Self {
        let (state, failures) = match standing {
            Standing::NotYetThere => (State::NotYetThere, None),
            Standing::Active(job) if !job.is_terminating => {
                let state = match pods {
                    _ if job.is_suspended => State::Suspended,
                    None => State::Unfinished,
                    Some(pods) => State::Active(progressed(pods, job.attempts)),
                };
                (state, failures(job.attempts, pods, now))
            }
            Standing::Active(_) | Standing::Deleted => (State::Deleted, None),
        };
        let facts = Holder {
            namespace: claim.namespace.clone(),
            job: claim.job.clone(),
            age: now.duration_since(claim.since).max(SignedDuration::ZERO),
            user: claim.user.clone(),
            state,
            failures,
        };
        Self { facts, first }
    }
}

/// How far an active Job is. The pods of its failed attempts may be gone.
fn progressed(pods: &[Pod], attempts: Attempts) -> Progress {
    match progress(pods) {
        Progress::NotStarted(wait) if attempts.failed > 0 => Progress::Stopped(wait),
        progress => progress,
    }
}

fn failures(attempts: Attempts, pods: Option<&[Pod]>, now: Timestamp) -> Option<Failures> {
    let Attempts { failed, limit, .. } = attempts;
    let end = attempts.end(pods.and_then(last_failure));
    (failed > 0).then_some(Failures {
        failed,
        limit,
        // An estimate that has proved wrong is not repeated.
        end: end.filter(|end| *end > now),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::job::attempts::Unfinished;
    use crate::core::job::running::Wait;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The facts about a Job that was created thirty seconds ago.
    fn facts(standing: Standing, pods: Option<&[Pod]>) -> Holder {
        let claim = Claim {
            since: at(100),
            ..Claim::default()
        };
        Blocker::new(&claim, standing, pods, at(130), true).facts
    }

    fn pods(pods: &Value) -> Vec<Pod> {
        serde_json::from_value(pods.clone()).unwrap()
    }

    const fn unfinished(is_suspended: bool, is_terminating: bool, failed: i64) -> Unfinished {
        Unfinished {
            is_suspended,
            is_terminating,
            attempts: Attempts {
                failed,
                limit: Some(3),
                since: None,
                deadline: None,
            },
        }
    }

    const ACTIVE: Standing = Standing::Active(unfinished(false, false, 0));

    #[test]
    fn the_standing_wins_where_pods_do_not_matter() {
        for (standing, state) in [
            (Standing::Deleted, State::Deleted),
            (Standing::NotYetThere, State::NotYetThere),
            (
                Standing::Active(unfinished(true, false, 0)),
                State::Suspended,
            ),
            (Standing::Active(unfinished(true, true, 1)), State::Deleted),
            (ACTIVE, State::Unfinished),
        ] {
            let facts = facts(standing, None);
            assert_eq!(facts.age, SignedDuration::from_secs(30));
            assert_eq!((facts.state, facts.failures), (state, None));
        }
    }

    #[test]
    fn the_pods_of_an_active_job_say_how_far_it_is() {
        let container = |state: Value| json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let pod = |phase: &str, state: Value| json!({"status": {"phase": phase, "containerStatuses": [container(state)]}});
        let wait = |reason: &str, message: &str| Wait {
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        let not_started = |reason, message| Progress::NotStarted(wait(reason, message));
        let back_off = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}});
        for (listed, state) in [
            (
                json!([pod("Running", json!({"running": {}}))]),
                Progress::Running,
            ),
            (
                json!([pod("Running", json!({"terminated": {"exitCode": 0}}))]),
                Progress::Ended,
            ),
            // Between two attempts only the failed pod exists.
            (
                json!([{"status": {"phase": "Failed"}}]),
                Progress::Stopped(Wait::default()),
            ),
            (
                json!([pod("Pending", back_off)]),
                not_started("ImagePullBackOff", "Back-off pulling image \"x\""),
            ),
            (json!([]), not_started("NoPod", "")),
        ] {
            let told = facts(ACTIVE, Some(&pods(&listed))).state;
            assert_eq!(told, State::Active(state), "{listed}");
        }
    }

    #[test]
    fn what_has_failed_has_started() {
        let failing = Standing::Active(unfinished(false, false, 1));
        for listed in [json!([]), json!([{"status": {"phase": "Pending"}}])] {
            let told = facts(failing, Some(&pods(&listed)));
            assert!(
                matches!(told.state, State::Active(Progress::Stopped(_))),
                "{told:?}"
            );
            let failures = told.failures.unwrap();
            assert_eq!((failures.failed, failures.limit), (1, Some(3)));
        }
    }

    #[test]
    fn the_last_failed_pod_tells_when_it_ends() {
        let ended = |phase: &str, second: i64| {
            let end = at(second).to_string();
            let ended = json!({"terminated": {"exitCode": 1, "finishedAt": end}});
            json!({"status": {"phase": phase, "containerStatuses": [
                {"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": ended}]}})
        };
        let mut job = unfinished(false, false, 1);
        job.attempts.since = Some(at(100));
        let end = |job, listed: Value| {
            let told = facts(Standing::Active(job), Some(&pods(&listed)));
            told.failures.unwrap().end
        };
        // Two more attempts of 20 seconds, after 10 and 20 seconds.
        let listed = json!([
            ended("Failed", 110),
            ended("Failed", 120),
            ended("Running", 125)
        ]);
        assert_eq!(end(job, listed.clone()), Some(at(190)));
        job.attempts.deadline = Some(at(150));
        assert_eq!(end(job, listed.clone()), Some(at(150)));
        job.attempts.deadline = Some(at(130));
        assert_eq!(end(job, listed), None, "that time has come");
        job.attempts.deadline = None;
        assert_eq!(end(job, json!([])), None);
    }
}
