//! Tests with one pod of a migration in which one thing is changed, and with a Job's own status.

#![allow(
    clippy::needless_pass_by_value,
    reason = "states are written where they are passed"
)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A running pod whose migration is in an init container, as in Temporal's chart.
fn pod(change: impl FnOnce(&mut Value)) -> Pod {
    let mut pod = json!({
        "metadata": {},
        "spec": {
            "restartPolicy": "Never",
            "initContainers": [{"name": "migrate", "image": "app:1"}],
            "containers": [{"name": "done", "image": "app:1"}],
        },
        "status": {
            "phase": "Pending",
            "initContainerStatuses": [container("migrate", running())],
            "containerStatuses": [container("done", waiting("PodInitializing"))],
        },
    });
    change(&mut pod);
    serde_json::from_value(pod).unwrap()
}

fn container(name: &str, state: Value) -> Value {
    json!({
        "name": name, "image": "app:1", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    })
}

fn running() -> Value {
    json!({"running": {"startedAt": "2026-11-24T23:00:00Z"}})
}

fn waiting(reason: &str) -> Value {
    json!({"waiting": {"reason": reason}})
}

fn ended(exit_code: i32) -> Value {
    json!({"terminated": {"exitCode": exit_code}})
}

/// The pod with these states of its init container and its other one.
fn states(init: Value, main: Value) -> Pod {
    pod(|pod| {
        pod["status"]["initContainerStatuses"] = json!([container("migrate", init)]);
        pod["status"]["containerStatuses"] = json!([container("done", main)]);
    })
}

/// [`states`] with a running sidecar beside them: a native one, or a container of this name.
fn beside(sidecar: Option<&str>, init: Value, main: Value) -> Pod {
    pod(|pod| {
        let name = sidecar.unwrap_or("agent");
        let (spec, statuses) = match sidecar {
            None => ("initContainers", "initContainerStatuses"),
            Some(_) => ("containers", "containerStatuses"),
        };
        let mut written = json!({"name": name, "image": "x:1"});
        if sidecar.is_none() {
            written["restartPolicy"] = json!("Always");
        }
        pod["spec"][spec].as_array_mut().unwrap().push(written);
        pod["status"]["initContainerStatuses"] = json!([container("migrate", init)]);
        pod["status"]["containerStatuses"] = json!([container("done", main)]);
        let statuses = pod["status"][statuses].as_array_mut().unwrap();
        statuses.push(container(name, running()));
    })
}

fn wait(reason: &str) -> Wait {
    Wait {
        reason: reason.to_owned(),
        message: String::new(),
    }
}

fn not_started(reason: &str) -> Progress {
    Progress::NotStarted(wait(reason))
}

fn stopped(reason: &str) -> Progress {
    Progress::Stopped(wait(reason))
}

#[test]
fn it_runs_while_one_of_its_containers_does() {
    for (init, main) in [
        (running(), waiting("PodInitializing")),
        (ended(0), running()),
        // The next container is about to start.
        (ended(0), waiting("PodInitializing")),
        (ended(0), json!({})),
    ] {
        let pods = [states(init.clone(), main.clone())];
        assert_eq!(progress(&pods), Progress::Running, "{init} {main}");
        assert!(pods[0].is_live());
    }
}

#[test]
fn the_second_of_two_containers_counts_like_the_first() {
    for exit_code in [0, 1] {
        let pod = pod(|pod| {
            pod["status"] = json!({"phase": "Running", "containerStatuses": [
                container("first", ended(exit_code)), container("done", running()),
            ]});
        });
        assert_eq!(progress(&[pod]), Progress::Running);
    }
}

#[test]
fn a_node_that_is_lost_says_nothing_new() {
    let pod = pod(|pod| {
        pod["status"]["phase"] = json!("Unknown");
        pod["status"]["initContainerStatuses"] = json!(null);
        pod["status"]["containerStatuses"] = json!([container("done", running())]);
    });
    assert_eq!(progress(&[pod]), Progress::Running);
    for (phase, expected) in [
        ("Unknown", Progress::Running),
        ("Running", Progress::Running),
        ("Pending", not_started("Pending")),
    ] {
        let pod: Pod = serde_json::from_value(json!({"status": {"phase": phase}})).unwrap();
        assert_eq!(progress(&[pod]), expected, "{phase}");
    }
}

