//! What is recorded of many migrations while the replicas come and go; compared with the apiserver's own account.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    Install, NAME,
    claims::{has_finished, pod_of},
    crash::{kill, replicas},
};
use crate::harness::{Chart, Cluster, Helm, NodeKind, Space, epoch};

/// Migrations, where `MW_RUNS` says nothing else.
const RUNS: usize = 48;
/// How many are on their way at once.
const AT_ONCE: usize = 24;
/// Pods of migrations that end by themselves need a few seconds, and wait for others.
const PATIENCE: Duration = Duration::from_secs(180);

/// What becomes of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It succeeds, and stays.
    Good,
    /// It succeeds, and is deleted at once, as Helm does.
    Cleaned,
    Failing,
    Slow,
    /// It is deleted while it runs.
    Deleted,
    /// Its pod is evicted while it runs.
    Evicted,
}

impl Fate {
    const ALL: [Self; 6] = [
        Self::Good,
        Self::Cleaned,
        Self::Failing,
        Self::Slow,
        Self::Deleted,
        Self::Evicted,
    ];

    fn script(self) -> &'static str {
        match self {
            Self::Good | Self::Cleaned => "echo migrated",
            Self::Failing => "echo no such table > /dev/termination-log; exit 3",
            Self::Slow => "sleep 8",
            Self::Deleted | Self::Evicted => "sleep 600",
        }
    }
}

#[derive(Clone)]
struct Migrations {
    jobs: Api<Job>,
    pods: Api<Pod>,
    stamp: u64,
}

impl Migrations {
    fn new(client: Client) -> Self {
        Self {
            jobs: Api::default_namespaced(client.clone()),
            pods: Api::default_namespaced(client),
            stamp: epoch(),
        }
    }

    fn job(&self, index: usize, fate: Fate) -> Job {
        let chart = Chart::good()
            .with("{{ now | unixEpoch }}", &self.stamp.to_string())
            .with("echo migrated", fate.script());
        let release = format!("{fate:?}-{index}").to_lowercase();
        serde_saphyr::from_str(&chart.render(&release)).unwrap()
    }

    /// Creates it, as often as it takes while replicas are killed.
    async fn create(&self, job: &Job) -> String {
        let name = job.name_any();
        eventually(&format!("{name} to get in"), async || {
            match self.jobs.create(&PostParams::default(), job).await {
                Ok(_) => Some(()),
                // Of a create whose answer was lost.
                Err(kube::Error::Api(status)) if status.code == 409 => Some(()),
                Err(kube::Error::Api(status))
                    if status.code == 429 || status.message.contains("failed calling webhook") =>
                {
                    None
                }
                Err(error) => panic!("{name}: {error:?}"),
            }
        })
        .await;
        name
    }

    async fn live(&self, index: usize, fate: Fate) {
        let name = self.create(&self.job(index, fate)).await;
        let find = async || self.jobs.get_opt(&name).await.unwrap();
        match fate {
            Fate::Good | Fate::Cleaned | Fate::Failing | Fate::Slow => {
                eventually(&format!("{name} to end"), async || {
                    find().await.filter(has_finished).map(drop)
                })
                .await;
            }
            Fate::Deleted | Fate::Evicted => {
                let ready = |job: Job| job.status.and_then(|status| status.ready) == Some(1);
                eventually(&format!("{name} to run"), async || {
                    find().await.is_some_and(ready).then_some(())
                })
                .await;
            }
        }
        match fate {
            Fate::Good | Fate::Failing | Fate::Slow => {}
            Fate::Cleaned => self.delete(&name).await,
            Fate::Deleted => {
                let allow = json!({"metadata": {"annotations": {"migration-warden.io/allow-delete": "true"}}});
                let patch = Patch::Merge(&allow);
                self.jobs
                    .patch(&name, &PatchParams::default(), &patch)
                    .await
                    .unwrap();
                self.delete(&name).await;
            }
            Fate::Evicted => {
                let of_job = ListParams::default().labels(&format!("job-name={name}"));
                let pod = self.pods.list(&of_job).await.unwrap().items.remove(0);
                let (pod, at_once) = (pod.name_any(), EvictParams::default());
                self.pods.evict(&pod, &at_once).await.unwrap();
                eventually(&format!("{name} to fail"), async || {
                    find().await.filter(has_finished).map(drop)
                })
                .await;
            }
        }
    }

    async fn delete(&self, name: &str) {
        let background = DeleteParams::background();
        self.jobs.delete(name, &background).await.unwrap();
    }
}

