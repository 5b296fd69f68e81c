//! Tests against a service that answers LISTs like an API server, counts them, and answers them at the next tick.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::cluster::api::testing::{self, Clock};
use crate::core::job::object::Object;
use crate::core::job::{Job as Migration, Kind};
use crate::core::policy::testing::{job, policy};

/// LISTs of one namespace: one for each selector of the built-in policy, and one for adopted Jobs.
const SELECTORS: usize = 3;

/// An API server.
#[derive(Default)]
struct Server {
    /// The Jobs of each namespace.
    jobs: HashMap<String, Vec<Value>>,
    /// The LISTs that it got, by namespace.
    lists: HashMap<String, usize>,
    /// Whether its LISTs fail.
    fails: bool,
}

struct Rig {
    lists: Lists,
    server: Arc<Mutex<Server>>,
    clock: Clock,
    policy: Arc<Policy>,
}

type Asking = JoinHandle<Result<Vec<String>, ApiError>>;

fn stored(namespace: &str, name: &str) -> Value {
    job(|job| {
        job["metadata"]["name"] = json!(name);
        job["metadata"]["namespace"] = json!(namespace);
        job["metadata"]["uid"] = json!(name);
    })
}

impl Rig {
    fn new(text: &str) -> Self {
        let (server, clock) = (Arc::<Mutex<Server>>::default(), Clock::default());
        let (answers, ticks) = (Arc::clone(&server), clock.clone());
        let client = testing::client(move |request| {
            let namespace = request.uri().path().split('/').nth(5).unwrap().to_owned();
            let query = request.uri().query().unwrap_or_default();
            let is_of_all = !query.contains("labelSelector=");
            let token = query.split("continue=").nth(1);
            let start = token.map_or(0, |token| token.parse().unwrap());
            let (code, body) = answers.lock().unwrap().answer(&namespace, start, is_of_all);
            let ticks = ticks.clone();
            async move {
                if start == 0 {
                    ticks.next().await;
                }
                (code, body)
            }
        });
        Self {
            lists: Lists::new(client),
            server,
            clock,
            policy: Arc::new(policy(text)),
        }
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }

    /// The LISTs of a namespace so far.
    fn count(&self, namespace: &str) -> usize {
        self.server().lists.get(namespace).copied().unwrap_or(0)
    }

    /// Asks for the names of the active Jobs that share a key with this one.
    fn ask(&self, asker: &Value) -> Asking {
        self.ask_of(asker, false)
    }

    /// The same, also of those without a label.
    fn ask_of(&self, asker: &Value, all: bool) -> Asking {
        let object = Object::deserialize(asker).unwrap();
        let keys = Key::all_of(
            &Migration::new(&object, Kind::Job, ""),
            &self.policy.claims,
            None,
        );
        let (lists, policy) = (self.lists.clone(), Arc::clone(&self.policy));
        tokio::spawn(async move {
            let found = lists.active(&keys, &policy, all).await?;
            let jobs = found.iter().flat_map(|list| list.iter());
            let mut names: Vec<_> = jobs
                .filter_map(|job| Some(job.shared(&keys)?.claim.job))
                .collect();
            names.sort();
            names.dedup();
            Ok(names)
        })
    }
}

async fn found(asking: Asking) -> Result<Vec<String>, String> {
    assert!(asking.is_finished());
    asking.await.unwrap().map_err(|error| error.to_string())
}

impl Server {
    fn answer(&mut self, namespace: &str, start: usize, is_of_all: bool) -> (u16, Value) {
        if start == 0 {
            *self.lists.entry(namespace.to_owned()).or_default() += 1;
        }
        if self.fails {
            let status = json!({"status": "Failure", "message": "leader changed", "code": 500});
            return (500, status);
        }
        let jobs = self.jobs.get(namespace).map_or(&[][..], |jobs| jobs);
        let has_label = |job: &&Value| !job["metadata"]["labels"].is_null();
        let jobs = jobs.iter().filter(|job| is_of_all || has_label(job));
        let jobs: Vec<_> = jobs.collect();
        let end = jobs.len().min(start + PAGE as usize);
        let next = (end < jobs.len()).then(|| end.to_string());
        let list = json!({"metadata": {"continue": next}, "items": jobs[start..end]});
        (200, list)
    }
}

#[tokio::test]
async fn three_hundred_arrivals_cost_one_list_besides_the_one_that_runs() {
    let rig = Rig::new("");
    let attempt = |number: usize| stored("shop", &format!("web{number}-migrate-1766361600"));
    let first = rig.ask(&attempt(0));
    rig.clock.settle().await;
    assert_eq!(rig.count("shop"), SELECTORS);
    // Stored after the first LIST was sent, so those who arrive from now on have to find it.
    let web7 = stored("shop", "web7-migrate-1766361000");
    rig.server().jobs.insert("shop".to_owned(), vec![web7]);
    let crowd: Vec<_> = (1..300).map(|number| rig.ask(&attempt(number))).collect();
    rig.clock.tick().await;
    assert_eq!(found(first).await, Ok(vec![]));
    rig.clock.tick().await;
    for (number, asking) in (1..).zip(crowd) {
        let web7 = (number == 7).then(|| "web7-migrate-1766361000".to_owned());
        assert_eq!(found(asking).await, Ok(Vec::from_iter(web7)), "{number}");
    }
    assert_eq!(rig.count("shop"), 2 * SELECTORS);
}