#[test]
fn a_sidecar_is_no_migration() {
    for sidecar in [None, Some("istio-proxy"), Some("cloud-sql-proxy")] {
        let with = |init: Value, main: Value| beside(sidecar, init, main);
        let ran = with(ended(0), ended(0));
        assert!(!ran.is_live(), "{sidecar:?}");
        assert_eq!(progress(&[ran]), Progress::Ended, "{sidecar:?}");
        assert_eq!(progress(&[with(ended(0), ended(1))]), Progress::Ended);
        let runs = with(running(), waiting("PodInitializing"));
        assert_eq!(progress(&[runs]), Progress::Running, "{sidecar:?}");
        let pulls = with(waiting("ImagePullBackOff"), waiting("PodInitializing"));
        assert_eq!(progress(&[pulls]), not_started("ImagePullBackOff"));
    }
    // Any other container that keeps running is one of the migration's.
    let other = beside(Some("worker"), ended(0), ended(0));
    assert_eq!(progress(&[other]), Progress::Running);
}

/// A migration whose only container has the image of a proxy still counts as a migration.
#[test]
fn only_sidecars_are_no_sidecars() {
    let alone = |state: Value| {
        pod(|pod| {
            pod["status"] = json!({"phase": "Running", "containerStatuses": [
                container("cloud-sql-proxy", state),
            ]});
        })
    };
    assert_eq!(progress(&[alone(running())]), Progress::Running);
    assert_eq!(progress(&[alone(ended(0))]), Progress::Ended);
}

#[test]
fn what_waits_in_vain_does_not_run() {
    let never = states(waiting("ImagePullBackOff"), waiting("PodInitializing"));
    assert_eq!(progress(&[never]), not_started("ImagePullBackOff"));
    let halfway = states(ended(0), waiting("CreateContainerConfigError"));
    assert!(halfway.is_live());
    assert_eq!(progress(&[halfway]), stopped("CreateContainerConfigError"));
    let creating = states(waiting("ContainerCreating"), waiting("PodInitializing"));
    assert_eq!(progress(&[creating]), not_started("ContainerCreating"));
    assert_eq!(progress(&[]), not_started("NoPod"));
}

#[test]
fn another_try_may_come() {
    let crashed = pod(|pod| {
        pod["spec"]["restartPolicy"] = json!("OnFailure");
        let mut crashed = container("migrate", waiting("CrashLoopBackOff"));
        crashed["restartCount"] = json!(2);
        pod["status"]["initContainerStatuses"] = json!([crashed]);
    });
    assert!(crashed.is_live());
    assert_eq!(progress(&[crashed]), stopped("CrashLoopBackOff"));
    // Its pod has failed, and the next one does not exist yet, or has not started.
    let failed = || pod(|pod| pod["status"]["phase"] = json!("Failed"));
    assert!(!failed().is_live());
    assert_eq!(progress(&[failed()]), stopped(""));
    let next = states(waiting("ErrImagePull"), waiting("PodInitializing"));
    assert_eq!(progress(&[failed(), next]), stopped("ErrImagePull"));
}

/// Kubernetes starts these again at once, so the migration is not over.
#[test]
fn a_container_that_comes_back_has_not_ended() {
    type Change = fn(&mut Value);
    let runs_again: [Change; 3] = [
        |pod| pod["spec"]["restartPolicy"] = json!("OnFailure"),
        |pod| pod["spec"]["containers"][0]["restartPolicy"] = json!("OnFailure"),
        |pod| pod["spec"]["containers"][0]["restartPolicyRules"] = json!([{"action": "Restart"}]),
    ];
    for change in runs_again {
        let with = |exit_code: i32, is_deleted: bool| {
            pod(|pod| {
                change(pod);
                pod["status"]["initContainerStatuses"] = json!([container("migrate", ended(0))]);
                pod["status"]["containerStatuses"] = json!([container("done", ended(exit_code))]);
                if is_deleted {
                    pod["metadata"]["deletionTimestamp"] = json!("2026-11-24T23:00:00Z");
                }
            })
        };
        assert_eq!(progress(&[with(1, false)]), Progress::Running);
        assert_eq!(progress(&[with(0, false)]), Progress::Ended);
        assert_eq!(progress(&[with(1, true)]), Progress::Ended);
    }
    let plain = states(ended(0), ended(1));
    assert_eq!(progress(&[plain]), Progress::Ended);
}

