//! Processes of the pods, and their crashes, as only the machine that runs the node can bring them about.

use std::{fs, process::Command, thread, time::Duration};

use jiff::Timestamp;

use super::{Install, NAME};
use crate::harness::{Outcome, eventually};

/// The processes that serve, in whichever container.
pub(super) fn replicas() -> Vec<u32> {
    processes("serve")
}

/// The processes of the containers that do this.
fn processes(verb: &str) -> Vec<u32> {
    let begins = format!("/migration-warden\0{verb}\0");
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        command.starts_with(begins.as_bytes())
    })
    .collect()
}

/// Ends processes as a crash would, one after the other, each when all pods are ready again. Says when it was.
fn crash(install: &Install, processes: &[u32]) -> Vec<Timestamp> {
    let mut crashes = Vec::new();
    for process in processes {
        let before = eventually("the pods to be ready", || restarts(install));
        crashes.push(Timestamp::now());
        kill(*process);
        eventually("the pods to be ready again", || {
            restarts(install).filter(|restarts| *restarts > before)
        });
        // The apiserver hears of it later than we do.
        thread::sleep(Duration::from_secs(1));
    }
    crashes
}

/// Ends a process as a crash would.
pub(super) fn kill(process: u32) {
    let mut kill = Command::new("kill");
    Outcome::of(kill.args(["-9", &process.to_string()]), "").succeeds();
}

/// How often the kubelet has started a container again; nothing while one is not ready.
fn restarts(install: &Install) -> Option<u64> {
    let label = format!("app.kubernetes.io/instance={NAME}");
    let pods = install.kubectl(&["get", "pods", "--selector", &label, "-o", "json"]);
    let pods = pods.succeeds().json();
    let pods = pods["items"].as_array().unwrap().iter();
    let containers = pods.flat_map(|pod| pod["status"]["containerStatuses"].as_array().unwrap());
    let restarts = containers.map(|container| {
        let is_ready = container["ready"] == true;
        is_ready.then(|| container["restartCount"].as_u64().unwrap())
    });
    restarts.sum()
}

/// A replica, all that keep the listening sockets, and another replica. No process twice, because the kubelet
/// takes its time the second time.
pub(super) fn crashes(install: &Install) -> Vec<Timestamp> {
    let wanted = install.get("deployment", NAME)["spec"]["replicas"].as_u64();
    // Those of the last rollout take a while to end.
    let replicas = eventually("the other replicas to be gone", || {
        Some(replicas()).filter(|replicas| Some(replicas.len() as u64) == wanted)
    });
    let first = crash(install, &replicas[..1]);
    let holders = crash(install, &processes("hold-listener"));
    let second = crash(install, &replicas[1..2]);
    [first, holders, second].concat()
}
