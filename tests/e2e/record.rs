//! The decision log keeps what it promises when the program is killed in the middle of its work.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use k8s_openapi::api::batch::v1::Job;
use kube::{Api, api::PostParams};
use serde_json::json;

use crate::harness::{Cluster, Guarded, Space, epoch, eventually};

/// How many create Jobs at once.
const WRITERS: usize = 8;
/// How often the process is killed meanwhile.
const CRASHES: usize = 8;
/// How many decisions there should be between two crashes at least.
const BETWEEN: usize = 60;

/// A Job of which both phases write a line: a hook gets a time to live.
fn job(writer: usize, number: usize) -> Job {
    let job = json!({
        "metadata": {
            "name": format!("load-{writer}-{number}-{}", epoch()),
            "labels": {"app.kubernetes.io/component": "migration", "app.kubernetes.io/instance": "load"},
            "annotations": {
                "helm.sh/hook": "pre-install,pre-upgrade",
                "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
            },
        },
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "migrate", "image": "shop:1"}],
        }}},
    });
    serde_json::from_value(job).unwrap()
}

/// Phase and id of each decision that the apiserver got an answer with.
fn answered(space: &Space) -> BTreeSet<(String, String)> {
    let events = space.audit("create").into_iter();
    let found = events.flat_map(|event| {
        ["mutate", "validate"].into_iter().filter_map(move |phase| {
            let key = format!("{phase}.migration-warden.io/decision");
            let id = event["annotations"][key].as_str()?;
            Some((phase.to_owned(), id.to_owned()))
        })
    });
    found.collect()
}

/// Every decision that the apiserver knows of has its line. Not the other way round: a line is written before
/// its answer leaves, and the answer may die with the process.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_crash_loses_no_decision_that_was_answered() {
    let mut space = Guarded::with("");
    let (created, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stop = AtomicBool::new(false);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(Cluster::get().client(space.name(), None));
    let (jobs, dry_run) = (
        Api::<Job>::default_namespaced(client),
        PostParams {
            dry_run: true,
            ..PostParams::default()
        },
    );
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (jobs, dry_run, runtime) = (&jobs, &dry_run, &runtime);
            let (created, failed, stop) = (&created, &failed, &stop);
            scope.spawn(move || {
                // Nothing is stored, so that no controller has anything to do with it.
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let done = runtime.block_on(jobs.create(dry_run, &job(writer, number)));
                    let counter = if done.is_ok() { created } else { failed };
                    counter.fetch_add(1, Ordering::Relaxed);
                    if done.is_err() {
                        thread::sleep(Duration::from_millis(20));
                    }
                }
            });
        }
        for _ in 0..CRASHES {
            let before = created.load(Ordering::Relaxed);
            eventually("some more Jobs to be created", || {
                (created.load(Ordering::Relaxed) >= before + BETWEEN).then_some(())
            });
            space.warden.restart();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (created, failed) = (created.into_inner(), failed.into_inner());
    assert!(created >= CRASHES * BETWEEN, "{created} created");
    assert!(failed > 0, "no crash was felt: {created} created");

    let answered = eventually("all creations to be in the audit log", || {
        Some(answered(&space)).filter(|answered| answered.len() >= 2 * created)
    });
    let written = || -> BTreeSet<_> {
        let lines = space.warden.decisions().into_iter();
        let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        lines
            .map(|line| (word(&line["phase"]), word(&line["id"])))
            .collect()
    };
    // The reader of the log may be behind.
    let mut lost: Vec<_> = Vec::new();
    for _ in 0..50 {
        lost = answered.difference(&written()).cloned().collect();
        if lost.is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let written = written();
    eprintln!(
        "{CRASHES} crashes, {created} created, {failed} failed; {} decisions answered, {} lines",
        answered.len(),
        written.len()
    );
    assert!(lost.is_empty(), "answered and not written: {lost:#?}");
    // Both phases of one create have one id.
    let ids = |phase: &str| -> BTreeSet<_> {
        let of = written.iter().filter(|(found, _)| found == phase);
        of.map(|(_, id)| id.clone()).collect()
    };
    let (mutated, validated) = (ids("mutate"), ids("validate"));
    assert!(
        validated.is_subset(&mutated),
        "{:#?}",
        validated.difference(&mutated)
    );
}
