//! Describes, for the user, the Job that a migration has to wait for. Pure: from the holder's pods.

use jiff::{SignedDuration, Timestamp};

use super::protocol::{Claim, Standing};
use crate::core::job::running::{Pod, Progress, Wait, progress};
use crate::core::policy::rules::concurrent_migration::{Holder as Facts, State};

/// The Job that a migration has to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The facts about it.
    pub facts: Facts,
    /// Whether this replica has not logged yet, as far as it remembers, that the migration waits for this one.
    pub first: bool,
}

impl Holder {
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
            (Standing::Active { .. }, Some(pods)) => progress(pods).into(),
        };
        let facts = Facts {
            namespace: claim.namespace.clone(),
            job: claim.job.clone(),
            age: now.duration_since(claim.since).max(SignedDuration::ZERO),
            user: claim.user.clone(),
            state,
        };
        Self { facts, first }
    }
}

impl From<Progress> for State {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::NotStarted(Wait { reason, message }) => Self::NotStarted { reason, message },
            Progress::Running => Self::Running,
            Progress::Stopped(Wait { reason, message }) => Self::Stopped { reason, message },
            Progress::Ended => Self::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state_of(pods: &[Value]) -> State {
        let pods: Vec<Pod> = pods
            .iter()
            .map(|status| {
                serde_json::from_value(json!({"metadata": {}, "spec": {}, "status": status}))
                    .unwrap()
            })
            .collect();
        progress(&pods).into()
    }

    fn container(state: &Value) -> Value {
        json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state})
    }

    fn waits(reason: &str, message: &str) -> Value {
        container(&json!({"waiting": {"reason": reason, "message": message}}))
    }

    fn not_started(reason: &str, message: &str) -> State {
        State::NotStarted {
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_container_that_runs_is_running() {
        let running = container(&json!({"running": {"startedAt": "2026-11-24T23:00:00Z"}}));
        for key in ["initContainerStatuses", "containerStatuses"] {
            let pod = json!({"phase": "Running", key: [running.clone()]});
            assert_eq!(state_of(&[pod]), State::Running);
        }
    }

    #[test]
    fn what_has_run_and_does_not_is_told_apart() {
        let ended = container(&json!({"terminated": {"exitCode": 0}}));
        let over = json!({"phase": "Running", "containerStatuses": [ended]});
        assert_eq!(state_of(&[over]), State::Ended);
        // Between two attempts only the failed pod exists.
        let between = State::Stopped {
            reason: String::new(),
            message: String::new(),
        };
        assert_eq!(state_of(&[json!({"phase": "Failed"})]), between);
    }

    #[test]
    fn what_keeps_it_from_starting_is_told() {
        let waiting = [
            waits("PodInitializing", ""),
            waits("ImagePullBackOff", "Back-off pulling image \"x\""),
        ];
        assert_eq!(
            state_of(&[json!({"phase": "Pending", "containerStatuses": waiting})]),
            not_started("ImagePullBackOff", "Back-off pulling image \"x\"")
        );
        let unschedulable = json!({"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available",
        }]});
        assert_eq!(
            state_of(&[unschedulable]),
            not_started("Unschedulable", "0/1 nodes are available")
        );
    }

    #[test]
    fn a_healthy_start_is_told_as_such() {
        let creating =
            json!({"phase": "Pending", "containerStatuses": [waits("ContainerCreating", "")]});
        assert_eq!(state_of(&[creating]), not_started("ContainerCreating", ""));
        assert_eq!(
            state_of(&[json!({"phase": "Pending"})]),
            not_started("Pending", "")
        );
        assert_eq!(state_of(&[]), not_started("NoPod", ""));
    }

    #[test]
    fn the_standing_wins_where_pods_do_not_matter() {
        let claim = Claim {
            namespace: "shop".to_owned(),
            job: "web".to_owned(),
            uid: "u".to_owned(),
            since: Timestamp::from_second(100).unwrap(),
            user: String::new(),
            seen: true,
            transitions: 0,
        };
        let now = Timestamp::from_second(130).unwrap();
        let of = |standing| Holder::new(&claim, standing, None, now, true);
        assert_eq!(of(Standing::Deleted).facts.state, State::Deleted);
        assert_eq!(of(Standing::NotYetThere).facts.state, State::NotYetThere);
        assert_eq!(
            of(Standing::Active { suspended: true }).facts.state,
            State::Suspended
        );
        assert_eq!(
            of(Standing::Active { suspended: false }).facts.state,
            State::Unfinished
        );
        assert_eq!(
            of(Standing::Deleted).facts.age,
            SignedDuration::from_secs(30)
        );
    }
}
