//! A migration whose name changes with each version.

use super::*;

/// The runs of two earlier versions are written by hand, because they are hours old.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_migration_with_another_name_for_each_version_is_told() {
    let _alone = alone();
    let space = Space::new();
    for (version, hours) in [("1-0-0", 3), ("1-0-1", 2)] {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
        let at = format!("{at:.0}");
        let run = json!({
            "apiVersion": "migration-warden.io/v1alpha1", "kind": "MigrationRun",
            "metadata": {"name": format!("v{version}"), "labels": {"migration-warden.io/release": "app"}},
            "spec": {
                "job": {"name": format!("app-migrate-{version}-1766361600"), "uid": version},
                "release": {"name": "app", "source": "instance-label"},
                "migration": format!("app-migrate-{version}"), "deployer": "Helm", "reviewed": true, "attempt": 1,
            },
            "status": {"outcome": "Succeeded", "admittedAt": at, "finishedAt": at},
        });
        let create = ["create", "-f", "-"];
        space.kubectl_with(&create, &run.to_string()).succeeds();
    }
    let _replica = Replica::start(&space, "{}");
    let named = own(&space, by_hand()).with("-migrate-", "-migrate-1-1-0-");
    let job = create(&space, &named, "app");
    let event = event(&space, "MigrationRenamed");
    let note = event["note"].as_str().unwrap();
    let expected = format!(
        "{job} of app: the migration app-migrate-1-1-0 was called app-migrate-1-0-1 before. "
    );
    assert!(note.starts_with(&expected), "{note}");
    space.kubectl(&["delete", "job", &job]).succeeds();
}
