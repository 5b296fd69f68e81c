//! Claims against a real apiserver, taken directly, as many replicas would.
//!
//! The claimants are mostly no real Jobs: what they will become is the apiserver's part, and the claims
//! look at nothing but the review. Where a Job has to stay unfinished it is suspended.

mod measured;
mod undecided;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use migration_warden::cluster::api::ApiError;
use migration_warden::cluster::claims::blocker::Blocker;
use migration_warden::cluster::claims::error::ClaimError;
use migration_warden::cluster::claims::key::Key;
use migration_warden::cluster::claims::protocol::EXPIRY;
use migration_warden::cluster::claims::release::Looked;
use migration_warden::cluster::claims::store::{Claimant, Claims, Taken, Wanted};
use migration_warden::cluster::jobs::Jobs;
use migration_warden::core::job::object::Object;
use migration_warden::core::job::{Job, Kind};
use migration_warden::core::policy::rules::concurrent_migration::State;
use migration_warden::core::policy_file::validate::builtin;
use migration_warden::server::metrics::Metrics;
use serde_json::{Value, json};

use crate::harness::{Cluster, Space, eventually};

/// Claims that are kept in the test's own namespace.
struct Rig {
    space: Space,
    client: Client,
    claims: Claims,
}

/// Who asks.
#[derive(Clone)]
struct Asker {
    namespace: String,
    job: String,
    uid: String,
    created: Timestamp,
}

impl Rig {
    async fn new() -> Self {
        let space = Space::new();
        let client = Cluster::get().client(space.name(), None).await;
        Self {
            claims: Claims::new(client.clone(), Jobs::default(), Metrics::new().claims),
            client,
            space,
        }
    }

    /// One that is no Job yet.
    fn asker(&self, number: usize) -> Asker {
        Asker {
            namespace: self.space.name().to_owned(),
            job: format!("web-migrate-{}", 1_766_361_600 + number),
            uid: format!("00000000-0000-4000-8000-{number:012}"),
            // A `creationTimestamp` has no fraction.
            created: Timestamp::from_second(Timestamp::now().as_second()).unwrap(),
        }
    }

    /// A Job that is stored, and does not run if it is suspended.
    fn job(&self, number: usize, suspend: bool) -> Asker {
        let mut asker = self.asker(number);
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": asker.job,
                "labels": {"app.kubernetes.io/component": "migration"},
            },
            "spec": {"suspend": suspend, "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "migrate", "image": "rig.local/busybox:1"}],
            }}},
        });
        let args = ["create", "-o", "json", "-f", "-"];
        let created = self.space.kubectl_with(&args, &job.to_string());
        let created = created.succeeds().json();
        let text = |field: &str| created["metadata"][field].as_str().unwrap().to_owned();
        asker.uid = text("uid");
        asker.created = text("creationTimestamp").parse().unwrap();
        asker
    }

    async fn take(&self, asker: &Asker) -> Taken {
        take(&self.claims, asker, false).await.unwrap()
    }

    async fn waits(&self, asker: &Asker) -> Blocker {
        match self.take(asker).await {
            Taken::Waiting(holder) => holder,
            held @ Taken::Held { .. } => panic!("{held:?}"),
        }
    }

    /// How many claims were looked at, and whose were given up.
    async fn sweep(&self) -> (usize, Vec<String>) {
        let (mut claims, mut released) = (0, Vec::new());
        let tell = |looked| {
            claims += 1;
            match looked {
                Looked::Kept => {}
                Looked::Released(holder) => released.push(holder),
                Looked::Failed(error) => panic!("{error}"),
            }
        };
        self.claims.sweep(tell).await.unwrap();
        (claims, released)
    }

    async fn leases(&self) -> Vec<Lease> {
        let api: Api<Lease> = Api::default_namespaced(self.client.clone());
        api.list(&ListParams::default()).await.unwrap().items
    }

    /// Writes something that is neither a Job nor a Lease.
    async fn write(&self, number: usize) {
        let api: Api<ConfigMap> = Api::default_namespaced(self.client.clone());
        let mut map = ConfigMap::default();
        map.metadata.name = Some(format!("bare-{number}"));
        api.create(&PostParams::default(), &map).await.unwrap();
    }

    fn delete_job(&self, asker: &Asker) {
        let args = ["delete", "job", &asker.job, "--cascade=orphan"];
        self.space.kubectl(&args).succeeds();
    }

    fn finish(&self, asker: &Asker) {
        let patch = r#"{"spec":{"suspend":false}}"#;
        let args = ["patch", "job", &asker.job, "-p", patch];
        self.space.kubectl(&args).succeeds();
        eventually("the Job is complete", || {
            let job = self.space.get("job", &asker.job);
            let conditions = job["status"]["conditions"].as_array()?;
            let complete = |c: &Value| c["type"] == "Complete" && c["status"] == "True";
            conditions.iter().any(complete).then_some(())
        });
    }
}

