//! Finished Jobs that nobody needs: what Helm leaves behind, and what is left of it afterwards.

pub(crate) mod replica;
mod written;

use serde_json::{Value, json};

use self::replica::Replica;
use crate::claims::{argocd, is_created};
use crate::harness::{Chart, Guarded, Helm, Space, WRONG_DELETE_POLICY, chart_role, eventually};

/// The good chart, whose Job now fails within two seconds.
fn failing() -> Chart {
    Chart::good()
        .with("activeDeadlineSeconds: 600", "activeDeadlineSeconds: 1")
        .with(
            "    spec:\n",
            "    spec:\n      nodeSelector: {none: such}\n",
        )
}

/// F1: three upgrades fail, the fourth succeeds. Returns the names of the Jobs that are left, oldest first.
fn three_failures_and_a_success(space: &Space, helm: Helm, release: &str) -> Vec<String> {
    space.install(helm, release, &Chart::good()).succeeds();
    for _ in 0..3 {
        space.upgrade(helm, release, &failing()).fails();
    }
    space.upgrade(helm, release, &Chart::good()).succeeds();
    names(&space.jobs_of(release))
}

pub(crate) fn names(jobs: &[Value]) -> Vec<String> {
    let name = |job: &Value| job["metadata"]["name"].as_str().unwrap().to_owned();
    let mut names: Vec<_> = jobs.iter().map(name).collect();
    names.sort();
    names
}

