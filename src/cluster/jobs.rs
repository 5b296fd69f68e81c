//! A cache of the cluster's migration Jobs, kept by a watch, with news of their changes.
//!
//! Every replica keeps one. It may be stale: writes based on it name the uid, and code that must be certain asks the
//! API server. Detected Jobs are not in it, because no selector finds them.

mod watched;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{SelectAll, StreamExt};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use tokio::sync::broadcast::{self, error::RecvError};

use self::watched::WatchedJob;
use super::api::{ApiError, failed};
use super::{Watch, WatchMetrics};
use crate::core::job::Job;
use crate::core::job::stored::StoredJob;
use crate::core::policy::select::Selectors;
use crate::core::runs::facts::Facts;
use crate::host::health::Status;
use crate::host::policy_watch::LivePolicy;

/// Jobs per page of a list: 7 KB each on the wire, some hundred bytes each in the cache.
const PAGE: u32 = 100;
/// How often the selectors are compared with those of the policy in use.
const PERIOD: Duration = Duration::from_secs(1);
/// Most news that a slow subscriber may lag behind before it has to read the whole cache.
const NEWS: usize = 1024;

#[derive(Clone, Debug)]
pub(crate) enum News {
    /// All Jobs were listed. Any of them may have changed, and others may be gone.
    Listed,
    /// A Job is new, or has changed in a way that its run records.
    Changed(Arc<Seen>),
    Finished(Arc<Seen>),
    /// A Job is gone, or is not a migration any more. This is its last known state.
    Deleted(Arc<Seen>),
}

/// A Job as the watch has just returned it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The part that is cached.
    pub job: Arc<StoredJob>,
    /// The part that is not cached, because there may be ten thousand Jobs.
    pub facts: Facts,
}

impl From<&Job<'_>> for Seen {
    fn from(job: &Job<'_>) -> Self {
        Self {
            job: Arc::new(job.into()),
            facts: Facts::of(job),
        }
    }
}