/// With the test's namespace as its own; as this user if one is given.
async fn take(claims: &Claims, asker: &Asker, dry_run: bool) -> Result<Taken, ClaimError> {
    let policy = Arc::new(builtin());
    let text = json!({"metadata": {"name": asker.job}}).to_string();
    let object: Object<'_> = serde_json::from_str(&text).unwrap();
    let keys = Key::all_of(
        &Job::new(&object, Kind::Job, &asker.namespace),
        &policy.claims,
        None,
    );
    let claimant = Claimant {
        namespace: &asker.namespace,
        job: &asker.job,
        generate_name: None,
        uid: &asker.uid,
        created: asker.created,
        user: "deployer",
    };
    let wanted = Wanted {
        keys: &keys,
        policy: &policy,
        claimant,
        is_adopted: false,
        dry_run,
        supersedes: None,
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    claims.take(&wanted, deadline).await
}

fn held_after(asker: &Asker) -> Taken {
    let taken_over = Some(format!("{}/{}", asker.namespace, asker.job));
    Taken::Held { taken_over }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn of_a_hundred_at_once_one_gets_it() {
    let rig = Rig::new().await;
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let (claims, asker) = (rig.claims.clone(), rig.asker(number));
            tokio::spawn(async move { (take(&claims, &asker, false).await.unwrap(), asker) })
        })
        .collect();
    let (mut held, mut waiting) = (Vec::new(), Vec::new());
    for task in tasks {
        match task.await.unwrap() {
            (Taken::Held { .. }, asker) => held.push(asker.job),
            (Taken::Waiting(holder), _) => waiting.push(holder),
        }
    }
    assert_eq!((held.len(), waiting.len()), (1, 99));
    for holder in waiting {
        assert_eq!(
            (holder.facts.job, holder.facts.state),
            (held[0].clone(), State::NotYetThere)
        );
        assert_eq!(holder.facts.user, "deployer");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn a_holder_is_waited_for_until_it_has_finished() {
    let rig = Rig::new().await;
    let (first, second) = (rig.job(1, true), rig.asker(2));
    assert_eq!(rig.take(&first).await, Taken::Held { taken_over: None });
    // The same review again, as the apiserver sends it when a replica has died.
    assert_eq!(rig.take(&first).await, Taken::Held { taken_over: None });

    let holder = rig.waits(&second).await;
    assert_eq!(
        (&holder.facts.job, &holder.facts.state),
        (&first.job, &State::Suspended)
    );
    assert!(holder.first);
    assert!(!rig.waits(&second).await.first, "told a second time");
    assert!(
        rig.waits(&rig.asker(3)).await.first,
        "another is told as well"
    );

    rig.finish(&first);
    assert_eq!(rig.take(&second).await, held_after(&first));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn a_job_that_holds_none_gets_the_claim() {
    let rig = Rig::new().await;
    let (old, new) = (rig.job(1, true), rig.asker(2));
    let holder = rig.waits(&new).await;
    assert_eq!(
        (holder.facts.job, holder.facts.state),
        (old.job.clone(), State::Suspended)
    );
    let leases = rig.leases().await;
    let spec = leases[0].spec.as_ref().unwrap();
    let identity = format!("{}/{}", old.namespace, old.job);
    assert_eq!(spec.holder_identity.as_ref(), Some(&identity));
    // It has been seen, so nobody waits for it to come once it is gone.
    rig.delete_job(&old);
    assert_eq!(rig.take(&new).await, held_after(&old));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn a_deleted_holder_is_waited_for_while_its_pod_runs() {
    let rig = Rig::new().await;
    let first = rig.job(1, true);
    rig.take(&first).await;
    // First of all, or its controller takes the pod for one of its own and ends it.
    rig.delete_job(&first);
    // Not scheduled by anyone, and so neither run nor ended.
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "left", "labels": {"batch.kubernetes.io/controller-uid": first.uid}},
        "spec": {
            "schedulerName": "none",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "migrate", "image": "rig.local/busybox:1"}],
        },
    });
    let created = rig
        .space
        .kubectl_with(&["create", "-f", "-"], &pod.to_string());
    created.succeeds();

    let mut late = rig.asker(2);
    late.created = first.created + EXPIRY + SignedDuration::from_secs(1);
    assert_eq!(rig.waits(&late).await.facts.state, State::Deleted);
    assert_eq!(rig.sweep().await, (1, vec![]));

    let args = ["delete", "pod", "left", "--force", "--grace-period=0"];
    rig.space.kubectl(&args).succeeds();
    assert_eq!(rig.take(&late).await, held_after(&first));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn a_claim_whose_job_never_came_expires() {
    let rig = Rig::new().await;
    let first = rig.asker(1);
    rig.take(&first).await;
    let mut second = rig.asker(2);
    second.created = first.created + EXPIRY;
    assert_eq!(rig.waits(&second).await.facts.state, State::NotYetThere);
    second.created = first.created + EXPIRY + SignedDuration::from_secs(1);
    assert_eq!(rig.take(&second).await, held_after(&first));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn a_dry_run_takes_nothing() {
    let rig = Rig::new().await;
    let free = take(&rig.claims, &rig.asker(1), true).await.unwrap();
    assert_eq!(free, Taken::Held { taken_over: None });
    assert_eq!(rig.leases().await, []);
    let old = rig.job(2, true);
    let taken = take(&rig.claims, &rig.asker(1), true).await.unwrap();
    assert!(matches!(taken, Taken::Waiting(holder) if holder.facts.job == old.job));
    assert_eq!(rig.leases().await, []);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn a_missing_permission_is_named() {
    let rig = Rig::new().await;
    let nobody = Claims::new(
        Cluster::get()
            .client(rig.space.name(), Some("nobody"))
            .await,
        Jobs::default(),
        Metrics::new().claims,
    );
    let error = take(&nobody, &rig.asker(1), false).await.unwrap_err();
    let ClaimError::Api(ApiError::Refused { doing, status }) = error else {
        panic!("{error:?}");
    };
    assert_eq!((status.code, &*doing), (403, "get leases"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn claims_are_given_up_and_no_others() {
    let rig = Rig::new().await;
    let job = rig.job(1, true);
    rig.take(&job).await;
    // The first time it is written down that the Job is there.
    assert_eq!(rig.sweep().await, (1, vec![]));
    let seen = |leases: &[Lease]| {
        leases[0]
            .annotations()
            .contains_key("migration-warden.io/seen")
    };
    assert!(seen(&rig.leases().await));
    rig.finish(&job);
    let mut released = Vec::new();
    let swept = rig
        .claims
        .sweep_job(&job.uid, |looked| released.push(looked));
    swept.await.unwrap();
    let holder = format!("{}/{}", job.namespace, job.job);
    assert!(matches!(&released[..], [Looked::Released(given_up)] if *given_up == holder));

    let mut never = rig.asker(2);
    rig.take(&never).await;
    assert_eq!(rig.sweep().await, (1, vec![]));
    assert_eq!(rig.leases().await.len(), 1);
    never.created = Timestamp::now() - EXPIRY - SignedDuration::from_secs(2);
    never.uid = "00000000-0000-4000-8000-000000000003".to_owned();
    never.job = "other-migrate-1766361600".to_owned();
    rig.take(&never).await;
    let holder = format!("{}/{}", never.namespace, never.job);
    assert_eq!(rig.sweep().await, (2, vec![holder]));
}

/// Three round trips: a GET of the claim, a LIST for each selector at the same time, and a create, once each. Taken from
/// the apiserver's audit log, which has no GETs.
///
/// The LIST is a consistent one: the apiserver waits until its watch cache has caught up with etcd, for up to
/// 100 ms when something else was written since, and that is what it costs anybody.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn an_undisputed_claim_costs_three_round_trips() {
    /// From the ninth on, those of the namespace are counted first.
    const ROUNDS: usize = 8;
    /// Of the policy that is built in, and the one of adopted Jobs.
    const SELECTORS: usize = 3;
    let rig = Rig::new().await;
    let mut times = Vec::new();
    for number in 0..ROUNDS {
        let mut asker = rig.asker(number);
        asker.job = format!("web{number}-migrate-1766361600");
        // Or there would be nothing to catch up with, and one LIST over before the other has begun.
        rig.write(number).await;
        let start = Instant::now();
        assert_eq!(rig.take(&asker).await, Taken::Held { taken_over: None });
        times.push(start.elapsed());
    }

    let span = |event: &Value| -> (Timestamp, Timestamp) {
        let time = |field: &str| event[field].as_str().unwrap().parse().unwrap();
        (time("requestReceivedTimestamp"), time("stageTimestamp"))
    };
    let asked = |verb: &str, resource: &str| -> Vec<_> {
        let events = rig.space.audit(verb);
        let is = |event: &&Value| event["objectRef"]["resource"] == resource;
        let mut spans: Vec<_> = events.iter().filter(is).map(span).collect();
        spans.sort();
        spans
    };
    let (creates, lists) = eventually("all of it in the audit log", || {
        let both = (asked("create", "leases"), asked("list", "jobs"));
        (both.0.len() >= ROUNDS && both.1.len() >= SELECTORS * ROUNDS).then_some(both)
    });
    assert_eq!((creates.len(), lists.len()), (ROUNDS, SELECTORS * ROUNDS));
    let mut overlap = 0;
    for (create, lists) in creates.iter().zip(lists.chunks(SELECTORS)) {
        assert!(lists.iter().all(|list| list.1 <= create.0));
        overlap += usize::from(lists[0].0 < lists[1].1 && lists[1].0 < lists[0].1);
    }
    let took = |spans: &[(Timestamp, Timestamp)]| {
        let took = spans.iter().map(|(start, end)| end.duration_since(*start));
        median(took.map(SignedDuration::unsigned_abs))
    };
    let (create, list, claim) = (took(&creates), took(&lists), median(times));
    eprintln!("medians: a create {create:?}, a LIST {list:?}, a claim {claim:?}");
    assert!(
        overlap > ROUNDS / 2,
        "{overlap} of {ROUNDS} at the same time"
    );
}

fn median(times: impl IntoIterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.into_iter().collect();
    times.sort();
    times[times.len() / 2]
}

/// Those who try again are told of one holder once, also where a whole pipeline waits.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn thirty_who_wait_are_told_once_each() {
    let rig = Rig::new().await;
    let holder = rig.job(1, true);
    rig.take(&holder).await;
    let mut askers: Vec<_> = (0..30).map(|number| rig.asker(number + 2)).collect();
    for asker in &askers {
        assert!(rig.waits(asker).await.first, "{}", asker.job);
    }
    // They try again with another uid.
    for asker in &mut askers {
        asker.uid.replace_range(..8, "11111111");
        assert!(!rig.waits(asker).await.first, "{}", asker.job);
    }
}
