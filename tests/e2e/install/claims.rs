//! One migration at a time, whatever happens to the replicas; seen from the apiserver's side.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use k8s_openapi::api::{batch::v1::Job, coordination::v1::Lease};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::Value;

use super::{
    Install, NAME,
    crash::{kill, replicas},
};
use crate::harness::{Chart, Cluster, Helm, NodeKind, Outcome, Space, epoch, eventually};

/// Rounds, where `MW_CLAIM_ROUNDS` says nothing else.
const ROUNDS: u32 = 5;
const CREATES: u32 = 100;

/// How long a claim may stand whose Job never came, and a look at it more.
const EXPIRY: Duration = Duration::from_secs(45 + 15);

/// What the apiserver said to one create.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Created,
    Wait,
    /// The replica that was asked is gone.
    Failed,
}

/// Each round's creates are sent at the same moment, and one of the three replicas is killed meanwhile.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_hundred_at_once_run_one_by_one() {
    let install = Install::new(Helm::V4, &["--set", "replicaCount=3"]);
    let space = Space::on(NodeKind::Real);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let client = runtime.block_on(Cluster::get().client(space.name(), None));
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let leases: Api<Lease> = Api::namespaced(client, NAME);
    // Names of their own, none of them far from now.
    let mut stamp = epoch() - 3_000;
    let mut next = || {
        stamp += 1;
        migration(stamp)
    };

    let (mut longest, mut lost) = (Duration::ZERO, 0);
    let rounds = env::var("MW_CLAIM_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    for round in 0..rounds {
        let sent: Vec<Job> = (0..CREATES).map(|_| next()).collect();
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(u64::from(round % 10) * 10));
            let all = replicas();
            let victim = all[round as usize % all.len()];
            let pod = pod_of(victim);
            kill(victim);
            pod
        });
        let said = runtime.block_on(join_all(sent.iter().map(|job| create(&jobs, job))));
        let pod = killer.join().unwrap();
        // A fresh one instead of one that the kubelet holds back for having crashed.
        let force = ["delete", "pod", &pod, "--grace-period=0", "--force"];
        install.kubectl(&force).succeeds();

        let count = |what| said.iter().filter(|said| **said == what).count();
        let (mut created, failed) = (count(Said::Created), count(Said::Failed));
        eprintln!("round {round}: {created} created, {failed} failed");
        assert!(created <= 1, "{created} at once");
        lost += failed;
        // The claim of one whose answer was lost stands until it expires.
        let since = Instant::now();
        while created == 0 {
            assert!(since.elapsed() < EXPIRY, "the claim is stuck");
            thread::sleep(Duration::from_secs(1));
            created += usize::from(runtime.block_on(create(&jobs, &next())) == Said::Created);
        }
        longest = longest.max(since.elapsed());
        runtime.block_on(all_finished(&jobs));
        install.is_rolled_out();
        eventually("three replicas and no more", || {
            (replicas().len() == 3).then_some(())
        });
    }
    assert!(lost > 0, "no replica was killed in the middle of a review");
    let decisions = install.decisions();
    let asked: BTreeSet<_> = decisions
        .iter()
        .filter_map(|d| d["replica"].as_str())
        .collect();
    assert!(asked.len() > 1, "one replica alone was asked: {asked:?}");
    eprintln!("a claim without a Job held for {longest:?} at most");
    runtime.block_on(none_left(&leases));

    let lives = lives(Cluster::get().audit(space.name()));
    assert!(lives.len() >= rounds as usize, "{} Jobs", lives.len());
    for pair in lives.windows(2) {
        let ((_, ended, first), (began, _, second)) = (&pair[0], &pair[1]);
        assert!(ended < began, "{first} and {second} at once");
    }
}

fn migration(stamp: u64) -> Job {
    let chart = Chart::good()
        .with("{{ now | unixEpoch }}", &stamp.to_string())
        .with("echo migrated", "sleep 1");
    serde_saphyr::from_str(&chart.render("app")).unwrap()
}

async fn create(jobs: &Api<Job>, job: &Job) -> Said {
    match jobs.create(&PostParams::default(), job).await {
        Ok(_) => Said::Created,
        Err(kube::Error::Api(status)) if status.code == 429 => {
            assert!(status.message.contains("MW101"), "{status:?}");
            Said::Wait
        }
        Err(kube::Error::Api(status)) if status.message.contains("failed calling webhook") => {
            Said::Failed
        }
        Err(error) => panic!("{error:?}"),
    }
}

pub(super) fn has_finished(job: &Job) -> bool {
    let conditions = job
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|c| (c.type_ == "Complete" || c.type_ == "Failed") && c.status == "True")
}

async fn all_finished(jobs: &Api<Job>) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let list = jobs.list(&ListParams::default()).await.unwrap();
        if list.iter().all(has_finished) {
            return;
        }
        assert!(Instant::now() < end, "a Job does not finish");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn none_left(leases: &Api<Lease>) {
    let claims = ListParams::default().labels("migration-warden.io/claim=true");
    let end = Instant::now() + EXPIRY;
    loop {
        let list = leases.list(&claims).await.unwrap();
        if list.items.is_empty() {
            return;
        }
        let names: Vec<_> = list.iter().map(ResourceExt::name_any).collect();
        assert!(Instant::now() < end, "{names:?} are left");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The pod in which a process runs: its host name.
pub(super) fn pod_of(process: u32) -> String {
    let mut command = Command::new("nsenter");
    let process = process.to_string();
    let name = Outcome::of(
        command.args(["--target", &process, "--uts", "hostname"]),
        "",
    );
    name.succeeds().stdout.trim().to_owned()
}

/// From which revision of the store to which each Job was active, by the apiserver's audit log; in order.
fn lives(events: Vec<Value>) -> Vec<(u64, u64, String)> {
    let mut lives = BTreeMap::new();
    for event in events {
        let object = &event["responseObject"];
        let (Some(name), Some(revision)) = (
            object["metadata"]["name"].as_str(),
            object["metadata"]["resourceVersion"].as_str(),
        ) else {
            continue;
        };
        let revision: u64 = revision.parse().unwrap();
        let life = lives.entry(name.to_owned()).or_insert((revision, u64::MAX));
        life.0 = life.0.min(revision);
        let job: Job = serde_json::from_value(object.clone()).unwrap_or_default();
        if has_finished(&job) {
            life.1 = life.1.min(revision);
        }
    }
    let mut lives: Vec<_> = lives
        .into_iter()
        .map(|(name, (began, ended))| (began, ended, name))
        .collect();
    lives.sort();
    lives
}
