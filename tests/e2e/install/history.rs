//! A long history of runs: how much of it stays, and what it costs a replica.

use std::{collections::BTreeMap, env, time::Duration};

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use migration_warden::core::runs::resource::MigrationRun;
use serde_json::json;

use super::{Install, NAME, crash::replicas};
use crate::harness::{Cluster, Helm, NodeKind, Space, peak_mib};

/// Runs, where `MW_HISTORY` says nothing else.
const RUNS: usize = 1000;
/// Of each release, as many as stay by default.
const PER_RELEASE: usize = 20;
/// What a replica may ever have resident, in MiB: a quarter of what the chart lets it have.
const MAX_PEAK_MIB: u64 = 64;

/// The run of a migration that ended so many seconds ago.
fn run(index: usize, now: Timestamp) -> MigrationRun {
    let ago = SignedDuration::from_secs(i64::try_from(index).unwrap() + 1);
    let (at, release) = (now - ago, format!("shop-{}", index / PER_RELEASE));
    let (outcome, exit) = if index.is_multiple_of(10) {
        ("Failed", 1)
    } else {
        ("Succeeded", 0)
    };
    let job = format!("{release}-migrate-{}", at.as_second());
    let run = json!({
        "apiVersion": "migration-warden.io/v1alpha1", "kind": "MigrationRun",
        "metadata": {
            "name": format!("{job}-{index:08x}"),
            "labels": {"migration-warden.io/release": release},
        },
        "spec": {
            "job": {"name": job, "uid": format!("5f0c3a52-5f3b-4a47-9f6e-{index:012x}")},
            "release": {"name": release, "source": "helm"}, "migration": format!("{release}-migrate"),
            "chart": "shop-1.4.2", "tool": "atlas", "images": ["shop-migrations:1.4.2"],
            "deployer": "Helm", "requestedBy": "system:serviceaccount:ci:deployer",
            "reviewed": true, "attempt": 1,
        },
        "status": {
            "outcome": outcome, "exitCode": exit, "duration": "4s",
            "message": "a line of two hundred characters about what went wrong. ".repeat(4),
            "admittedAt": at - SignedDuration::from_secs(5), "startedAt": at - SignedDuration::from_secs(4),
            "finishedAt": at,
        },
    });
    serde_json::from_value(run).unwrap()
}

async fn count(runs: &Api<MigrationRun>) -> usize {
    let first = runs.list(&ListParams::default().limit(1)).await.unwrap();
    let more = first.metadata.remaining_item_count.unwrap_or_default();
    first.items.len() + usize::try_from(more).unwrap()
}

/// The most that each replica has had resident so far, in MiB.
fn peaks() -> BTreeMap<u32, u64> {
    let replicas = replicas().into_iter();
    replicas
        .map(|replica| (replica, peak_mib(replica)))
        .collect()
}

/// How many series each replica has.
fn series(install: &Install) -> BTreeMap<String, usize> {
    let label = format!("app.kubernetes.io/instance={NAME}");
    let pods = ["get", "pods", "--selector", &label, "-o", "json"];
    let pods = install.kubectl(&pods).succeeds().json();
    let names = pods["items"].as_array().unwrap().iter();
    names
        .map(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let path = format!("/api/v1/namespaces/{NAME}/pods/{name}:8080/proxy/metrics");
            let text = install.kubectl(&["get", "--raw", &path]).succeeds().stdout;
            let count = text.lines().filter(|line| !line.starts_with('#')).count();
            (name.to_owned(), count)
        })
        .collect()
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_long_history_stays_within_its_limits() {
    let total = env::var("MW_HISTORY").map_or(RUNS, |text| text.parse().unwrap());
    let keep = total / 10;
    let limit = format!("policy.record.runs.keepTotal={keep}");
    let install = Install::new(Helm::V4, &["--set", &limit]);
    let space = Space::on(NodeKind::Real);
    let series_before = series(&install);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client: Client = Cluster::get().client(space.name(), None).await;
        let runs: Api<MigrationRun> = Api::default_namespaced(client);
        let (params, now) = (PostParams::default(), Timestamp::now());
        let create = async |index| drop(runs.create(&params, &run(index, now)).await.unwrap());
        let all = stream::iter(0..total).map(create);
        all.buffer_unordered(16).collect::<Vec<()>>().await;
        eprintln!("{total} runs took {:?} to make", Timestamp::now() - now);
        // A round every minute takes away what it can in two.
        let rounds = u64::try_from(total / 5000).unwrap() + 2;
        let patience = Duration::from_secs(180 * rounds);
        let gone = async {
            while count(&runs).await > keep {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        };
        let left = tokio::time::timeout(patience, gone).await;
        assert!(left.is_ok(), "{} are left", count(&runs).await);
        eprintln!("{keep} were left {:?} after that", Timestamp::now() - now);
        let left = runs.list(&ListParams::default().limit(500)).await.unwrap();
        let oldest = now - SignedDuration::from_secs(i64::try_from(keep).unwrap() + 1);
        for run in left.items {
            let ended = run.status.unwrap().finished_at.unwrap();
            assert!(ended.as_second() >= oldest.as_second(), "{ended}");
        }
    });
    let peaks = peaks();
    eprintln!("at most {peaks:?} MiB resident");
    assert_eq!(peaks.len(), 2);
    assert!(peaks.values().all(|mib| *mib <= MAX_PEAK_MIB), "{peaks:?}");
    assert_eq!(series(&install), series_before);
}
