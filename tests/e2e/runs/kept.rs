//! How many runs stay, and what stays unrecorded.

use super::*;

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_newest_runs_of_a_release_stay_and_so_does_what_runs() {
    let _alone = alone();
    let space = Space::new();
    let replica = Replica::start(&space, "{keepPerRelease: 2}");
    let oldest = running(&space, "app");
    one(&space, "Running");
    let names: Vec<_> = (0..4)
        .map(|_| {
            thread::sleep(Duration::from_millis(1100));
            let job = running(&space, "app");
            complete(&space, &job);
            eventually("its run to have ended", || {
                let runs = runs(&space);
                let run = runs.iter().find(|run| run["spec"]["job"]["name"] == *job)?;
                (run["status"]["outcome"] == "Succeeded").then_some(())
            });
            job
        })
        .collect();
    let left = runs(&space);
    let left: Vec<_> = left
        .iter()
        .map(|run| run["spec"]["job"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(left, [&*oldest, &names[2], &names[3]]);
    // Those that were removed stay removed, though their Jobs are there.
    drop(replica);
    let _replica = Replica::start(&space, "{keepPerRelease: 2}");
    thread::sleep(Duration::from_secs(3));
    let again = runs(&space);
    let again: Vec<_> = again
        .iter()
        .map(|run| run["spec"]["job"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(again, left);
}

/// A run that ended so many seconds after this.
fn old(number: i64, than: jiff::Timestamp) -> Value {
    let at = than + jiff::SignedDuration::from_secs(number);
    let at = format!("{at:.0}");
    json!({
        "apiVersion": "migration-warden.io/v1alpha1", "kind": "MigrationRun",
        "metadata": {"name": format!("old-{number:03}")},
        "spec": {
            "job": {"name": format!("job-{number}"), "uid": format!("uid-{number}")},
            "release": {"name": "old", "source": "flux"},
            "migration": "old", "deployer": "Flux", "reviewed": true, "attempt": 1,
        },
        "status": {"outcome": "Failed", "admittedAt": at, "finishedAt": at},
    })
}

fn store(space: &Space, runs: impl Iterator<Item = Value>) {
    let runs: Vec<_> = runs.collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": runs});
    let create = ["create", "-f", "-"];
    space.kubectl_with(&create, &list.to_string()).succeeds();
}

fn has_one_of(runs: &[Value], job: &str) -> bool {
    runs.iter().any(|run| run["spec"]["job"]["name"] == *job)
}

/// Those that ended first go first, wherever they are; what runs stays.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_whole_cluster_keeps_no_more_than_it_should() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // With the kind, all runs of other tests go.
    let _crd = crd::absent();
    let space = Space::new();
    crd::install(&space);
    let job = running(&space, "app");
    let long_ago: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    store(&space, (0..130).rev().map(|number| old(number, long_ago)));
    let _replica = Replica::start(&space, "{keepTotal: 100}");
    let left = eventually("a hundred to be left", || {
        let runs = runs(&space);
        (has_one_of(&runs, &job) && runs.len() == 100).then_some(runs)
    });
    assert_eq!(left[0]["metadata"]["name"], "old-031");
    assert_eq!(left[99]["status"]["outcome"], "Running");
}

/// One whose run would be the first to go gets none: nobody would hear of it again and again.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_would_go_at_once_is_not_made_again() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // With the kind, all runs of other tests go.
    let _crd = crd::absent();
    let space = Space::new();
    crd::install(&space);
    let ended = running(&space, "ended");
    complete(&space, &ended);
    let (now, later) = (jiff::Timestamp::now(), jiff::SignedDuration::from_hours(1));
    store(&space, (0..100).map(|number| old(number, now + later)));
    for number in 0..2 {
        let replica = Replica::start(&space, "{keepTotal: 100}");
        let job = running(&space, &format!("app-{number}"));
        let left = eventually("the run of what runs", || {
            let runs = runs(&space);
            has_one_of(&runs, &job).then_some(runs)
        });
        assert!(!has_one_of(&left, &ended), "{left:#?}");
        assert_eq!(replica.counted("unreviewed_migrations_total"), 1);
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn nothing_is_recorded_where_the_policy_says_off() {
    let _alone = alone();
    let space = Space::new();
    let _replica = Replica::start(&space, "{mode: off}");
    create(&space, &own(&space, Chart::good()), "app");
    thread::sleep(Duration::from_secs(3));
    assert!(runs(&space).is_empty());
}

/// Reviews go on, it is said, and what has happened meanwhile is made up for.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn without_the_kind_it_is_said_and_made_up_for_later() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let _crd = crd::absent();
    let space = Space::new();
    let replica = Replica::start(&space, "{}");
    create(&space, &own(&space, Chart::good()), "app");
    eventually("it to be said", || {
        replica
            .trouble()
            .contains("no CRD migrationruns.migration-warden.io")
            .then_some(())
    });
    crd::install(&space);
    one(&space, "Succeeded");
    eventually("it to be over", || {
        replica.trouble().is_empty().then_some(())
    });
}
