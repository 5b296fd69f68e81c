//! Finished Jobs that nobody needs: what Helm leaves behind, and what is left of it afterwards.

use std::{
    fs::{self, File},
    sync::Arc,
};

use jiff::SignedDuration;
use migration_warden::{
    cluster::{jobs::Jobs, leader::Candidate, namespaces::Namespaces, tidy::Tidy},
    config::reload::LivePolicy,
    metrics::Metrics,
    record::sink::Sink,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::claims::{argocd, is_created};
use crate::harness::{
    Chart, Cluster, Guarded, Helm, Space, WRONG_DELETE_POLICY, chart_role, eventually,
};
use crate::published::is_as_published;

/// Nobody waits for these Jobs, and the tests have no ten minutes.
const GRACE: SignedDuration = SignedDuration::from_secs(2);

/// A replica as far as it tidies up, in this process.
struct Replica {
    runtime: Runtime,
    candidate: Option<Candidate>,
    metrics: Arc<Metrics>,
    dir: TempDir,
}

impl Replica {
    /// One that has to do with this namespace alone, under `tidyUp` as given.
    fn of(space: &Space, name: &str, tidy_up: &str) -> Self {
        Self::over(&[space], Vec::new(), name, tidy_up)
    }

    /// One for several namespaces, of which these are left out.
    fn over(spaces: &[&Space], excluded: Vec<String>, name: &str, tidy_up: &str) -> Self {
        Self::made(spaces, excluded, name, tidy_up, None, "allow", None)
    }

    /// One that writes to this output, where one is given, as this user, under `record.onFailure` as given.
    fn made(
        spaces: &[&Space],
        excluded: Vec<String>,
        name: &str,
        tidy_up: &str,
        output: Option<File>,
        on_failure: &str,
        user: Option<&str>,
    ) -> Self {
        let names: Vec<_> = spaces.iter().map(|space| space.name()).collect();
        let dir = TempDir::new().unwrap();
        let policy = dir.path().join("policy.yaml");
        let text = format!(
            "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n\
             tidyUp: {tidy_up}\nrecord: {{onFailure: {on_failure}}}\nnamespaces:\n- {{names: [{}], mode: enforce}}\n\
             - {{names: ['*'], mode: 'off'}}\n",
            names.join(", ")
        );
        fs::write(&policy, text).unwrap();
        let metrics = Arc::new(Metrics::new());
        let (policy, _) = LivePolicy::load(policy, &metrics).unwrap();
        let lines = File::create(dir.path().join("lines")).unwrap();
        let lines = output.unwrap_or(lines);
        let sink = Arc::new(Sink::new(lines.into(), Arc::clone(&metrics)).unwrap());

        let runtime = Runtime::new().unwrap();
        // Leases are everybody's to write.
        let all = runtime.block_on(Cluster::get().client(names[0], None));
        let client = runtime.block_on(Cluster::get().client(names[0], user));
        let candidate = runtime.block_on(async {
            let (namespaces, _, watching) = Namespaces::watch(client.clone(), Arc::clone(&metrics));
            tokio::spawn(watching);
            let jobs = Jobs::default();
            tokio::spawn(
                jobs.clone()
                    .watch(client.clone(), policy.clone(), Arc::clone(&metrics)),
            );
            let lease = "migration-warden".to_owned();
            let candidate = Candidate::stand(all, lease, name, Arc::clone(&metrics));
            let tidy = Tidy {
                client,
                jobs,
                namespaces,
                excluded,
                policy,
                sink,
                metrics: Arc::clone(&metrics),
                replica: name.to_owned(),
                grace: GRACE,
            };
            tokio::spawn(tidy.run(candidate.leads()));
            candidate
        });
        Self {
            runtime,
            candidate: Some(candidate),
            metrics,
            dir,
        }
    }

    fn leads(&self) -> bool {
        let leads = self
            .metrics
            .encode()
            .contains("migration_warden_leader 1\n");
        assert!(self.candidate.is_some() || !leads);
        leads
    }

    /// What it has written down.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.path().join("lines")).unwrap();
        let lines: Vec<_> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        lines.iter().for_each(is_as_published);
        lines
    }

    /// Whether it has counted a removal with this result.
    fn counts(&self, result: &str) -> bool {
        let label = format!("reason=\"earlier-attempt\",result=\"{result}\"}} ");
        let metrics = self.metrics.encode();
        let mut counts = metrics.lines().filter_map(|line| line.split_once(&label));
        counts.any(|(_, count)| count != "0")
    }

    fn resign(&mut self) {
        let candidate = self.candidate.take().unwrap();
        self.runtime.block_on(candidate.resign());
    }
}

