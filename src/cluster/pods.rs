//! Lists the pods of a Job for the guards, the claims, the runs and the alerts, which need to know whether it is
//! running.
//!
//! [`crate::core::job::running`] interprets the pods.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1;
use kube::api::ListParams;
use kube::{Api, Client};

use super::api::list::List;
use super::api::patient::prompt;
use super::api::seats::Seats;
use super::api::shared::Questions;
use super::api::{ApiError, failed};
use super::jobs::Jobs;
use crate::core::job::running::Pod;
use crate::core::json;

/// Pods per page, if they are not too large.
const PAGE: u32 = 100;
/// Concurrent LISTs: each holds a page in memory.
const LISTS: usize = 4;
/// Concurrent GETs of Jobs, in all and per namespace: a few milliseconds each.
const GETS: usize = 8;
const GETS_SHARE: usize = 2;
/// Most pods of one Job that are read. A migration has few, and more of them would fill the memory of a replica.
const MOST: usize = 1000;
/// Most bytes that are kept of them: a thousand ordinary pods take 2 MB.
const MOST_BYTES: usize = 4 << 20;

/// The pods of the cluster. Clones share the limits on concurrent requests.
#[derive(Clone)]
pub struct Pods(Arc<Inner>);

struct Inner {
    client: Client,
    /// By namespace and uid.
    lists: Questions<(String, String), Arc<Vec<Pod>>>,
    /// By namespace, and the uids of some Jobs: whether a pod of one of them is running.
    lives: Questions<(String, String), bool>,
    gets: Seats,
}

impl Pods {
    /// Lists with this client, for at most `share` Jobs of one namespace at once.
    #[must_use]
    pub fn new(client: Client, share: usize) -> Self {
        Self(Arc::new(Inner {
            client: prompt(client),
            lists: Questions::new(Seats::new(LISTS, share)),
            lives: Questions::new(Seats::new(LISTS, LISTS / 2)),
            gets: Seats::new(GETS, GETS_SHARE),
        }))
    }

    /// The pods of the Job with this uid. The caller has to limit the time.
    ///
    /// Callers that wait for the same Job share one LIST, which begins after they called.
    pub async fn of(&self, namespace: &str, uid: &str) -> Result<Arc<Vec<Pod>>, ApiError> {
        let job = (namespace.to_owned(), uid.to_owned());
        let (inner, asked) = (Arc::clone(&self.0), job.clone());
        let request = async move { inner.list(&asked.0, &asked.1).await.map(Arc::new) };
        self.0.lists.ask(namespace, job, request).await
    }

    /// Whether a pod of one of the Jobs with these uids is running.
    pub(crate) async fn is_any_live(
        &self,
        namespace: &str,
        uids: &[&str],
    ) -> Result<bool, ApiError> {
        let jobs = (namespace.to_owned(), uids.join(","));
        let (inner, asked) = (Arc::clone(&self.0), jobs.clone());
        let request = async move { inner.is_any_live(&asked.0, &asked.1).await };
        self.0.lives.ask(namespace, jobs, request).await
    }

    /// The pods of a Job from a review. If neither the watch nor the API server knows the Job, there are none: a forged
    /// review is not worth a LIST.
    pub(crate) async fn of_existing(
        &self,
        jobs: &Jobs,
        (namespace, name, uid): (&str, &str, &str),
    ) -> Result<Arc<Vec<Pod>>, ApiError> {
        if jobs.knows(namespace, uid) || self.0.exists(namespace, name, uid).await? {
            self.of(namespace, uid).await
        } else {
            Ok(Arc::default())
        }
    }
}