async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// Takes replicas away until it is told to stop: by a crash or by a deletion, one after the other.
fn disturb(stop: &AtomicBool) -> usize {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_secs(4));
        let all = replicas();
        let Some(&victim) = all.get(count % all.len().max(1)) else {
            continue;
        };
        let pod = pod_of(victim);
        let mut delete = Cluster::get().kubectl();
        delete.args(["delete", "pod", &pod, "--namespace", NAME, "--wait=false"]);
        if count.is_multiple_of(2) {
            kill(victim);
            // A fresh one instead of one that the kubelet holds back for having crashed.
            delete.args(["--grace-period=0", "--force"]);
        }
        // Another may be on its way already.
        let _ = delete.output().unwrap();
        count += 1;
    }
    count
}

/// How each Job of the namespace ended, by the apiserver's audit log; by uid.
fn ends(space: &Space) -> BTreeMap<String, &'static str> {
    let mut ends = BTreeMap::new();
    for event in Cluster::get().audit(space.name()) {
        let object = &event["responseObject"];
        let Some(uid) = object["metadata"]["uid"].as_str() else {
            continue;
        };
        if object["kind"] != "Job" {
            continue;
        }
        let end = ends.entry(uid.to_owned()).or_insert("Deleted");
        let conditions = object["status"]["conditions"].as_array();
        for condition in conditions.into_iter().flatten() {
            if condition["status"] == "True" {
                match condition["type"].as_str().unwrap() {
                    "Complete" => *end = "Succeeded",
                    "Failed" => *end = "Failed",
                    _ => {}
                }
            }
        }
    }
    ends
}

fn runs(space: &Space) -> Vec<Value> {
    let args = ["get", "mrun", "-o", "json"];
    let mut list = space.kubectl(&args).succeeds().json();
    serde_json::from_value(list["items"].take()).unwrap()
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn every_migration_has_one_run_that_tells_how_it_ended() {
    let count = env::var("MW_RUNS").map_or(RUNS, |text| text.parse().unwrap());
    let install = Install::new(Helm::V4, &["--set", "webhooks.failurePolicy=Ignore"]);
    let space = Space::on(NodeKind::Real);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let client = runtime.block_on(Cluster::get().client(space.name(), None));
    let migrations = Migrations::new(client);

    // An eighth while nobody is there to be asked.
    let unseen = count / 8;
    let scale = ["scale", "deployment", NAME, "--replicas=0"];
    install.kubectl(&scale).succeeds();
    crate::harness::eventually("the replicas to be gone", || {
        replicas().is_empty().then_some(())
    });
    let all = |indices: std::ops::Range<usize>, fates: &'static [Fate]| {
        let lives = stream::iter(indices).map(|index| {
            let fate = fates[index % fates.len()];
            let migrations = migrations.clone();
            async move { migrations.live(index, fate).await }
        });
        lives.buffer_unordered(AT_ONCE).collect::<Vec<()>>()
    };
    runtime.block_on(all(0..unseen, &[Fate::Good, Fate::Failing]));
    // From here on none gets in without a decision.
    let values = "replicaCount=3,webhooks.failurePolicy=Fail";
    install.upgrade(&["--set", values]).succeeds();

    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let disturber = thread::spawn(move || disturb(&stopped));
    runtime.block_on(all(unseen..count, &Fate::ALL));
    stop.store(true, Ordering::Relaxed);
    let times = disturber.join().unwrap();
    install.is_rolled_out();

    let ends = ends(&space);
    assert_eq!(ends.len(), count, "{ends:#?}");
    let settled = eventually("every run to have ended", async || {
        let runs = runs(&space);
        let has_ended = |run: &Value| run["status"]["outcome"] != "Running";
        (runs.len() >= count && runs.iter().all(has_ended)).then_some(runs)
    });
    let told = runtime.block_on(settled);
    eprintln!("{count} migrations, replicas taken away {times} times");
    assert!(times > 2, "{times}");
    assert_eq!(told.len(), count);
    let mut unreviewed = 0;
    for run in &told {
        let uid = run["spec"]["job"]["uid"].as_str().unwrap();
        assert_eq!(run["status"]["outcome"], ends[uid], "{run:#}");
        unreviewed += usize::from(run["spec"]["reviewed"] == false);
        if run["spec"]["job"]["name"]
            .as_str()
            .unwrap()
            .starts_with("failing-")
        {
            assert_eq!(run["status"]["exitCode"], 3, "{run:#}");
            assert_eq!(run["status"]["message"], "no such table", "{run:#}");
        }
    }
    assert_eq!(unreviewed, unseen);
}
