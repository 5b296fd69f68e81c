//! What is recorded when somebody forges, an answer does not come, or the watch has missed something.

use super::*;
use crate::harness::{Proxy, Recorder};

/// One that does not end, and is the attempt with this number.
fn attempt(space: &Space, number: usize) -> String {
    let chart = own(space, by_hand()).with(
        "{{ now | unixEpoch }}",
        &format!("{}", 1_766_361_600 + number),
    );
    create(space, &chart, "app")
}

/// The client says who let it in, and afterwards writes that it was not him who said so.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_a_run_has_said_first_of_who_let_it_in_stays() {
    let _alone = alone();
    let space = Space::new();
    let replica = Replica::start(&space, "{}");
    let chart = own(&space, by_hand()).with("before-hook-creation,hook-succeeded", STAMPS);
    let job = create(&space, &chart, "forged");
    one(&space, "Running");
    let managed = json!([{
        "manager": "kubectl", "operation": "Update", "apiVersion": "batch/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {}}},
    }]);
    let forge = json!({"metadata": {"managedFields": managed}});
    space.patch(&job, &forge, &[]).succeeds();
    let managed = space.get("job", &job)["metadata"]["managedFields"].to_string();
    assert!(!managed.contains("decision"), "{managed}");
    complete(&space, &job);
    let run = one(&space, "Succeeded");
    let spec = &run["spec"];
    assert_eq!(spec["reviewed"], false, "{run:#}");
    let nobody = (&Value::Null, &Value::Null);
    assert_eq!((&spec["decision"], &spec["requestedBy"]), nobody);
    assert_eq!(replica.counted("unreviewed_migrations_total"), 1);
}

/// As after an installation, or an outage.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn attempts_that_are_found_together_are_counted_one_by_one() {
    let _alone = alone();
    let space = Space::new();
    for number in (0..12).rev() {
        attempt(&space, number);
    }
    let _replica = Replica::start(&space, "{keepPerRelease: 20}");
    let runs = eventually_runs(&space, &["Running"; 12]);
    let attempts: Vec<_> = runs.iter().map(|run| &run["spec"]["attempt"]).collect();
    let expected: Vec<_> = (1..=12).collect();
    assert_eq!(json!(attempts), json!(expected));
}

/// The apiserver, which still has the Job, is asked whether it is so.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_review_of_a_deletion_makes_a_run_of_a_job_that_the_watch_has_missed() {
    let _alone = alone();
    let space = Space::new();
    let replica = Replica::start(&space, "{}");
    // Without the label that this replica's watch goes by.
    let job = create(&space, &by_hand(), "missed");
    complete(&space, &job);
    let name = job;
    let mut job = space.get("job", &name);
    let review = |job: &Value| json!({"request": {"namespace": space.name(), "oldObject": job}});
    replica.shown(&review(&job));
    space.kubectl(&["delete", "job", &name]).succeeds();
    let run = one(&space, "Succeeded");
    assert_eq!(run["spec"]["job"]["uid"], job["metadata"]["uid"]);
    assert_eq!(run["spec"]["release"]["name"], "missed");
    // One that nobody has ever seen.
    job["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000001");
    replica.shown(&review(&job));
    thread::sleep(replica::PACE.others + Duration::from_secs(1));
    one(&space, "Succeeded");
}

/// The run is made, and nobody hears of it: that it was made is told all the same.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_bypass_is_told_though_the_answer_to_its_write_was_lost() {
    let _alone = alone();
    let space = Space::new();
    let (proxy, recorder) = (Proxy::start(), Recorder::start());
    let _registration = Webhooks::recorded_by(&recorder).of_runs().register(&space);
    let replica = Replica::through(&space, &proxy);
    recorder.hold();
    attempt(&space, 0);
    eventually("the run to be under way", || {
        (!recorder.take().is_empty()).then_some(())
    });
    proxy.mute();
    recorder.go_on();
    one(&space, "Running");
    assert_eq!(replica.counted("unreviewed_migrations_total"), 0);
    // It takes ten seconds to give an answer up.
    eventually("it to be given up", || {
        (replica.counted("run_writes_total{result=\"failed\"}") > 0).then_some(())
    });
    proxy.go_on();
    event(&space, "MigrationUnreviewed");
    assert_eq!(replica.counted("unreviewed_migrations_total"), 1);
}

/// Its label says so while it runs: what has a run gets an end.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_migration_that_is_declared_to_be_none_has_its_end_all_the_same() {
    let _alone = alone();
    let space = Space::new();
    let replica = Replica::start(&space, "{}");
    let job = running(&space, "app");
    one(&space, "Running");
    let none = ["label", "job", &job, "migration-warden.io/migration=false"];
    space.kubectl(&none).succeeds();
    complete(&space, &job);
    space.kubectl(&["delete", "job", &job]).succeeds();
    one(&space, "Succeeded");
    thread::sleep(replica::PACE.lost + Duration::from_secs(1));
    one(&space, "Succeeded");
    assert_eq!(replica.counted("runs_total{outcome=\"lost\"}"), 0);
}