/// The guide says that past invocations are cleaned up. Helm deletes by the new name.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn without_it_failed_attempts_stay_for_ever() {
    let space = Space::new();
    for helm in Helm::BOTH {
        let release = helm.release("app");
        let failed = three_failures_and_a_success(&space, helm, &release);
        assert_eq!(failed.len(), 3, "{failed:?}");
        space.helm(helm, &["uninstall", &release]).succeeds();
        assert_eq!(names(&space.jobs_of(&release)), failed);
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn of_failed_attempts_the_newest_stays_and_goes_by_its_time_to_live() {
    let space = Guarded::with("");
    let replica = Replica::of(&space, "a", "{}");
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &Chart::good()).succeeds();
        let mut last = String::new();
        for attempt in 0..3 {
            space.upgrade(helm, &release, &failing()).fails();
            let failed = eventually("only the last attempt to stay", || {
                let failed = names(&space.jobs_of(&release));
                (failed.len() == 1 && failed[0] != last).then(|| failed[0].clone())
            });
            assert_ne!(failed, last, "attempt {attempt}");
            last = failed;
        }
        space.upgrade(helm, &release, &Chart::good()).succeeds();
        space.helm(helm, &["uninstall", &release]).succeeds();
        let left = space.jobs_of(&release);
        assert_eq!(names(&left), [last]);
        assert_eq!(left[0]["spec"]["ttlSecondsAfterFinished"], 604_800);

        let mut lines = replica.lines();
        lines.retain(|line| line["release"]["name"] == *release);
        assert_eq!(lines.len(), 2, "{lines:#?}");
        let line = &lines[0];
        assert_eq!(line["kind"], "tidy-up");
        assert_eq!(line["schema"], 1);
        assert_eq!(line["namespace"], *space.name());
        assert_eq!(line["reason"], "earlier-attempt");
        assert_eq!(line["dry_run"], false);
        assert_eq!(line["replica"], "a");
        let deletions = space.audit("delete");
        let ours = deletions.iter().find(|event| {
            event["objectRef"]["name"] == line["job"]
                && event["responseStatus"]["code"] == 200
                && event["requestObject"]["preconditions"]["uid"] == line["job_uid"]
        });
        let policy = &ours.expect("the deletion")["requestObject"]["propagationPolicy"];
        assert_eq!(policy, "Background");
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn one_of_three_replicas_does_it_and_the_next_when_that_ends() {
    let space = Space::new();
    let mut replicas: Vec<_> = ["a", "b", "c"]
        .map(|name| Replica::of(&space, name, "{keepFailed: 2}"))
        .into();
    let removed = |replicas: &[Replica]| {
        let lines = replicas.iter().map(|replica| replica.lines().len());
        lines.collect::<Vec<_>>()
    };
    let leader =
        |replicas: &[Replica]| eventually("a leader", || replicas.iter().position(Replica::leads));
    three_failures_and_a_success(&space, Helm::V3, "app");
    eventually("the earliest to go", || {
        (space.jobs_of("app").len() == 2).then_some(())
    });
    let first = leader(&replicas);
    let mut expected = [0, 0, 0];
    expected[first] = 1;
    assert_eq!(removed(&replicas), expected);

    replicas[first].resign();
    let second = leader(&replicas);
    assert_ne!(first, second);
    space.upgrade(Helm::V3, "app", &failing()).fails();
    eventually("the next to go", || {
        (removed(&replicas).iter().sum::<usize>() == 2).then_some(())
    });
    expected[second] = 1;
    assert_eq!(removed(&replicas), expected);
    // The line is written before the Job is deleted.
    eventually("its Job to be gone", || {
        (space.jobs_of("app").len() == 2).then_some(())
    });
    let deletions = space.audit("delete");
    let ours = deletions
        .iter()
        .filter(|event| event["requestObject"]["preconditions"]["uid"].is_string());
    assert_eq!(ours.count(), 2, "nobody else tried");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_dry_run_only_tells_and_does_it_once() {
    let space = Space::new();
    let replica = Replica::of(&space, "a", "{mode: dry-run}");
    let failed = three_failures_and_a_success(&space, Helm::V4, "app");
    assert_eq!(failed.len(), 3, "{failed:?}");
    let lines = eventually("two lines", || {
        let lines = replica.lines();
        (lines.len() >= 2).then_some(lines)
    });
    // News, and with them another round.
    space.install(Helm::V4, "other", &Chart::good()).succeeds();
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(replica.lines().len(), 2, "{lines:#?}");
    for (line, job) in lines.iter().zip(&failed) {
        assert_eq!(line["job"], **job);
        assert_eq!(line["dry_run"], true);
    }
    assert_eq!(names(&space.jobs_of("app")), failed);
}

/// What the webhooks leave out is left alone here, too.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn nothing_is_removed_in_a_namespace_that_is_left_out() {
    let (near, far) = (Space::new(), Space::new());
    let in_far = three_failures_and_a_success(&far, Helm::V3, "app");
    let excluded = vec![far.name().to_owned()];
    let replica = Replica::over(&[&near, &far], excluded, "a", "{}");
    three_failures_and_a_success(&near, Helm::V3, "app");
    eventually("the earlier ones to go", || {
        (near.jobs_of("app").len() == 1).then_some(())
    });
    assert_eq!(names(&far.jobs_of("app")), in_far);
    let lines = replica.lines();
    assert!(
        lines.iter().all(|line| line["namespace"] == *near.name()),
        "{lines:#?}"
    );
}

/// Helm has read the chart, and does not know that the policy was patched.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn hook_succeeded_is_carried_out_where_it_was_patched_in() {
    let space = Guarded::with("rules: {wrong-delete-policy: patch}\n");
    let replica = Replica::of(&space, "a", "{}");
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space
            .install(helm, &release, &WRONG_DELETE_POLICY.chart())
            .succeeds();
        eventually("the succeeded Job to go", || {
            space.jobs_of(&release).is_empty().then_some(())
        });
        let lines = replica.lines();
        let line = lines.last().unwrap();
        assert_eq!(line["reason"], "hook-succeeded", "{line:#}");
        assert_eq!(line["release"]["name"], *release);
    }
}

