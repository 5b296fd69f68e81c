//! Migrations whose Job's own status does not say that they run.

use serde_json::json;

use crate::claims::waits;
use crate::guards::{create, deletion};
use crate::harness::{Chart, Guarded, NodeKind, Space, Warden, Webhooks, eventually};

const MAIN: &str = "      containers:\n        - name: migrate\n";

/// The image with this script, as YAML of the entry `indent` deep.
fn script(script: &str) -> String {
    format!(
        "image: rig.local/busybox:1\n          imagePullPolicy: Never\n          \
         command: [/bin/busybox, sh, -c, {script:?}]\n"
    )
}

/// As Temporal's chart has it: the migration is in an init container.
pub(super) fn in_an_init_container(migration: &str) -> Chart {
    let init = script(migration);
    Chart::good().with(
        MAIN,
        &format!("      initContainers:\n        - name: manage-schema\n          {init}{MAIN}"),
    )
}

/// Another container stands before the migration, and ends at once.
fn in_the_second_container(seconds: u32) -> Chart {
    let first = script("true");
    let chart = Chart::good().with(
        MAIN,
        &format!(
            "      containers:\n        - name: first\n          {first}        - name: migrate\n"
        ),
    );
    chart.with("echo migrated", &format!("sleep {seconds}"))
}

fn behind_a_failing_probe(seconds: u32) -> Chart {
    let probe = "readinessProbe: {exec: {command: [/bin/busybox, \"false\"]}}";
    let chart = Chart::good().with(MAIN, &format!("{MAIN}          {probe}\n"));
    chart.with("echo migrated", &format!("sleep {seconds}"))
}

/// The migration ends at once, and a native sidecar takes its time to stop.
fn beside_a_native_sidecar() -> Chart {
    let sidecar = script("trap '' TERM; while true; do sleep 1; done");
    let chart = Chart::good().with(
        MAIN,
        &format!(
            "      terminationGracePeriodSeconds: 30\n      initContainers:\n        - name: agent\n          \
             restartPolicy: Always\n          {sidecar}{MAIN}"
        ),
    );
    chart.with("echo migrated", "sleep 3")
}

pub(super) fn guarded() -> Guarded {
    let space = Space::on(NodeKind::Real);
    Guarded::by(
        Warden::with("").cluster().serve(),
        space,
        Webhooks::guarding,
    )
}

/// Waits until a container with this name is in this state.
pub(super) fn is(space: &Space, job: &str, container: &str, state: &str) {
    eventually(&format!("{container} to be {state}"), || {
        let label = format!("batch.kubernetes.io/job-name={job}");
        let pods = space.kubectl(&["get", "pods", "--selector", &label, "-o", "json"]);
        let status = pods.succeeds().json()["items"][0]["status"].take();
        ["initContainerStatuses", "containerStatuses"]
            .iter()
            .flat_map(|of| status[of].as_array().cloned().unwrap_or_default())
            .any(|c| c["name"] == container && c["state"][state].is_object())
            .then_some(())
    });
}

/// Waits until the Job's status calls no pod ready: its controller writes that a moment later.
fn is_not_ready(space: &Space, job: &str) {
    eventually("the Job's status to call no pod ready", || {
        let status = space.get("job", job)["status"].take();
        (status["active"] == 1 && status["ready"] == 0).then_some(())
    });
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn it_is_guarded_and_holds_its_claim() {
    let space = guarded();
    let shapes: [(Chart, &str); 3] = [
        (in_an_init_container("sleep 60"), "manage-schema"),
        (in_the_second_container(60), "migrate"),
        (behind_a_failing_probe(60), "migrate"),
    ];
    for (index, (chart, container)) in shapes.iter().enumerate() {
        let release = format!("app{index}");
        let job = &create(&space, chart, &release);
        is(&space, job, container, "running");
        if index == 1 {
            is(&space, job, "first", "terminated");
        }
        is_not_ready(&space, job);
        space
            .kubectl(&["delete", "job", job])
            .fails()
            .says(&format!("{job} is running"));
        assert_eq!(deletion(&space, job)["verdict"], "denied");
        let told = waits(&space, &chart.render(&release));
        assert!(told.contains(&format!("{job} is still running")), "{told}");
    }
    let asked = space
        .warden
        .metric("guard_pod_lookups_total{result=\"running\"}");
    assert!(asked >= 3, "asked {asked} times");
}

/// Its Job has not ended while the sidecar stops, and may go.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_sidecar_is_not_guarded() {
    let space = guarded();
    let job = create(&space, &beside_a_native_sidecar(), "app");
    is(&space, &job, "migrate", "running");
    space
        .kubectl(&["delete", "job", &job])
        .fails()
        .says("MW102");
    is(&space, &job, "migrate", "terminated");
    is(&space, &job, "agent", "running");
    is_not_ready(&space, &job);
    space
        .kubectl(&["delete", "job", &job, "--wait=false"])
        .succeeds();
    let allowed = space.warden.decision("the deletion", |decision| {
        decision["operation"] == "DELETE" && decision["verdict"] == "allowed"
    });
    assert_eq!(allowed["findings"], json!([]), "{allowed:#}");
}
