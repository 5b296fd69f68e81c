//! What pods and the status of a Job show: `tests/fixtures/job/pods.yaml` has the cases.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::testing::{merge, table};

#[derive(Deserialize)]
struct Cases {
    pods: BTreeMap<String, Case>,
    statuses: Vec<Shown>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    pods: Vec<Changes>,
    #[serde(default)]
    sidecars: Vec<String>,
    shows: String,
    live: Option<bool>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Changes {
    migrate: Option<String>,
    done: Option<String>,
    change: Value,
    whole: Option<Value>,
}

#[derive(Deserialize)]
struct Shown {
    status: Value,
    kubernetes: Option<String>,
    another: Option<String>,
}

fn container(name: &str, state: &str) -> Value {
    let state = match state.split_once(' ') {
        Some(("ended", code)) => json!({"terminated": {"exitCode": code.parse::<i32>().unwrap()}}),
        Some((_, reason)) => json!({"waiting": {"reason": reason}}),
        None if state == "running" => json!({"running": {"startedAt": "2026-11-24T23:00:00Z"}}),
        None => json!({}),
    };
    json!({"name": name, "image": "app:1", "imageID": "", "ready": false, "restartCount": 0, "state": state})
}

/// A running pod whose migration is in an init container, as in Temporal's chart, with these changes.
fn pod(changes: &Changes, sidecar: Option<&str>) -> Pod {
    if let Some(whole) = &changes.whole {
        return serde_json::from_value(whole.clone()).unwrap();
    }
    let state = |changed: &Option<String>, usual| changed.as_deref().unwrap_or(usual).to_owned();
    let mut pod = json!({
        "metadata": {},
        "spec": {
            "restartPolicy": "Never",
            "initContainers": [{"name": "migrate", "image": "app:1"}],
            "containers": [{"name": "done", "image": "app:1"}],
        },
        "status": {
            "phase": "Pending",
            "initContainerStatuses": [container("migrate", &state(&changes.migrate, "running"))],
            "containerStatuses": [container("done", &state(&changes.done, "waiting PodInitializing"))],
        },
    });
    if changes.change.is_object() {
        merge(&mut pod, Some(&changes.change));
    }
    let mut add = |spec: &str, statuses: &str, written: Value| {
        let status = container(written["name"].as_str().unwrap(), "running");
        pod["spec"][spec].as_array_mut().unwrap().push(written);
        pod["status"][statuses].as_array_mut().unwrap().push(status);
    };
    match sidecar {
        None => {}
        Some("native") => {
            let written = json!({"name": "agent", "image": "x:1", "restartPolicy": "Always"});
            add("initContainers", "initContainerStatuses", written);
        }
        Some(name) => {
            let written = json!({"name": name, "image": "x:1"});
            add("containers", "containerStatuses", written);
        }
    }
    serde_json::from_value(pod).unwrap()
}

fn shown(pods: &[Pod]) -> String {
    match progress(pods) {
        Progress::NotStarted(wait) => format!("NotStarted {}{}", wait.reason, wait.message),
        Progress::Stopped(wait) => format!("Stopped {}{}", wait.reason, wait.message),
        other => format!("{other:?}"),
    }
}

#[test]
fn pods_show_how_far_the_migration_is() {
    for (name, case) in table::<Cases>("job/pods").pods {
        let sidecars: Vec<_> = case.sidecars.iter().map(|name| Some(&**name)).collect();
        let sidecars = if sidecars.is_empty() {
            vec![None]
        } else {
            sidecars
        };
        for sidecar in sidecars {
            let pods: Vec<_> = case
                .pods
                .iter()
                .map(|pod| self::pod(pod, sidecar))
                .collect();
            assert_eq!(shown(&pods).trim_end(), case.shows, "{name}, {sidecar:?}");
            if let Some(live) = case.live {
                assert_eq!(pods[0].is_live(), live, "{name}, {sidecar:?}");
            }
        }
    }
}

#[test]
fn the_jobs_own_status_says_it_where_it_can() {
    for Shown {
        status,
        kubernetes,
        another,
    } in table::<Cases>("job/pods").statuses
    {
        let counts = Status::deserialize(&status).unwrap();
        let ours = [None, Some(""), Some("kubernetes.io/job-controller")];
        for (expected, controllers) in [
            (kubernetes, &ours[..]),
            (another, &[Some("kueue.x-k8s.io/multikueue")]),
        ] {
            let Some(expected) = expected else { continue };
            for controller in controllers {
                let said = format!("{:?}", Said::of(&counts, *controller));
                assert_eq!(said, expected, "{status} {controller:?}");
            }
        }
    }
}

proptest! {
    /// Whatever its containers do, a pod with a running container of the migration is not given up, and a migration
    /// that is over does not count as running.
    #[test]
    fn what_runs_is_live(states in prop::collection::vec(0..4_usize, 1..5), native in any::<bool>()) {
        let state = |kind: usize| match kind {
            0 => "running",
            1 => "ended 0",
            2 => "waiting PodInitializing",
            _ => "waiting ImagePullBackOff",
        };
        let statuses: Vec<_> = states
            .iter()
            .enumerate()
            .map(|(index, kind)| container(&format!("c{index}"), state(*kind)))
            .collect();
        let spec = json!([{"name": "c0", "image": "x", "restartPolicy": if native { "Always" } else { "" }}]);
        let pod: Pod = serde_json::from_value(json!({
            "spec": {"initContainers": spec},
            "status": {"phase": "Running", "containerStatuses": statuses},
        })).unwrap();
        let counted = if native && states.len() > 1 { &states[1..] } else { &states[..] };
        let found = progress(std::slice::from_ref(&pod));
        if counted.contains(&0) {
            prop_assert_eq!(&found, &Progress::Running);
        }
        if found == Progress::Running {
            prop_assert!(pod.is_live());
        }
        let is_over = counted.iter().all(|kind| *kind == 1) && !native;
        if is_over {
            prop_assert_eq!(&found, &Progress::Ended);
        }
        prop_assert_eq!(pod.is_live(), found != Progress::Ended);
    }
}
