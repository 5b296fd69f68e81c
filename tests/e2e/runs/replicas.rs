//! Several replicas, or none for a while: each migration has one run all the same.

use super::*;

/// Nobody can know how it ended, and that is what is said. What can still be known is not lost.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_happens_while_nobody_looks_is_found_out_or_lost() {
    let _alone = alone();
    let space = Space::new();
    let replica = Replica::start(&space, "{}");
    let (gone, ended) = (running(&space, "gone"), running(&space, "ended"));
    let still = running(&space, "still");
    eventually_runs(&space, &["Running"; 3]);
    drop(replica);
    complete(&space, &gone);
    space.kubectl(&["delete", "job", &gone]).succeeds();
    complete(&space, &ended);
    let new = running(&space, "new");
    let _replica = Replica::start(&space, "{}");
    eventually("all that can be known", || {
        let runs = runs(&space);
        let outcome = |job: &str| {
            let mut of_job = runs.iter().filter(|run| run["spec"]["job"]["name"] == *job);
            let outcome = of_job.next()?["status"]["outcome"].as_str();
            assert!(of_job.next().is_none(), "two runs of {job}");
            outcome
        };
        let found = [&gone, &ended, &still, &new].map(|job| outcome(job));
        (found == ["Lost", "Succeeded", "Running", "Running"].map(Some)).then_some(())
    });
    // It is no end of its own, so it has no duration.
    let lost = runs(&space);
    let lost = lost.iter().find(|run| run["status"]["outcome"] == "Lost");
    assert_eq!(lost.unwrap()["status"]["duration"], Value::Null);
    let event = event(&space, "MigrationLost");
    assert_eq!(
        event["regarding"]["name"],
        lost.unwrap()["metadata"]["name"]
    );
}

/// The review of a deletion shows what the watch of a replica that was away has missed. One that is forged shows
/// nothing that the watch does not know better.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_review_of_a_deletion_tells_how_a_job_ended_that_nobody_saw_end() {
    let _alone = alone();
    let space = Space::new();
    let replica = Replica::start(&space, "{}");
    let (gone, there) = (running(&space, "gone"), running(&space, "there"));
    eventually_runs(&space, &["Running"; 2]);
    drop(replica);
    complete(&space, &gone);
    let review = |job: &Value| json!({"request": {"namespace": space.name(), "oldObject": job}});
    let real = review(&space.get("job", &gone));
    let mut forged = space.get("job", &there);
    forged["status"] = space.get("job", &gone)["status"].clone();
    let forged = review(&forged);
    space.kubectl(&["delete", "job", &gone]).succeeds();
    let replica = Replica::start(&space, "{}");
    replica.shown(&real);
    replica.shown(&forged);
    eventually("the end that a review showed", || {
        let runs = runs(&space);
        let of = |job: &str| runs.iter().find(|run| run["spec"]["job"]["name"] == *job);
        let outcome = |job: &str| of(job)?["status"]["outcome"].as_str();
        (outcome(&gone)? == "Succeeded").then_some(())?;
        assert_eq!(outcome(&there), Some("Running"));
        Some(())
    });
    thread::sleep(Duration::from_secs(3));
    assert_eq!(replica.counted("runs_total{outcome=\"lost\"}"), 0);
    let outcomes: Vec<_> = runs(&space)
        .iter()
        .map(|run| run["status"]["outcome"].clone())
        .collect();
    assert!(outcomes.contains(&json!("Running")), "{outcomes:?}");
}

/// Both write at once, for want of an election.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn several_replicas_make_one_run_of_each_job_and_count_it_once() {
    let _alone = alone();
    let space = Space::new();
    let replicas = [(); 3].map(|()| Replica::start(&space, "{}"));
    let jobs: Vec<_> = (0..10)
        .map(|n| running(&space, &format!("app-{n}")))
        .collect();
    eventually_runs(&space, &["Running"; 10]);
    for job in &jobs {
        complete(&space, job);
    }
    eventually_runs(&space, &["Succeeded"; 10]);
    thread::sleep(Duration::from_secs(2));
    let uids = runs(&space);
    let mut uids: Vec<_> = uids
        .iter()
        .map(|run| run["spec"]["job"]["uid"].to_string())
        .collect();
    uids.dedup();
    assert_eq!(uids.len(), 10);
    let sum = |metric: &str| replicas.iter().map(|r| r.counted(metric)).sum::<i64>();
    assert_eq!(sum("runs_total{outcome=\"succeeded\"}"), 10);
    assert_eq!(sum("unreviewed_migrations_total"), 10);
    // To be second is no failure.
    assert_eq!(sum("run_writes_total{result=\"failed\"}"), 0);
}

/// They are stopped in the middle of whatever they do, one of two at a time.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn replicas_come_and_go_and_every_job_has_one_run_with_its_end() {
    let _alone = alone();
    let space = Space::new();
    let mut replicas = [(); 2].map(|()| Some(Replica::start(&space, "{}")));
    let mut expected = Vec::new();
    for round in 0..30 {
        let job = running(&space, &format!("app-{round}"));
        let replica = &mut replicas[round / 3 % 2];
        if round % 3 == 0 {
            drop(replica.take());
        }
        let outcome = match round % 5 {
            0 | 3 => {
                complete(&space, &job);
                "Succeeded"
            }
            1 => {
                fail(&space, &job, "BackoffLimitExceeded", "it failed");
                "Failed"
            }
            2 => {
                complete(&space, &job);
                space.kubectl(&["delete", "job", &job]).succeeds();
                "Succeeded"
            }
            _ => {
                space.kubectl(&["delete", "job", &job]).succeeds();
                "Deleted"
            }
        };
        if replica.is_none() {
            *replica = Some(Replica::start(&space, "{}"));
        }
        expected.push((job, outcome.to_owned()));
    }
    expected.sort();
    let found = || {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let runs = runs(&space);
        let mut found: Vec<_> = runs
            .iter()
            .map(|run| {
                (
                    text(&run["spec"]["job"]["name"]),
                    text(&run["status"]["outcome"]),
                )
            })
            .collect();
        found.sort();
        found
    };
    eventually("a run of each with its end", || {
        let ended = found().iter().all(|(_, outcome)| outcome != "Running");
        (ended && found().len() == expected.len()).then_some(())
    });
    // Nobody changes his mind.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(found(), expected);
}

/// One that was not elected leaves the writing to the other, and does it where that one does not.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_replica_that_was_not_elected_writes_what_the_other_did_not() {
    let _alone = alone();
    let space = Space::new();
    let leader = Replica::start(&space, "{}");
    let other = Replica::follow(&space, "{}");
    let first = running(&space, "first");
    one(&space, "Running");
    complete(&space, &first);
    one(&space, "Succeeded");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(other.counted("run_writes_total{result=\"written\"}"), 0);
    drop(leader);
    let begun = Instant::now();
    let second = running(&space, "second");
    eventually_runs(&space, &["Succeeded", "Running"]);
    let waited = begun.elapsed();
    assert!(waited > replica::PACE.others, "it left no time: {waited:?}");
    complete(&space, &second);
    eventually_runs(&space, &["Succeeded", "Succeeded"]);
    assert_eq!(other.counted("run_writes_total{result=\"written\"}"), 2);
}
