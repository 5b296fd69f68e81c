//! Tests against a service that stores Jobs and one Lease like an API server.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http_body_util::BodyExt;
use tokio::sync::watch;
use tokio::time::sleep;

use super::*;
use crate::cluster::api::testing;
use crate::core::policy::testing::{job, policy};
use crate::host::policy_watch::PolicyMetrics;

const LABEL: &str = "/metadata/labels/migration-warden.io~1adopted";
const DONE: &str = "/metadata/annotations/migration-warden.io~1adopted-for";

/// An API server.
#[derive(Default)]
struct Server {
    /// By namespace and name.
    jobs: BTreeMap<String, Value>,
    lease: Value,
    /// Patches that it refuses with a conflict, after it has changed the Job like this.
    conflicts: Vec<fn(&mut Value)>,
    /// The status for all other patches of Jobs.
    refuses: Option<u16>,
    /// The requests for Jobs.
    asked: Vec<String>,
}

impl Server {
    fn answer(&mut self, verb: &str, uri: &str, body: &Value) -> (u16, Value) {
        if uri.contains("/leases/") {
            if verb == "PATCH" {
                json_patch::merge(&mut self.lease, body);
            }
            return (200, self.lease.clone());
        }
        let path: Vec<_> = uri.split(['/', '?']).collect();
        if verb == "GET" {
            let name = uri.split("metadata.name%3D").nth(1);
            let name = name.map(|rest| rest.split('&').next().unwrap());
            self.asked.push(format!("list {}", name.unwrap_or("all")));
            let jobs = self.jobs.values();
            let of = |job: &&Value| name.is_none_or(|name| job["metadata"]["name"] == name);
            let items: Vec<_> = jobs.filter(of).collect();
            return (200, json!({"metadata": {}, "items": items}));
        }
        let (namespace, name) = (path[5], path[7]);
        self.asked.push(format!("patch {name}"));
        let status = |code: u16| {
            (
                code,
                json!({"status": "Failure", "message": "no", "code": code}),
            )
        };
        let job = self.jobs.get_mut(&format!("{namespace}/{name}")).unwrap();
        if let Some(change) = self.conflicts.pop() {
            change(job);
            job["metadata"]["resourceVersion"] = json!("2");
        }
        if let Some(code) = self.refuses {
            return status(code);
        }
        if job["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
            return status(409);
        }
        json_patch::merge(job, body);
        (200, job.clone())
    }
}

struct Rig {
    server: Arc<Mutex<Server>>,
    registry: Registry,
    client: Client,
}

impl Rig {
    fn new(jobs: &[(&str, Value)]) -> Self {
        let jobs = jobs.iter().map(|(name, job)| {
            let (namespace, own) = name.split_once('/').unwrap();
            let mut job = job.clone();
            for (key, value) in [
                ("name", own),
                ("namespace", namespace),
                ("uid", own),
                ("resourceVersion", "1"),
            ] {
                job["metadata"][key] = json!(value);
            }
            (name.to_string(), job)
        });
        let jobs = jobs.collect();
        let server = Arc::new(Mutex::new(Server {
            jobs,
            ..Server::default()
        }));
        let shared = Arc::clone(&server);
        let client = testing::client(move |request| {
            let server = Arc::clone(&shared);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let uri = parts.uri.to_string();
                server
                    .lock()
                    .unwrap()
                    .answer(parts.method.as_str(), &uri, &body)
            }
        });
        Self {
            server,
            registry: Registry::new(),
            client,
        }
    }

    /// Begins to adopt as the elected replica.
    fn adopt(&mut self, text: &str) -> (LivePolicy, watch::Sender<bool>) {
        let (elected, leads) = watch::channel(true);
        let metrics = PolicyMetrics::new(&mut self.registry);
        let live = LivePolicy::new(policy(text), &metrics);
        let adoption = Adoption {
            client: self.client.clone(),
            namespaces: Namespaces::default(),
            excluded: vec!["kube-system".to_owned()],
            policy: live.clone(),
            record: self.record(),
            labelled: metric(&mut self.registry),
            settle: SETTLE,
        };
        tokio::spawn(adoption.run(leads.into()));
        (live, elected)
    }

    fn record(&self) -> Record {
        Record::on(self.client.clone(), "warden".to_owned())
    }

    /// The Jobs that have the label, each with its name.
    fn labelled(&self) -> Vec<String> {
        let server = self.server.lock().unwrap();
        let jobs = server.jobs.iter();
        let labelled = jobs.filter_map(|(name, job)| {
            let label = job.pointer(LABEL)?.as_str()?;
            Some(format!("{name} {label}"))
        });
        labelled.collect()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.server.lock().unwrap().asked)
    }

    fn done(&self) -> Option<String> {
        let server = self.server.lock().unwrap();
        Some(server.lease.pointer(DONE)?.as_str()?.to_owned())
    }
}