impl Inner {
    async fn exists(&self, namespace: &str, name: &str, uid: &str) -> Result<bool, ApiError> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), namespace);
        let _seat = self.gets.take(namespace).await;
        let job = api
            .get_metadata_opt(name)
            .await
            .map_err(failed("get jobs"))?;
        Ok(job.is_some_and(|job| job.metadata.uid.as_deref() == Some(uid)))
    }

    async fn is_any_live(&self, namespace: &str, uids: &str) -> Result<bool, ApiError> {
        let selector = format!("batch.kubernetes.io/controller-uid in ({uids})");
        let params = ListParams::default().labels(&selector).limit(PAGE);
        let mut list = List::of::<v1::Pod>(&self.client, Some(namespace), params);
        while let Some(page) = list.next().await? {
            let page: Vec<Pod> = json::document(|| list.read(&page))?;
            if page.iter().any(Pod::is_live) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn list(&self, namespace: &str, uid: &str) -> Result<Vec<Pod>, ApiError> {
        let selector = format!("batch.kubernetes.io/controller-uid={uid}");
        let params = ListParams::default().labels(&selector).limit(PAGE);
        let mut list = List::of::<v1::Pod>(&self.client, Some(namespace), params);
        let (mut pods, mut bytes) = (Vec::new(), 0);
        while let Some(page) = list.next().await? {
            let page: Vec<Pod> = json::document(|| list.read(&page))?;
            bytes += page.iter().map(Pod::size).sum::<usize>();
            pods.extend(page);
            if pods.len() > MOST || bytes > MOST_BYTES {
                let doing = format!("list pods in namespace {namespace}");
                let why =
                    format!("the Job has more than {MOST} pods, or their statuses are too long");
                return Err(ApiError::Unreadable { doing, why });
            }
        }
        Ok(pods)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;
    use serde_json::json;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::cluster::api::testing;

    /// An API server that has one Job, does not answer LISTs of pods of `evil`, and counts requests.
    #[derive(Default)]
    struct Api {
        gets: AtomicUsize,
        lists: AtomicUsize,
        evil: Notify,
    }

    impl Api {
        fn pods(self: &Arc<Self>) -> Pods {
            let api = Arc::clone(self);
            let client = testing::client(move |request| {
                let (api, path) = (Arc::clone(&api), request.uri().path().to_owned());
                async move {
                    if path.ends_with("/pods") {
                        api.lists.fetch_add(1, Ordering::Relaxed);
                        if path.contains("/evil/") {
                            api.evil.notified().await;
                        }
                        let running = json!({"status": {"phase": "Running"}});
                        return (200, json!({"metadata": {}, "items": [running]}));
                    }
                    api.gets.fetch_add(1, Ordering::Relaxed);
                    (200, json!({"metadata": {"uid": "u1"}}))
                }
            });
            Pods::new(client, 1)
        }

        fn asked(&self) -> (usize, usize) {
            let count = |asked: &AtomicUsize| asked.load(Ordering::Relaxed);
            (count(&self.gets), count(&self.lists))
        }
    }

    const SOON: Duration = Duration::from_secs(5);

    type Answered = Result<Arc<Vec<Pod>>, ApiError>;

    /// Many callers about Jobs of `evil` with these uids.
    fn crowd(pods: &Pods, uid: fn(usize) -> String) -> Vec<JoinHandle<Answered>> {
        let asking = |number| {
            let pods = pods.clone();
            tokio::spawn(async move { pods.of("evil", &uid(number)).await })
        };
        (0..250).map(asking).collect()
    }

    #[tokio::test]
    async fn a_job_that_nobody_knows_is_not_worth_a_list() {
        let api = Arc::new(Api::default());
        let pods = api.pods();
        let count = async |uid| {
            let found = pods.of_existing(&Jobs::default(), ("shop", "x", uid)).await;
            found.unwrap().len()
        };
        assert_eq!(count("u2").await, 0);
        assert_eq!(api.asked(), (1, 0));
        assert_eq!(count("u1").await, 1);
        assert_eq!(api.asked(), (2, 1));
    }

    #[tokio::test]
    async fn a_namespace_that_is_asked_about_much_keeps_no_other_waiting() {
        let api = Arc::new(Api::default());
        let pods = api.pods();
        let crowd = crowd(&pods, |number| number.to_string());
        tokio::task::yield_now().await;
        let victim = timeout(SOON, pods.of("victim", "u1")).await;
        assert_eq!(victim.unwrap().unwrap().len(), 1);
        for asking in &crowd {
            asking.abort();
        }
        // Callers that gave up leave nothing behind.
        join_all(crowd).await;
        assert!(timeout(SOON, pods.of("victim", "u1")).await.is_ok());
    }

    #[tokio::test]
    async fn all_who_wait_with_one_question_get_one_answer() {
        let api = Arc::new(Api::default());
        let pods = api.pods();
        let crowd = crowd(&pods, |_| "u1".to_owned());
        tokio::task::yield_now().await;
        let answering = async {
            loop {
                tokio::task::yield_now().await;
                api.evil.notify_one();
            }
        };
        let answers = tokio::select! {
            answers = timeout(SOON, join_all(crowd)) => answers.unwrap(),
            () = answering => Vec::new(),
        };
        let answers = answers.iter().map(|answer| answer.as_ref().unwrap());
        assert_eq!(answers.filter(|answer| answer.is_ok()).count(), 250);
        // A LIST that had already begun may be too old for them.
        let (_, lists) = api.asked();
        assert!((1..=2).contains(&lists), "{lists} LISTs");
    }

    #[tokio::test]
    async fn pods_that_would_fill_the_memory_are_not_read() {
        let list = async |pages: usize, text: usize| {
            let said = "m".repeat(text);
            let ended = json!({"state": {"terminated": {"exitCode": 1, "message": said}}});
            let pod = json!({"status": {"message": said, "containerStatuses": [ended]}});
            let page = json!({"metadata": {"continue": "more"}, "items": vec![pod; PAGE as usize]});
            let mut pages = vec![page; pages];
            pages[0]["metadata"] = json!({});
            let pages = Mutex::new(pages);
            let client = testing::client(move |_| {
                let page = pages.lock().unwrap().pop().unwrap();
                std::future::ready((200, page))
            });
            let pods = Pods::new(client, 1).of("shop", "u1").await;
            pods.map(|pods| pods.len())
                .map_err(|error| error.to_string())
        };
        let refused = "failed to list pods in namespace shop: the Job has more than 1000 pods, or \
                       their statuses are too long";
        assert_eq!(list(10, 100).await, Ok(1000));
        assert_eq!(list(11, 100).await.unwrap_err(), refused);
        // What is cut does not count.
        assert_eq!(list(4, 9000).await, Ok(400));
        assert_eq!(list(5, 9000).await.unwrap_err(), refused);
    }
}
