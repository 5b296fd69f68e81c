//! The facts from the pods of a Job: when the run started, how it ended, which images ran. Pure.

use jiff::Timestamp;

use super::facts::{MAX_MESSAGE, entries, filled};
use crate::core::job::running::{Pod, PodStatus};

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
    pub(crate) fn of(pods: &[Pod], succeeded: bool) -> Self {
        let starts = pods.iter().flat_map(Pod::work).filter_map(|(_, c)| {
            let started = [&c.state, &c.last_state].into_iter().filter_map(|state| {
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
            image_ids: entries(ids.map(|(_, c)| &*c.image_id), MAX_IMAGE),
            ..Self::default()
        };
        let ends = pods.iter().flat_map(|pod| {
            pod.work().filter_map(move |(is_main, c)| {
                let ended = c.state.terminated.as_ref()?;
                let rank = (ended.exit_code == 0) == succeeded;
                let at = ended.finished_at.as_ref().map(|time| time.0);
                Some(((rank && is_main, rank, is_main, at), pod, ended))
            })
        });
        match ends.max_by_key(|(rank, ..)| *rank) {
            Some((_, pod, ended)) => {
                facts.exit_code = Some(ended.exit_code);
                let (reason, message) = of_pod(&pod.status);
                let own = Some(&*ended.reason).filter(|word| !PLAIN.contains(word));
                let own = own.and_then(|text| filled(text, MAX_REASON));
                let others = filled(reason, MAX_REASON).filter(|_| !succeeded);
                facts.reason = own.or(others);
                let said = filled(&ended.message, MAX_MESSAGE);
                facts.message = said.or_else(|| filled(message, MAX_MESSAGE));
            }
            None => facts.stopped_before(pods),
        }
        facts
    }

    /// For pods without an ended container: finds what stopped them, or kept them from starting.
    fn stopped_before(&mut self, pods: &[Pod]) {
        let mut stopped = pods.iter().map(|pod| of_pod(&pod.status));
        let stopped = stopped.find(|(reason, _)| !reason.is_empty());
        if let Some((reason, message)) = stopped {
            self.reason = filled(reason, MAX_REASON);
            self.message = filled(message, MAX_MESSAGE);
            return;
        }
        let waiting = pods.iter().flat_map(Pod::all).find_map(|(_, c)| {
            let waiting = c.state.waiting.as_ref()?;
            let (reason, message) = (&*waiting.reason, &*waiting.message);
            let is_starting = reason.is_empty() || STARTING.contains(&reason);
            (!is_starting).then(|| format!("{reason}: {message}"))
        });
        self.message = waiting.and_then(|text| filled(&text, MAX_MESSAGE));
    }
}

/// Reason and message if something else ended the pod, such as a drain.
fn of_pod(pod: &PodStatus) -> (&str, &str) {
    match &pod.conditions.disrupted {
        Some(why) if pod.reason.is_empty() => (&why.reason, &why.message),
        _ => (&pod.reason, &pod.message),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{merge, table};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        what: String,
        #[serde(default)]
        sidecars: Vec<Value>,
        /// The status of each pod.
        pods: Vec<Value>,
        #[serde(default)]
        succeeded: bool,
        exit: Option<i32>,
        reason: Option<String>,
        message: Option<String>,
        started: Option<Timestamp>,
    }

    /// A pod of this status. A container's status has more fields that no run needs.
    fn pod(sidecars: &[Value], mut status: Value) -> Pod {
        for list in ["initContainerStatuses", "containerStatuses"] {
            for container in status[list].as_array_mut().into_iter().flatten() {
                let said = container.take();
                *container = json!({
                    "name": "c", "image": "app:1", "imageID": "reg/app@sha256:1",
                    "ready": false, "restartCount": 0,
                });
                if said["state"]["terminated"].is_object() {
                    let started = json!({"startedAt": "2026-01-01T00:00:05Z"});
                    container["state"] = json!({"terminated": started});
                }
                merge(container, Some(&said));
            }
        }
        let pod = json!({"spec": {"initContainers": sidecars}, "status": status});
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn pods_say_when_a_run_started_and_how_it_ended() {
        for row in table::<Vec<Row>>("runs/pods") {
            let pods = row
                .pods
                .into_iter()
                .map(|status| pod(&row.sidecars, status));
            let pods: Vec<Pod> = pods.collect();
            let has_containers = pods.iter().flat_map(Pod::all).next().is_some();
            let image_ids = has_containers.then(|| "reg/app@sha256:1".to_owned());
            let expected = PodFacts {
                started_at: row.started,
                exit_code: row.exit,
                reason: row.reason,
                message: row.message,
                image_ids: image_ids.into_iter().collect(),
            };
            assert_eq!(PodFacts::of(&pods, row.succeeded), expected, "{}", row.what);
        }
    }

    #[test]
    fn a_message_is_masked_and_cut() {
        let url = "postgres://app:hunter2hunter2@db/x\u{7}";
        let ended = json!({"exitCode": 1, "message": format!("{url}{}", "é".repeat(2000))});
        let status = json!({"containerStatuses": [{"state": {"terminated": ended}}]});
        let message = PodFacts::of(&[pod(&[], status)], false).message.unwrap();
        assert!(message.starts_with("postgres://app:***@db/x "), "{message}");
        assert!((1023..=1024).contains(&message.len()), "{}", message.len());
    }
}
