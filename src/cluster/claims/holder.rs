//! What a user is told of the Job that is in the way. Pure: from the holder's pods to its state.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use kube::core::{NotUsed, Object};

use super::protocol::{Claim, Standing};
use crate::policy::rules::concurrent_migration::{Holder as Facts, State};

/// A pod as far as it is looked at: reading whole ones would make the program larger by a tenth.
pub(super) type Pod = Object<NotUsed, PodStatus>;

/// The Job that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// What is known of it.
    pub facts: Facts,
    /// Whether this waiter is told of this holder for the first time, as far as is remembered.
    pub first: bool,
}

impl Holder {
    /// `now` is the apiserver's clock; `pods` are the holder's, where they could be listed.
    #[must_use]
    pub(super) fn new(
        claim: &Claim,
        standing: Standing,
        pods: Option<&[Pod]>,
        now: Timestamp,
    ) -> Self {
        let state = match (standing, pods) {
            (Standing::Deleted, _) => State::Deleted,
            (Standing::NotYetThere, _) => State::NotYetThere,
            (Standing::Active { suspended: true }, _) => State::Suspended,
            (Standing::Active { .. }, None) => State::Unfinished,
            (Standing::Active { .. }, Some(pods)) => state(pods),
        };
        let facts = Facts {
            namespace: claim.namespace.clone(),
            job: claim.job.clone(),
            age: now.duration_since(claim.since).max(SignedDuration::ZERO),
            user: claim.user.clone(),
            state,
        };
        Self { facts, first: true }
    }
}

/// Whether a pod's containers may still run.
#[must_use]
pub(super) fn is_live(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

fn state(pods: &[Pod]) -> State {
    let statuses = || pods.iter().filter_map(|pod| pod.status.as_ref());
    let containers = || {
        statuses().flat_map(|status| {
            let init = status.init_container_statuses.iter().flatten();
            init.chain(status.container_statuses.iter().flatten())
        })
    };
    if pods.iter().any(|pod| !is_live(pod)) || containers().any(has_started) {
        return State::Running;
    }
    let waiting = containers()
        .filter_map(|container| container.state.as_ref()?.waiting.as_ref())
        .map(|waiting| (waiting.reason.as_deref(), waiting.message.as_deref()));
    let unscheduled = statuses()
        .flat_map(|status| status.conditions.iter().flatten())
        .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .map(|condition| (condition.reason.as_deref(), condition.message.as_deref()));
    // Every container waits in some words; one whose words are those of a healthy start comes last.
    let worst = waiting
        .chain(unscheduled)
        .min_by_key(|(reason, _)| matches!(reason, Some("ContainerCreating" | "PodInitializing")));
    let (reason, message) = match worst {
        Some((reason, message)) => (reason.unwrap_or("Pending"), message.unwrap_or_default()),
        None if pods.is_empty() => ("NoPod", ""),
        None => ("Pending", ""),
    };
    State::NotStarted {
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

fn has_started(container: &ContainerStatus) -> bool {
    let ran = |state: &k8s_openapi::api::core::v1::ContainerState| {
        state.running.is_some() || state.terminated.is_some()
    };
    container.restart_count > 0
        || container.state.as_ref().is_some_and(ran)
        || container.last_state.as_ref().is_some_and(ran)
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
        state(&pods)
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
    fn a_container_that_ran_is_running() {
        let running = container(&json!({"running": {"startedAt": "2026-11-24T23:00:00Z"}}));
        let ended = container(&json!({"terminated": {"exitCode": 0}}));
        let by = |key: &str, c: &Value| state_of(&[json!({"phase": "Running", key: [c]})]);
        assert_eq!(by("containerStatuses", &running), State::Running);
        assert_eq!(by("initContainerStatuses", &ended), State::Running);
        // Between two attempts there is only the pod that failed.
        assert_eq!(state_of(&[json!({"phase": "Failed"})]), State::Running);
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
            waiters: Vec::new(),
        };
        let now = Timestamp::from_second(130).unwrap();
        let of = |standing| Holder::new(&claim, standing, None, now);
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