fn unlabelled(tweak: impl FnOnce(&mut Value)) -> Value {
    job(|job| {
        job["metadata"].as_object_mut().unwrap().remove("labels");
        tweak(job);
    })
}

const SHOP: &str = "detection: {promises: []}\nadopt: [{name: shop, match: {names: ['web-*']}}]\n";

async fn minutes(count: u64) {
    sleep(Duration::from_secs(60 * count)).await;
}

#[tokio::test(start_paused = true)]
async fn the_active_jobs_that_the_policy_adopts_get_its_label() {
    let ended = |job: &mut Value| {
        job["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}]);
    };
    let decision = "/metadata/annotations/migration-warden.io~1decision";
    let stamped = unlabelled(|job| {
        job["metadata"]["annotations"]["migration-warden.io/decision"] = json!("x");
    });
    assert!(stamped.pointer(decision).is_some());
    let mut rig = Rig::new(&[
        ("shop/web-1", stamped),
        ("shop/seed-1", unlabelled(|_| {})),
        ("shop/web-labelled", job(|_| {})),
        (
            "shop/web-adopted",
            unlabelled(|job| {
                job["metadata"]["labels"] = json!({"migration-warden.io/adopted": "old"});
            }),
        ),
        (
            "shop/web-opted-out",
            unlabelled(|job| {
                job["metadata"]["labels"] = json!({"migration-warden.io/migration": "false"});
            }),
        ),
        ("shop/web-ended", unlabelled(ended)),
        (
            "shop/web-leaving",
            unlabelled(|job| job["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")),
        ),
        (
            "shop/web-nightly",
            unlabelled(|job| {
                job["metadata"]["ownerReferences"] =
                    json!([{"kind": "CronJob", "name": "web", "controller": true}]);
            }),
        ),
        ("kube-system/web-1", unlabelled(|_| {})),
        ("sandbox/web-1", unlabelled(|_| {})),
        ("test/web-1", unlabelled(|_| {})),
    ]);
    let modes = "namespaces: [{names: [sandbox], mode: 'off'}, {names: [test], mode: audit}]\n";
    let (_policy, _elected) = rig.adopt(&format!("{SHOP}{modes}"));
    minutes(1).await;
    let labelled = ["shop/web-1 shop", "shop/web-adopted old", "test/web-1 shop"];
    assert_eq!(rig.labelled(), labelled);
    assert_eq!(rig.asked(), ["list all", "patch web-1", "patch web-1"]);
    rig.registry.assert_has(&[
        r#"adoptions_total{result="success"} 2"#,
        r#"adoptions_total{result="failure"} 0"#,
    ]);
    let web = rig.server.lock().unwrap().jobs["shop/web-1"].clone();
    assert_eq!(web.pointer(decision), None, "MW104 would refuse it");
    // A second look, and then one every ten minutes.
    minutes(60).await;
    assert_eq!(rig.asked(), ["list all"; 6]);
}

/// A replica that still has the previous policy may admit a Job after the first look.
#[tokio::test(start_paused = true)]
async fn it_is_done_after_a_second_look() {
    let mut rig = Rig::new(&[]);
    let (policy, _elected) = rig.adopt(SHOP);
    let policy = policy.current();
    let of_review = rig.record();
    minutes(1).await;
    assert!(!of_review.is_done(&policy).await.unwrap());
    let mut late = unlabelled(|_| {});
    late["metadata"] =
        json!({"name": "web-late", "namespace": "shop", "uid": "u", "resourceVersion": "1"});
    rig.server
        .lock()
        .unwrap()
        .jobs
        .insert("shop/web-late".to_owned(), late);
    minutes(2).await;
    assert_eq!(rig.labelled(), ["shop/web-late shop"]);
    assert_eq!(
        rig.done().unwrap(),
        format!("{} {}", env!("CARGO_PKG_VERSION"), policy.hash)
    );
    assert!(of_review.is_done(&policy).await.unwrap());
    // It is remembered.
    rig.server.lock().unwrap().lease = json!({});
    assert!(of_review.is_done(&policy).await.unwrap());
    assert!(!rig.record().is_done(&policy).await.unwrap());
    let same = Arc::new(Policy::clone(&policy));
    assert!(
        !of_review.is_done(&same).await.unwrap(),
        "the policy was changed and changed back"
    );
    assert!(!Record::default().is_done(&policy).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn another_policy_and_another_election_begin_again() {
    let mut rig = Rig::new(&[
        ("shop/web-1", unlabelled(|_| {})),
        ("shop/seed-1", unlabelled(|_| {})),
    ]);
    let (live, elected) = rig.adopt(SHOP);
    minutes(4).await;
    assert!(rig.done().is_some());
    rig.asked();
    let metrics = PolicyMetrics::new(&mut Registry::new());
    live.replace(policy(&SHOP.replace("web-", "seed-")), &metrics);
    minutes(1).await;
    assert_eq!(rig.done(), None);
    assert_eq!(rig.labelled(), ["shop/seed-1 shop", "shop/web-1 shop"]);
    // Another replica is elected.
    elected.send_replace(false);
    minutes(60).await;
    assert_eq!(
        (rig.done(), rig.asked()),
        (None, vec!["list all".to_owned(), "patch seed-1".to_owned()])
    );
    elected.send_replace(true);
    minutes(4).await;
    assert!(rig.done().is_some());
    assert_eq!(rig.asked(), ["list all", "list all"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_changes_meanwhile_is_read_again() {
    let end: fn(&mut Value) =
        |job| job["status"]["conditions"] = json!([{"type": "Failed", "status": "True"}]);
    for (conflict, labelled, asked) in [
        (
            (|job| job["status"]["active"] = json!(1)) as fn(&mut Value),
            true,
            4,
        ),
        (end, false, 3),
    ] {
        let mut rig = Rig::new(&[("shop/web-1", unlabelled(|_| {}))]);
        rig.server.lock().unwrap().conflicts.push(conflict);
        let (_policy, _elected) = rig.adopt(SHOP);
        minutes(1).await;
        let expected = ["list all", "patch web-1", "list web-1", "patch web-1"];
        assert_eq!(rig.asked(), expected[..asked]);
        assert_eq!(rig.labelled().len(), usize::from(labelled));
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_labelled_is_tried_ever_more_rarely() {
    let mut rig = Rig::new(&[
        ("shop/web-1", unlabelled(|_| {})),
        ("shop/web-2", unlabelled(|_| {})),
    ]);
    rig.server.lock().unwrap().refuses = Some(403);
    let (_policy, _elected) = rig.adopt(SHOP);
    minutes(1).await;
    let round = ["list all", "patch web-1", "patch web-2"];
    assert_eq!(rig.asked(), round.repeat(4));
    minutes(120).await;
    let rounds = rig.asked().len() / round.len();
    assert!((14..18).contains(&rounds), "{rounds}");
    assert_eq!(rig.done(), None);
    rig.server.lock().unwrap().refuses = None;
    minutes(15).await;
    assert_eq!(rig.labelled(), ["shop/web-1 shop", "shop/web-2 shop"]);
    assert!(rig.done().is_some());
}
