//! The facts from the pods of a Job: when the run started, how it ended, which images ran. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;

use super::facts::{MAX_MESSAGE, entries, filled};
use crate::core::job::running::Pod;

/// Reasons of containers that ended normally. The exit code is more specific.
const PLAIN: [&str; 2] = ["Completed", "Error"];
/// Reasons of containers that start normally.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// Longest digest of an image, with the name it was pulled by.
const MAX_IMAGE: usize = 512;
const MAX_REASON: usize = 128;

/// The facts from the pods of one Job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodFacts {
    /// When the first container started, not counting sidecars.
    pub started_at: Option<Timestamp>,
    /// Exit code of the container that ended the run.
    pub exit_code: Option<i32>,
    /// Why it ended, if that says more than the exit code.
    pub reason: Option<String>,
    /// Its termination message, or what kept it from starting.
    pub message: Option<String>,
    /// The images that ran.
    pub image_ids: Vec<String>,
}

impl PodFacts {
    /// Reads the pods of a Job that succeeded, or that failed or has not ended.
    #[must_use]
    pub(crate) fn of(pods: &[Pod], succeeded: bool) -> Self {
        let starts = pods.iter().flat_map(Pod::work).filter_map(|(_, c)| {
            let states = [c.state.as_ref(), c.last_state.as_ref()];
            let started = states.into_iter().flatten().filter_map(|state| {
                let running = state.running.as_ref().and_then(|s| s.started_at.as_ref());
                let ended = state
                    .terminated
                    .as_ref()
                    .and_then(|s| s.started_at.as_ref());
                running.or(ended)
            });
            started.map(|time| time.0).min()
        });
        let ids = pods.iter().flat_map(Pod::all);
        let mut facts = Self {
            started_at: starts.min(),
            image_ids: entries(ids.map(|(_, c)| c.image_id.as_str()), MAX_IMAGE),
            ..Self::default()
        };
        let ends = pods.iter().flat_map(|pod| {
            pod.work().filter_map(move |(is_main, c)| {
                let ended = c.state.as_ref()?.terminated.as_ref()?;
                let rank = (ended.exit_code == 0) == succeeded;
                let at = ended.finished_at.as_ref().map(|time| time.0);
                Some(((rank && is_main, rank, is_main, at), pod, ended))
            })
        });
        match ends.max_by_key(|(rank, ..)| *rank) {
            Some((_, pod, ended)) => {
                facts.exit_code = Some(ended.exit_code);
                let own = ended.reason.as_deref().filter(|word| !PLAIN.contains(word));
                let status = &pod.status;
                let why = own.or_else(|| (!succeeded).then(|| of_pod(status).0).flatten());
                facts.reason = why.and_then(|text| filled(text, MAX_REASON));
                let said = ended.message.as_deref().or(of_pod(status).1);
                facts.message = said.and_then(|text| filled(text, MAX_MESSAGE));
            }
            None => facts.stopped_before(pods),
        }
        facts
    }

    /// For pods without an ended container: finds what stopped them, or kept them from starting.
    fn stopped_before(&mut self, pods: &[Pod]) {
        let mut stopped = pods.iter().map(|pod| of_pod(&pod.status));
        let stopped = stopped.find(|(reason, _)| reason.is_some());
        if let Some((reason, message)) = stopped {
            self.reason = reason.and_then(|text| filled(text, MAX_REASON));
            self.message = message.and_then(|text| filled(text, MAX_MESSAGE));
            return;
        }
        let waiting = pods.iter().flat_map(Pod::all).find_map(|(_, c)| {
            let waiting = c.state.as_ref()?.waiting.as_ref()?;
            let reason = waiting.reason.as_deref()?;
            let message = waiting.message.as_deref().unwrap_or_default();
            (!STARTING.contains(&reason)).then(|| format!("{reason}: {message}"))
        });
        self.message = waiting.and_then(|text| filled(&text, MAX_MESSAGE));
    }
}