/// The good chart, whose Job now fails within two seconds.
fn failing() -> Chart {
    Chart::good().with(
        "spec:\n  template:\n    spec:\n",
        "spec:\n  activeDeadlineSeconds: 1\n  template:\n    spec:\n      nodeSelector: {none: such}\n",
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

fn names(jobs: &[Value]) -> Vec<String> {
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
    assert_eq!(space.jobs_of("app").len(), 2);
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
        let patch = r#"{"metadata":{"finalizers":null}}"#;
        let args = ["patch", "job", job, "--type=merge", "--patch", patch];
        space.kubectl(&args).succeeds();
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

/// A mode of the policy, or of the namespace, that leaves everything where it is.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn off_is_off() {
    let spaces = [Space::new(), Space::new()];
    spaces[1].label("migration-warden.io/mode=off");
    let replicas = [
        Replica::of(&spaces[0], "a", "{mode: 'off'}"),
        Replica::of(&spaces[1], "b", "{}"),
    ];
    for space in &spaces {
        let failed = three_failures_and_a_success(space, Helm::V3, "app");
        std::thread::sleep(std::time::Duration::from_secs(4));
        assert_eq!(names(&space.jobs_of("app")), failed);
    }
    for replica in replicas {
        assert_eq!(replica.lines(), [] as [Value; 0]);
    }
}

/// The line comes first: where it cannot be written and must be, nothing is removed, and where the apiserver
/// refuses, a second one says so.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn nothing_is_removed_that_is_not_written_down() {
    let space = Space::new();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let replica = Replica::made(&[&space], Vec::new(), "a", "{}", Some(full()), "deny", None);
    let failed = three_failures_and_a_success(&space, Helm::V3, "app");
    eventually("a try", || replica.counts("failed").then_some(()));
    assert_eq!(names(&space.jobs_of("app")), failed);
    drop(replica);

    // One who may look and not delete.
    let user = format!("looks-{}", space.name());
    let name = space.name();
    space.bind(name, "view", &user);
    let rights = [
        "create",
        "clusterrole",
        name,
        "--verb=get,list,watch",
        "--resource=namespaces",
    ];
    space.kubectl(&rights).succeeds();
    space.bind(&format!("{name}-namespaces"), name, &user);
    let replica = Replica::made(&[&space], Vec::new(), "b", "{}", None, "allow", Some(&user));
    let lines = eventually("a refusal", || {
        let lines = replica.lines();
        (lines.len() >= 4).then_some(lines)
    });
    assert_eq!(names(&space.jobs_of("app")), failed);
    assert_eq!(lines.len(), 4, "two for each: {lines:#?}");
    for (pair, job) in lines.chunks(2).zip(&failed) {
        assert_eq!(
            (&pair[0]["job"], &pair[1]["job"]),
            (&json!(job), &json!(job))
        );
        assert!(pair[0]["stays"].is_null(), "{pair:#?}");
        let why = pair[1]["stays"].as_str().unwrap();
        assert!(why.contains("cannot delete resource \"jobs\""), "{why}");
    }
    drop(replica);

    let replica = Replica::of(&space, "c", "{}");
    eventually("the earlier ones to go", || {
        (space.jobs_of("app").len() == 1).then_some(())
    });
    assert_eq!(replica.lines().len(), 2);
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
