//! A chart whose image cannot be pulled, or whose Secret is missing, and the next deploy, which mends it: nobody deletes
//! a Job by hand.

use std::{
    process::Child,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::running;
use crate::harness::{Chart, Guarded, Helm, NodeKind, Space, Warden, within};

/// How long the next deploy may take: the first Job must be a minute old.
const SOON: Duration = Duration::from_secs(120);

/// The chart with a tag that no registry has: nothing listens there.
fn mistyped() -> Chart {
    Chart::good().with(
        "rig.local/busybox:1\n          imagePullPolicy: Never",
        "127.0.0.1:1/busybox:mistyped",
    )
}

/// Installs a good chart with version 2, and begins to upgrade it to version 1 with an image that does not exist.
/// Returns Helm and the Job it waits for.
fn begun(space: &Space, helm: Helm, release: &str) -> (Child, String) {
    space.install(helm, release, &running("true")).succeeds();
    space.upgrade(helm, release, &running("true")).succeeds();
    let chart = mistyped().write();
    let upgrade = space.begin(helm, "upgrade", release, &chart);
    let job = within(Duration::from_secs(60), "the image not to be found", || {
        let job = space.jobs_of(release).pop()?;
        let job = job["metadata"]["name"].as_str()?.to_owned();
        let selector = format!("batch.kubernetes.io/job-name={job}");
        let pods = space.kubectl(&["get", "pods", "--selector", &selector, "-o", "json"]);
        let pods = pods.succeeds().json();
        let status = &pods["items"][0]["status"]["containerStatuses"][0];
        let reason = status["state"]["waiting"]["reason"].as_str()?;
        reason.contains("ImagePull").then_some(job)
    });
    (upgrade, job)
}

fn version(space: &Space, release: &str) -> Value {
    space.get("configmap", release)["data"]["version"].take()
}

fn guarded() -> Guarded {
    let warden = Warden::with("").cluster().serve();
    Guarded::by(warden, Space::on(NodeKind::Real), |webhooks| webhooks)
}

/// The pipeline was killed, as when its time is up, and the next one rolls back and deploys the mended chart.
fn the_next_deploy_mends_it(helm: Helm) {
    let space = guarded();
    let release = helm.release("app");
    let (mut upgrade, job) = begun(&space, helm, &release);
    upgrade.kill().unwrap();
    upgrade.wait().unwrap();
    space.helm(helm, &["rollback", &release]).succeeds();
    let chart = running("true").write();
    let path = chart.path().to_str().unwrap();
    let since = Instant::now();
    let mend = ["upgrade", &release, path, "--set", "version=3"];
    space.helm(helm, &mend).succeeds();
    let took = since.elapsed();
    assert!(took < SOON, "{took:?}");
    assert_eq!(version(&space, &release), "3");
    let job = space.get("job", &job);
    let annotation = &job["metadata"]["annotations"]["migration-warden.io/superseded"];
    let why = annotation.as_str().unwrap();
    assert!(why.contains("ImagePull"), "{why}");
}

/// The first Helm still waits while the next attempt comes, such as from another tool: it fails, and rolls nothing out.
fn the_first_fails_and_rolls_nothing_out(helm: Helm) {
    let space = guarded();
    let release = helm.release("app");
    let (mut upgrade, _) = begun(&space, helm, &release);
    // kubectl tries again by itself.
    let mended = running("true").render(&release);
    space
        .kubectl_with(&["create", "-f", "-"], &mended)
        .succeeds();
    let ended = within(Duration::from_secs(30), "the first Helm to end", || {
        upgrade.try_wait().unwrap()
    });
    assert!(!ended.success(), "{ended}");
    assert_eq!(version(&space, &release), "2");
}

/// The kubelet waits for a Secret two minutes before it gives up, and so does the next attempt. kubectl tries again by
/// itself.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_missing_secret_in_a_volume_is_mended_by_the_next_attempt() {
    let space = guarded();
    let volume = "      volumes: [{name: v, secret: {secretName: missing}}]\n";
    let broken = running("true")
        .with(
            "      containers:\n",
            &format!("{volume}      containers:\n"),
        )
        .with(
            "command:",
            "volumeMounts: [{name: v, mountPath: /v}]\n          command:",
        );
    let first = crate::claims::is_created(&space, &broken.render("app"));
    let first = first["metadata"]["name"].as_str().unwrap();
    thread::sleep(Duration::from_secs(1));
    let since = Instant::now();
    let mended = running("true").render("app");
    space
        .kubectl_with(&["create", "-f", "-"], &mended)
        .succeeds();
    let took = since.elapsed();
    assert!(took < Duration::from_secs(240), "{took:?}");
    let conditions = space.get("job", first)["status"]["conditions"].take();
    assert!(
        conditions.to_string().contains("DeadlineExceeded"),
        "{conditions}"
    );
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_mistyped_tag_is_mended_by_the_next_deploy() {
    thread::scope(|scope| {
        for helm in Helm::BOTH {
            scope.spawn(move || the_next_deploy_mends_it(helm));
            scope.spawn(move || the_first_fails_and_rolls_nothing_out(helm));
        }
    });
}