/// Reason and message if something else ended the pod, such as a drain.
fn of_pod(pod: &PodStatus) -> (Option<&str>, Option<&str>) {
    let mut conditions = pod.conditions.iter().flatten();
    let disruption = conditions.find(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    match disruption {
        Some(c) if pod.reason.is_none() => (c.reason.as_deref(), c.message.as_deref()),
        _ => (pod.reason.as_deref(), pod.message.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(pods: &Value, succeeded: bool) -> PodFacts {
        of_pods(
            pods.as_array()
                .unwrap()
                .iter()
                .map(|status| json!({"status": status})),
            succeeded,
        )
    }

    fn of_pods(pods: impl Iterator<Item = Value>, succeeded: bool) -> PodFacts {
        let pods: Vec<Pod> = pods
            .map(|pod| serde_json::from_value(pod).unwrap())
            .collect();
        PodFacts::of(&pods, succeeded)
    }

    fn container(state: &Value) -> Value {
        json!({
            "name": "c", "image": "app:1", "imageID": "reg/app@sha256:1", "ready": false,
            "restartCount": 0, "state": state,
        })
    }

    fn ended(code: i32, reason: &str, at: &str, message: &str) -> Value {
        container(&json!({"terminated": {
            "exitCode": code, "reason": reason, "message": message,
            "startedAt": "2026-01-01T00:00:05Z", "finishedAt": format!("2026-01-01T00:00:{at}Z"),
        }}))
    }

    #[test]
    fn a_failure_has_the_failing_containers_code_and_words() {
        let sidecar = ended(137, "Error", "30", "");
        let failed = ended(3, "Error", "20", "relation \"x\" exists\n");
        let found = of(
            &json!([{"phase": "Failed", "initContainerStatuses": [sidecar], "containerStatuses": [failed]}]),
            false,
        );
        assert_eq!(
            found,
            PodFacts {
                started_at: Some("2026-01-01T00:00:05Z".parse().unwrap()),
                exit_code: Some(3),
                reason: None,
                message: Some("relation \"x\" exists".to_owned()),
                image_ids: vec!["reg/app@sha256:1".to_owned()],
            }
        );
    }

    /// A sidecar starts before them and ends after them, and shows nothing about the migration.
    #[test]
    fn a_sidecar_neither_starts_nor_ends_a_run() {
        let mut sidecar = ended(137, "Error", "30", "killed");
        sidecar["name"] = json!("agent");
        sidecar["state"]["terminated"]["startedAt"] = json!("2026-01-01T00:00:01Z");
        let pod = json!({
            "spec": {"initContainers": [{"name": "agent", "restartPolicy": "Always"}]},
            "status": {
                "phase": "Failed", "initContainerStatuses": [sidecar],
                "containerStatuses": [ended(0, "Completed", "20", "")],
            },
        });
        let found = of_pods([pod].into_iter(), false);
        assert_eq!(
            found.started_at,
            Some("2026-01-01T00:00:05Z".parse().unwrap())
        );
        assert_eq!((found.exit_code, found.message.as_deref()), (Some(0), None));
    }

    #[test]
    fn the_last_of_several_attempts_counts() {
        let pod = |code, at| json!({"phase": "Failed", "containerStatuses": [ended(code, "Error", at, "")]});
        let found = of(&json!([pod(2, "40"), pod(1, "20")]), false);
        assert_eq!(found.exit_code, Some(2));
        let found = of(&json!([pod(1, "20"), pod(0, "10")]), true);
        assert_eq!(found.exit_code, Some(0));
    }

    #[test]
    fn what_stopped_it_is_told() {
        let killed = json!([{"containerStatuses": [ended(137, "OOMKilled", "20", "")]}]);
        assert_eq!(of(&killed, false).reason.as_deref(), Some("OOMKilled"));

        let evicted = json!([{
            "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory.",
        }]);
        let found = of(&evicted, false);
        assert_eq!(found.reason.as_deref(), Some("Evicted"));
        assert_eq!(
            found.message.as_deref(),
            Some("The node was low on resource: memory.")
        );
        assert_eq!(found.exit_code, None);

        let drained = json!([{
            "phase": "Failed", "containerStatuses": [ended(143, "Error", "20", "")],
            "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}],
        }]);
        let found = of(&drained, false);
        assert_eq!(found.reason.as_deref(), Some("EvictionByEvictionAPI"));
        assert_eq!(found.exit_code, Some(143));
    }

    #[test]
    fn what_kept_it_from_starting_is_told() {
        let waiting = |reason: &str| {
            let state = json!({"waiting": {"reason": reason, "message": "no such image"}});
            of(
                &json!([{"phase": "Pending", "containerStatuses": [container(&state)]}]),
                false,
            )
        };
        let found = waiting("ErrImagePull");
        assert_eq!(
            found.message.as_deref(),
            Some("ErrImagePull: no such image")
        );
        assert_eq!((found.reason, found.started_at), (None, None));
        assert_eq!(waiting("ContainerCreating").message, None);
        assert_eq!(of(&json!([]), false), PodFacts::default());
    }

    #[test]
    fn a_message_is_masked_and_cut() {
        let said = format!(
            "postgres://app:hunter2hunter2@db/x\u{7}{}",
            "é".repeat(2000)
        );
        let found = of(
            &json!([{"containerStatuses": [ended(1, "Error", "20", &said)]}]),
            false,
        );
        let message = found.message.unwrap();
        assert!(message.starts_with("postgres://app:***@db/x "), "{message}");
        assert!((1023..=1024).contains(&message.len()), "{}", message.len());
    }
}