/// The next news. A subscriber that lags behind gets [`News::Listed`]; the cache only ends with the process.
pub(super) async fn next(news: &mut broadcast::Receiver<News>) -> News {
    match news.recv().await {
        Ok(news) => news,
        Err(RecvError::Lagged(_)) => News::Listed,
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

/// The facts of the Job with this uid, as the API server has it now; `None` if it is gone.
pub(super) async fn find<T: for<'b, 'j> From<&'b Job<'j>> + Clone + Debug>(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
) -> Result<Option<T>, ApiError> {
    let api: Api<WatchedJob<T>> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(failed("get jobs"))?;
    let found = found.filter(|job| job.meta().uid.as_deref() == Some(uid));
    Ok(found.map(|job| job.facts))
}

/// The cache of migration Jobs. Clones share it.
#[derive(Clone, Debug)]
pub struct Jobs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    known: Mutex<KnownJobs>,
    news: broadcast::Sender<News>,
}

/// The Jobs that one selector matches, by uid.
type Matched = HashMap<String, Arc<StoredJob>>;
type Known = (Option<Matched>, Matched);

#[derive(Debug, Default)]
struct KnownJobs {
    /// For each selector the known Jobs, and those of a list that is not complete yet. The last one matches adopted Jobs.
    selectors: Vec<Known>,
}

impl Default for Jobs {
    fn default() -> Self {
        let news = broadcast::Sender::new(NEWS);
        let known = Mutex::default();
        Self(Arc::new(Shared { known, news }))
    }
}

impl Jobs {
    /// All Jobs; `None` until all are known.
    #[must_use]
    pub(crate) fn all(&self) -> Option<Vec<Arc<StoredJob>>> {
        let known = self.known();
        let mut all = Matched::new();
        // The Jobs of earlier selectors replace those of later ones.
        for (matched, _) in known.selectors.iter().rev() {
            let entries = matched.as_ref()?.iter();
            all.extend(entries.map(|(uid, job)| (uid.clone(), Arc::clone(job))));
        }
        (!known.selectors.is_empty()).then(|| all.into_values().collect())
    }

    /// The status for `/readyz`. It never makes a replica unready: reviews ask the API server about Jobs that are not
    /// known, and after a change of the policy's selectors the Jobs are listed again.
    pub(crate) fn status(&self) -> Status {
        let selectors = &self.known().selectors;
        if selectors.is_empty() || selectors.iter().any(|(matched, _)| matched.is_none()) {
            Status::Warning(
                "not all migration Jobs are known yet, so runs and tidy-up wait".to_owned(),
            )
        } else {
            Status::Ok(String::new())
        }
    }

    /// The Job with this uid, if it is in the cache.
    #[must_use]
    pub(crate) fn get(&self, uid: &str) -> Option<Arc<StoredJob>> {
        let known = self.known();
        let mut selectors = known.selectors.iter();
        selectors.find_map(|(matched, _)| matched.as_ref()?.get(uid).cloned())
    }

    /// Whether the cache has the Job with this uid in this namespace.
    #[must_use]
    pub fn knows(&self, namespace: &str, uid: &str) -> bool {
        self.get(uid).is_some_and(|job| job.namespace == namespace)
    }

    /// News from now on. A subscriber that lags behind has to read [`all`](Self::all).
    #[must_use]
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<News> {
        self.0.news.subscribe()
    }

    /// Watches for as long as it is awaited. It starts over when the policy's selectors change.
    pub async fn watch(self, client: Client, policy: LivePolicy, metrics: WatchMetrics) {
        loop {
            let selectors = policy.current().selectors.clone();
            let same = |now: &Selectors| now.as_written() == selectors.as_written();
            let changed = async {
                while same(&policy.current().selectors) {
                    tokio::time::sleep(PERIOD).await;
                }
            };
            tokio::select! {
                () = self.watch_these(&client, &selectors, &metrics) => {}
                () = changed => {}
            }
        }
    }

    async fn watch_these(&self, client: &Client, selectors: &Selectors, metrics: &WatchMetrics) {
        let selectors = selectors.of_stored();
        self.known().selectors = selectors.iter().map(|_| Default::default()).collect();
        let mut events = SelectAll::new();
        for (index, selector) in selectors.iter().enumerate() {
            let config = watcher::Config::default()
                .labels_from(selector)
                .page_size(PAGE);
            let api: Api<WatchedJob<Seen>> = Api::all(client.clone());
            let watched = watcher(api, config).default_backoff();
            events.push(watched.map(move |event| (index, event)).boxed());
        }
        while let Some((index, event)) = events.next().await {
            match event {
                Ok(event) => self.take(index, event),
                Err(error) => {
                    metrics.failed(Watch::Jobs);
                    tracing::warn!(%error, "failed to watch Jobs, the known state stays in use");
                }
            }
        }
    }

    fn take(&self, index: usize, event: watcher::Event<WatchedJob<Seen>>) {
        let mut known = self.known();
        let (earlier, others) = known.selectors.split_at_mut(index);
        let Some(((matched, listed), later)) = others.split_first_mut() else {
            return;
        };
        let labelled = |uid: &str| !later.is_empty() || has(earlier, uid);
        let mut news = None;
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(job) => {
                let seen = brought(job, labelled);
                let known = matched.as_ref().map(|matched| matched.get(&seen.job.uid));
                // A Job that ended while the watch was down may be deleted before a scan reads it.
                if let Some(former) = known
                    && former.is_none_or(|former| former.end.is_none())
                {
                    news = news_of(former.map(|former| &**former), &seen);
                }
                listed.insert(seen.job.uid.clone(), Arc::clone(&seen.job));
            }
            watcher::Event::InitDone => {
                *matched = Some(std::mem::take(listed));
                let all = known.selectors.iter().all(|(matched, _)| matched.is_some());
                news = all.then_some(News::Listed);
            }
            watcher::Event::Apply(job) => {
                let seen = brought(job, labelled);
                let job = &seen.job;
                let matched = matched.get_or_insert_default();
                let former = matched.insert(job.uid.clone(), Arc::clone(job));
                news = news_of(former.as_deref(), &seen);
            }
            // Also sent if the labels no longer match: then it is not a migration any more.
            watcher::Event::Delete(job) => {
                let last = brought(job, labelled);
                if let Some(matched) = matched {
                    matched.remove(&last.job.uid);
                }
                news = Some(News::Deleted(last));
            }
        }
        drop(known);
        if let Some(news) = news {
            // There may be no subscriber.
            let _ = self.0.news.send(news);
        }
    }

    fn known(&self) -> MutexGuard<'_, KnownJobs> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has(selectors: &[Known], uid: &str) -> bool {
    let mut selectors = selectors.iter();
    selectors.any(|(matched, listed)| {
        listed.contains_key(uid) || matched.as_ref().is_some_and(|jobs| jobs.contains_key(uid))
    })
}

/// A Job that a watch has sent. A labelled one is not adopted, whatever else a client has written on it.
fn brought(job: WatchedJob<Seen>, is_labelled: impl Fn(&str) -> bool) -> Arc<Seen> {
    let mut seen = job.facts;
    if seen.job.adopted.is_some() && is_labelled(&seen.job.uid) {
        Arc::make_mut(&mut seen.job).adopted = None;
    }
    Arc::new(seen)
}

/// The news about a Job that was known as `former`.
fn news_of(former: Option<&StoredJob>, seen: &Arc<Seen>) -> Option<News> {
    let job = &seen.job;
    let was_running = former.is_none_or(|former| former.end.is_none());
    if was_running && job.end.is_some() {
        Some(News::Finished(Arc::clone(seen)))
    } else if former.is_none_or(|former| has_gone_on(former, job)) {
        Some(News::Changed(Arc::clone(seen)))
    } else {
        None
    }
}

/// Whether the change is one that a run records. Other programs also write to a Job.
fn has_gone_on(former: &StoredJob, job: &StoredJob) -> bool {
    let told = |job: &StoredJob| (job.started, job.said, job.is_opted_out);
    told(former) != told(job)
}

#[cfg(test)]
mod tests;