#[tokio::test]
async fn a_job_that_several_selectors_match_is_found_once() {
    let rig = Rig::new("");
    let active = stored("shop", "web-migrate-1766361000");
    rig.server().jobs.insert("shop".to_owned(), vec![active]);
    let asking = rig.ask(&stored("shop", "web-migrate-1766361600"));
    rig.clock.tick().await;
    assert_eq!(found(asking).await.unwrap(), ["web-migrate-1766361000"]);
}

#[tokio::test]
async fn a_list_that_fails_does_so_for_all_who_share_it() {
    let rig = Rig::new("");
    rig.server().fails = true;
    let asker = stored("shop", "web-migrate-1766361600");
    let crowd: Vec<_> = (0..9).map(|_| rig.ask(&asker)).collect();
    // The first one has its own LIST, the others come after that was sent.
    rig.clock.tick().await;
    rig.clock.tick().await;
    assert_eq!(rig.count("shop"), 2 * SELECTORS);
    let told = "failed to list jobs.batch in namespace shop: leader changed";
    for asking in crowd {
        assert_eq!(found(asking).await, Err(told.to_owned()));
    }
    rig.server().fails = false;
    let next = rig.ask(&asker);
    rig.clock.tick().await;
    assert_eq!(found(next).await, Ok(vec![]));
}

#[tokio::test]
async fn only_active_jobs_are_kept_and_not_too_many() {
    let rig = Rig::new("");
    let asker = stored("shop", "web-migrate-1766361600");
    let answer = async |finished: bool| {
        let mut other = stored("shop", "seed-migrate-1766361000");
        if finished {
            other["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}]);
        }
        let mut jobs = vec![other; MOST];
        jobs.push(stored("shop", "web-migrate-1766361000"));
        rig.server().jobs.insert("shop".to_owned(), jobs);
        let asking = rig.ask(&asker);
        rig.clock.tick().await;
        asking.await.unwrap().map_err(|error| error.to_string())
    };
    assert_eq!(answer(true).await.unwrap(), ["web-migrate-1766361000"]);
    let told = "failed to list jobs.batch in namespace shop: more than 500 of its migration Jobs are active";
    assert_eq!(answer(false).await.unwrap_err(), told);
}

/// It may have been created before the policy adopted its like.
#[tokio::test]
async fn an_active_job_without_a_label_is_found_if_all_are_listed() {
    let rig = Rig::new("");
    let unlabelled = |name: &str| {
        let mut job = stored("shop", name);
        job["metadata"].as_object_mut().unwrap().remove("labels");
        job
    };
    let asker = unlabelled("web-migrate-1766361600");
    let mut nightly = unlabelled("web-migrate-1766360000");
    nightly["metadata"]["ownerReferences"] =
        json!([{"kind": "CronJob", "name": "web-migrate", "controller": true}]);
    let mut later = unlabelled("web-migrate-1766362000");
    later["metadata"]["annotations"]["helm.sh/hook"] = json!("post-install");
    let jobs = vec![unlabelled("web-migrate-1766361000"), nightly, later];
    rig.server().jobs.insert("shop".to_owned(), jobs);
    for (all, names) in [
        (false, vec![]),
        (true, vec!["web-migrate-1766361000".to_owned()]),
    ] {
        let before = rig.count("shop");
        let asking = rig.ask_of(&asker, all);
        rig.clock.tick().await;
        assert_eq!(found(asking).await, Ok(names));
        let lists = if all { 1 } else { SELECTORS };
        assert_eq!(rig.count("shop") - before, lists);
    }
}

/// Others of databases wait for half of the seats at most.
#[tokio::test]
async fn a_database_of_many_namespaces_delays_no_other_claim() {
    let names: Vec<_> = (0..50).map(|number| format!("n{number}")).collect();
    let rig = Rig::new(&format!(
        "claims: {{databases: [{{name: orders, namespaces: [{}]}}, {{name: stock, namespaces: [n1, billing]}}]}}\n",
        names.join(", ")
    ));
    let asker = |namespace: &str, database: Option<&str>| {
        let mut asker = stored(namespace, "web-migrate-1766361600");
        asker["metadata"]["annotations"]["migration-warden.io/database"] = json!(database);
        asker
    };
    let orders = rig.ask(&asker("n0", Some("orders")));
    rig.clock.settle().await;
    let others = [
        asker("n2", None),
        asker("shop", None),
        asker("billing", Some("stock")),
    ];
    let others = others.map(|other| rig.ask(&other));
    rig.clock.tick().await;
    for other in others {
        assert_eq!(found(other).await, Ok(vec![]));
    }
    for _ in 1..(50 * SELECTORS).div_ceil(DATABASES / 2) {
        assert!(!orders.is_finished());
        rig.clock.tick().await;
    }
    assert_eq!(found(orders).await, Ok(vec![]));
}
