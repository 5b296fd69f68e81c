//! What an installation does besides the rules: guards, claims, exceptions.

use jiff::{SignedDuration, Timestamp};
use kube::api::PostParams;
use serde_json::json;

use crate::claims::create;
use crate::harness::{Chart, RESTARTING_POD, Space, eventually};

/// A migration that runs is deleted only by those who say so.
pub(super) fn guards(space: &Space) {
    let slow = Chart::good().with("echo migrated", "sleep 600");
    let job = space.kubectl_with(&["create", "-o", "json", "-f", "-"], &slow.render("slow"));
    let job = job.succeeds().json();
    let job = job["metadata"]["name"].as_str().unwrap();
    eventually("the migration to run", || {
        (space.get("job", job)["status"]["ready"] == 1).then_some(())
    });
    let delete = ["delete", "job", job, "--wait=false"];
    space.kubectl(&delete).fails().says("MW102");
    let allow = [
        "annotate",
        "job",
        job,
        "migration-warden.io/allow-delete=true",
    ];
    space.kubectl(&allow).succeeds();
    space.kubectl(&delete).succeeds();
}

/// A migration from before the installation, which runs for long.
pub(super) fn old(space: &Space) -> String {
    let slow = Chart::good().with("echo migrated", "sleep 600");
    let job = space.kubectl_with(&["create", "-o", "json", "-f", "-"], &slow.render("old"));
    let job = job.succeeds().json();
    job["metadata"]["name"].as_str().unwrap().to_owned()
}

/// It keeps the next one waiting, though it never asked for a claim.
pub(super) fn claims(space: &Space, old: &str) {
    let next = Chart::good().render("old");
    let refused = create(space, &next, &PostParams::default()).unwrap_err();
    assert!(refused.message.contains(old), "{}", refused.message);
}

/// What an exception covers gets in, and is counted.
pub(super) fn exceptions(space: &Space) {
    let exception = json!({
        "apiVersion": "migration-warden.io/v1alpha1",
        "kind": "MigrationException",
        "metadata": {"name": "old-chart"},
        "spec": {
            "rules": ["MW004"],
            "selector": {"names": ["excepted-*"]},
            "reason": "until the chart is mended",
            "expiresAt": Timestamp::now() + SignedDuration::from_hours(1),
        },
    });
    let created = space.kubectl_with(&["create", "-f", "-"], &exception.to_string());
    created.succeeds();
    let honoured = [
        "wait",
        "--for=condition=Honoured",
        "mex/old-chart",
        "--timeout=30s",
    ];
    space.kubectl(&honoured).succeeds();
    // Of three, one replica sees two, and adds to its own Event.
    for uses in 1..=3 {
        let broken = RESTARTING_POD.chart().render(&format!("excepted-{uses}"));
        space
            .kubectl_with(&["create", "-f", "-"], &broken)
            .succeeds();
        eventually("the use to be written down", || {
            (space.get("mex", "old-chart")["status"]["uses"] == uses).then_some(())
        });
    }
}
