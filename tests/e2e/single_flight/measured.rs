//! What a claim costs, alone and beside a namespace with many Jobs. Takes some minutes, and nothing else may run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::PostParams;
use migration_warden::cluster::claims::store::Taken;
use serde_json::{Value, json};

use super::{Rig, median, take};
use crate::harness::Space;

/// Finished Jobs of one namespace.
const MANY: usize = 20_000;
/// Those who create them, and those who then ask for claims at once.
const CROWD: usize = 100;
/// Claims that are measured.
const ROUNDS: usize = 30;

/// A pause that no timer of the API server keeps step with.
async fn rest(most: u128) {
    let nanos = jiff::Timestamp::now().as_nanosecond().unsigned_abs();
    let pause = u64::try_from(nanos / 1000 % most).unwrap();
    tokio::time::sleep(Duration::from_millis(pause)).await;
}

/// Without completions, a Job is complete as soon as its controller sees it.
async fn fill(rig: &Rig) {
    let job: Job = serde_json::from_value(json!({
        "metadata": {
            "generateName": "old-migrate-",
            "labels": {"app.kubernetes.io/component": "migration"},
        },
        "spec": {"completions": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "migrate", "image": "rig.local/busybox:1"}],
        }}},
    }))
    .unwrap();
    let job = Arc::new(job);
    let tasks: Vec<_> = (0..CROWD)
        .map(|_| {
            let (job, jobs) = (
                Arc::clone(&job),
                Api::default_namespaced(rig.client.clone()),
            );
            tokio::spawn(async move {
                for _ in 0..MANY / CROWD {
                    jobs.create(&PostParams::default(), job.as_ref())
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut probe = rig.asker(0);
    "old-migrate".clone_into(&mut probe.job);
    let end = Instant::now() + Duration::from_secs(1800);
    while !matches!(
        take(&rig.claims, &probe, true).await,
        Ok(Taken::Held { .. })
    ) {
        assert!(Instant::now() < end, "the Jobs do not finish");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes some minutes: run tests/long"]
async fn twenty_thousand_finished_jobs_delay_no_other_claim() {
    let (rig, other) = (Rig::new().await, Space::new());
    fill(&rig).await;
    let crowd: Vec<_> = (0..CROWD)
        .map(|number| {
            let (claims, asker) = (rig.claims.clone(), rig.asker(number));
            tokio::spawn(async move {
                let began = Instant::now();
                let is_answered = take(&claims, &asker, false).await.is_ok();
                (is_answered, began.elapsed())
            })
        })
        .collect();
    let mut others = Vec::new();
    for number in 0..ROUNDS {
        rest(100).await;
        let mut asker = rig.asker(number);
        asker.namespace = other.name().to_owned();
        asker.job = format!("web{number}-migrate-1766361600");
        let began = Instant::now();
        let taken = take(&rig.claims, &asker, false).await.unwrap();
        assert_eq!(taken, Taken::Held { taken_over: None });
        others.push(began.elapsed());
    }
    let (mut crowded, mut answered) = (Vec::new(), 0);
    for task in crowd {
        let (is_answered, took) = task.await.unwrap();
        crowded.push(took);
        answered += usize::from(is_answered);
    }
    let slowest = others.iter().max().copied().unwrap();
    eprintln!(
        "{answered} of {CROWD} claims beside {MANY} Jobs: median {:?}, at most {:?}; elsewhere: median {:?}, at most \
         {slowest:?}",
        median(crowded.iter().copied()),
        crowded.iter().max().unwrap(),
        median(others),
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

/// In a loop without rests, each LIST begins with a tick of the API server and waits for the next one: that is 100 ms,
/// and not what a LIST takes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes some minutes: run tests/long"]
async fn a_list_after_a_rest_takes_milliseconds() {
    let rig = Rig::new().await;
    let mut claims = Vec::new();
    for number in 0..ROUNDS {
        rest(1000).await;
        rig.write(number).await;
        let mut asker = rig.asker(number);
        asker.job = format!("web{number}-migrate-1766361600");
        let began = Instant::now();
        assert_eq!(rig.take(&asker).await, Taken::Held { taken_over: None });
        claims.push(began.elapsed());
    }
    let took = |event: &Value| {
        let time =
            |field: &str| -> jiff::Timestamp { event[field].as_str().unwrap().parse().unwrap() };
        let took = time("stageTimestamp").duration_since(time("requestReceivedTimestamp"));
        took.unsigned_abs()
    };
    let events = rig.space.audit("list");
    let lists = events
        .iter()
        .filter(|event| event["objectRef"]["resource"] == "jobs");
    let list = median(lists.map(took));
    eprintln!("medians: a LIST {list:?}, a claim {:?}", median(claims));
    assert!(list < Duration::from_millis(50), "{list:?}");
}