/// Argo CD takes its finalizer away when it is done with a hook, and only then is it anybody else's.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_hook_that_argocd_holds_is_left_alone() {
    let space = Space::new();
    let replica = Replica::of(&space, "a", "{}");
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let job = is_created(&space, &argocd(&failing().render("app")));
        jobs.push(job["metadata"]["name"].as_str().unwrap().to_owned());
        // Their names have the second in them.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    eventually("all to have failed", || {
        let failed =
            |job: &Value| job["status"]["failed"] == 1 || !job["status"]["conditions"].is_null();
        space.jobs_of("app").iter().all(failed).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(names(&space.jobs_of("app")), jobs);
    assert_eq!(replica.lines(), [] as [Value; 0]);
    for job in &jobs {
        let let_go = json!({"metadata": {"finalizers": null}});
        space.patch(job, &let_go, &[]).succeeds();
    }
    eventually("the earlier ones to go", || {
        (names(&space.jobs_of("app")) == jobs[2..]).then_some(())
    });
}

/// With the rights that the chart gives a replica, and no others.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_charts_rights_are_enough() {
    let space = Space::new();
    let (name, user) = (space.name(), format!("installed-{}", space.name()));
    chart_role(&space, "");
    space.bind(name, name, &user);
    let replica = Replica::made(&[&space], Vec::new(), "a", "{}", None, "allow", Some(&user));
    three_failures_and_a_success(&space, Helm::V3, "app");
    eventually("the earlier ones to go", || {
        (space.jobs_of("app").len() == 1).then_some(())
    });
    assert_eq!(replica.lines().len(), 2);
}

/// A mode or a profile of the policy, or a mode of the namespace, that leaves everything where it is.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn off_is_off() {
    let spaces = [Space::new(), Space::new(), Space::new()];
    spaces[1].label("migration-warden.io/mode=off");
    let replicas = [
        Replica::of(&spaces[0], "a", "{mode: 'off'}"),
        Replica::of(&spaces[1], "b", "{}"),
        Replica::of(&spaces[2], "c", "{}\nprofile: audit"),
    ];
    for space in &spaces {
        let failed = three_failures_and_a_success(space, Helm::V3, "app");
        std::thread::sleep(std::time::Duration::from_secs(4));
        assert_eq!(names(&space.jobs_of("app")), failed);
    }
    let [off, ignored, audit] = replicas;
    for replica in [off, ignored] {
        assert_eq!(replica.lines(), [] as [Value; 0]);
    }
    // What it would remove is logged, as in a dry run.
    let lines = audit.lines();
    assert!(
        lines.iter().all(|line| line["dry_run"] == true),
        "{lines:#?}"
    );
}

/// Its author has said `before-hook-creation` with a name that stays the same: Helm makes it again, and Helm 4
/// by an apply of the same name.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_time_to_live_is_nobodys_field_and_in_nobodys_way() {
    let space = Guarded::with("rules: {untimestamped-name: 'off', wrong-delete-policy: 'off'}\n");
    for (policy, release) in [
        ("before-hook-creation", "again"),
        ("hook-failed", "applied"),
    ] {
        let chart = Chart::good()
            .with("-migrate-{{ now | unixEpoch }}", "-migrate")
            .with("before-hook-creation,hook-succeeded", policy);
        for helm in Helm::BOTH {
            let release = helm.release(release);
            space.install(helm, &release, &chart).succeeds();
            let upgraded = space.upgrade(helm, &release, &chart);
            // What Helm does with a Job that is there is the same without us.
            if helm == Helm::V3 && policy == "hook-failed" {
                upgraded.fails().says("already exists");
            } else {
                upgraded.succeeds();
            }
            let args = ["get", "job", "-o", "json", "--show-managed-fields"];
            let job = format!("{release}-migrate");
            let job = space
                .kubectl(&[&args[..], &[&job]].concat())
                .succeeds()
                .json();
            assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 604_800);
            let managed = job["metadata"]["managedFields"].as_array().unwrap();
            for entry in managed {
                let spec = &entry["fieldsV1"]["f:spec"];
                assert_eq!(spec["f:ttlSecondsAfterFinished"], json!(null), "{entry:#}");
            }
        }
    }
    let mut decisions = space.warden.decisions();
    decisions.retain(|decision| decision["phase"] == "validate");
    for decision in decisions {
        assert_eq!(decision["verdict"], "allowed", "{decision:#}");
        assert!(!decision.to_string().contains("MW012"), "{decision:#}");
    }
}