#[test]
fn a_pod_that_is_deleted_goes_on_with_nothing_new() {
    let deleted = |init: Value| {
        pod(|pod| {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-24T23:00:00Z");
            pod["status"]["initContainerStatuses"] = json!([container("migrate", init)]);
        })
    };
    assert_eq!(progress(&[deleted(running())]), Progress::Running);
    assert_eq!(progress(&[deleted(ended(0))]), stopped("PodInitializing"));
}

#[test]
fn one_pod_that_runs_is_enough() {
    let runs = || pod(|_| {});
    let failed = || pod(|pod| pod["status"]["phase"] = json!("Failed"));
    let pending = || pod(|pod| pod["status"] = json!({"phase": "Pending"}));
    for pods in [
        vec![failed(), runs()],
        vec![pending(), runs(), failed()],
        vec![beside(None, ended(0), ended(0)), runs()],
    ] {
        assert_eq!(progress(&pods), Progress::Running);
    }
}

/// Go writes `null` for an empty list.
#[test]
fn a_pod_of_nulls_is_read() {
    let nulls = json!({"metadata": null, "spec": {"initContainers": null, "containers": null}, "status": null});
    let pod: Pod = serde_json::from_value(nulls).unwrap();
    assert_eq!(progress(&[pod]), not_started("Pending"));
}

fn says(status: &Value, managed_by: Option<&str>) -> Said {
    let of = |field: &str| status[field].as_i64();
    let counts = Counts {
        active: of("active").unwrap_or_default(),
        ready: of("ready"),
        terminating: of("terminating").unwrap_or_default(),
    };
    counts.say(managed_by)
}

#[test]
fn the_jobs_own_status_says_it_where_it_can() {
    for (expected, status) in [
        (Said::Running, json!({"active": 1, "ready": 1})),
        (Said::Running, json!({"active": 2, "ready": 1})),
        (Said::Unclear, json!({"active": 1, "ready": 0})),
        (Said::Unclear, json!({"active": 1})),
        (
            Said::Unclear,
            json!({"active": 0, "ready": 0, "terminating": 1}),
        ),
        (Said::Idle, json!({"active": 0, "ready": 0})),
        (Said::Idle, json!({"ready": 0, "terminating": 0})),
        (Said::Idle, json!({})),
    ] {
        for controller in [None, Some(""), Some("kubernetes.io/job-controller")] {
            assert_eq!(says(&status, controller), expected, "{status}");
        }
    }
}

#[test]
fn another_controllers_job_says_it_itself() {
    for (expected, status) in [
        (Said::Running, json!({"active": 1, "ready": 1})),
        (Said::Idle, json!({"active": 1, "ready": 0})),
        // This controller does not count ready pods.
        (Said::Running, json!({"active": 1})),
        (Said::Idle, json!({"terminating": 1})),
        (Said::Idle, json!({})),
    ] {
        let controller = Some("kueue.x-k8s.io/multikueue");
        assert_eq!(says(&status, controller), expected, "{status}");
    }
}

proptest! {
    /// Whatever its containers do, a pod with a running container of the migration is not given up, and a migration
    /// that is over does not count as running.
    #[test]
    fn what_runs_is_live(states in prop::collection::vec(0..4_usize, 1..5), native in any::<bool>()) {
        let state = |kind: usize| match kind {
            0 => running(),
            1 => ended(0),
            2 => waiting("PodInitializing"),
            _ => waiting("ImagePullBackOff"),
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
