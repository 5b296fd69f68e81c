//! Describes, for the user, the Job that a migration has to wait for. Pure: from the holder's pods.

use jiff::{SignedDuration, Timestamp};

use super::protocol::{Claim, Standing};
use crate::core::job::running::{Pod, progress};
use crate::core::policy::rules::concurrent_migration::{Holder, State};

/// The Job that a migration has to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
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
        let state = match (standing, pods) {
            (Standing::Deleted, _) => State::Deleted,
            (Standing::NotYetThere, _) => State::NotYetThere,
            (Standing::Active { suspended: true }, _) => State::Suspended,
            (Standing::Active { .. }, None) => State::Unfinished,
            (Standing::Active { .. }, Some(pods)) => State::Active(progress(pods)),
        };
        let facts = Holder {
            namespace: claim.namespace.clone(),
            job: claim.job.clone(),
            age: now.duration_since(claim.since).max(SignedDuration::ZERO),
            user: claim.user.clone(),
            state,
        };
        Self { facts, first }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::job::running::{Progress, Wait};

    const ACTIVE: Standing = Standing::Active { suspended: false };

    /// The facts about a Job that was created thirty seconds ago.
    fn facts(standing: Standing, pods: Option<&[Pod]>) -> Holder {
        let at = |second| Timestamp::from_second(second).unwrap();
        let since = at(100);
        let claim = Claim {
            since,
            ..Claim::default()
        };
        Blocker::new(&claim, standing, pods, at(130), true).facts
    }

    #[test]
    fn the_standing_wins_where_pods_do_not_matter() {
        for (standing, state) in [
            (Standing::Deleted, State::Deleted),
            (Standing::NotYetThere, State::NotYetThere),
            (Standing::Active { suspended: true }, State::Suspended),
            (ACTIVE, State::Unfinished),
        ] {
            let facts = facts(standing, None);
            assert_eq!(facts.age, SignedDuration::from_secs(30));
            assert_eq!(facts.state, state);
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
        for (pods, state) in [
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
            let read: Vec<Pod> = serde_json::from_value(pods.clone()).unwrap();
            assert_eq!(
                facts(ACTIVE, Some(&read)).state,
                State::Active(state),
                "{pods}"
            );
        }
    }
}
