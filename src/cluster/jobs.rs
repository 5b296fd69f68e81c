//! The migration Jobs of the cluster, kept by a watch, and news of them.
//!
//! Every replica keeps it. It is a cache: whoever writes on the strength of it names the uid, and what has to
//! be certain is asked of the apiserver. Detected Jobs are not in it, because no selector finds them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{SelectAll, StreamExt};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::broadcast;

use crate::config::reload::LivePolicy;
use crate::job::stored::{StoredJob, WatchedJob};
use crate::policy::select::Selectors;

/// Jobs in one page of a list: 7 KB each as they are sent, and kept with some hundred bytes.
const PAGE: u32 = 100;
/// How often the selectors are compared with those of the policy in use.
const PERIOD: Duration = Duration::from_secs(1);
/// News that a slow subscriber may be behind before it has to look at everything.
const NEWS: usize = 256;

/// What has happened.
#[derive(Clone, Debug)]
pub enum News {
    /// All Jobs were listed; any of them may have changed, and others may be gone.
    Listed,
    /// A Job has finished.
    Finished(Arc<StoredJob>),
    /// A Job is gone.
    Deleted(Arc<StoredJob>),
}

/// What is known of migration Jobs. Clones share it.
#[derive(Clone, Debug)]
pub struct Jobs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    known: Mutex<Known>,
    news: broadcast::Sender<News>,
}

/// The Jobs that one selector matches, by uid.
type Matched = HashMap<String, Arc<StoredJob>>;

#[derive(Debug, Default)]
struct Known {
    /// For each selector what is known, and what its list has brought so far while it is not complete.
    selectors: Vec<(Option<Matched>, Matched)>,
}

impl Default for Jobs {
    fn default() -> Self {
        let news = broadcast::Sender::new(NEWS);
        let known = Mutex::default();
        Self(Arc::new(Shared { known, news }))
    }
}

impl Jobs {
    /// All of them; nothing while they are not all known.
    #[must_use]
    pub fn all(&self) -> Option<Vec<Arc<StoredJob>>> {
        let known = self.known();
        let mut all = Matched::new();
        for (matched, _) in &known.selectors {
            let entries = matched.as_ref()?.iter();
            all.extend(entries.map(|(uid, job)| (uid.clone(), Arc::clone(job))));
        }
        (!known.selectors.is_empty()).then(|| all.into_values().collect())
    }

    /// News from now on. Who lags behind has to look at [`all`](Self::all).
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<News> {
        self.0.news.subscribe()
    }

    /// Watches, for as long as it is awaited; anew when the policy has other selectors.
    pub async fn watch(self, client: Client, policy: LivePolicy) {
        loop {
            let selectors = policy.current().selectors.clone();
            let same = |now: &Selectors| now.as_written() == selectors.as_written();
            let changed = async {
                while same(&policy.current().selectors) {
                    tokio::time::sleep(PERIOD).await;
                }
            };
            tokio::select! {
                () = self.watch_these(&client, &selectors) => {}
                () = changed => {}
            }
        }
    }

    async fn watch_these(&self, client: &Client, selectors: &Selectors) {
        let parsed = selectors.parsed();
        self.known().selectors = parsed.iter().map(|_| Default::default()).collect();
        let mut events = SelectAll::new();
        for (index, selector) in parsed.iter().enumerate() {
            let config = watcher::Config::default()
                .labels_from(selector)
                .page_size(PAGE);
            let api: Api<WatchedJob> = Api::all(client.clone());
            let watched = watcher(api, config).default_backoff();
            events.push(watched.map(move |event| (index, event)).boxed());
        }
        while let Some((index, event)) = events.next().await {
            match event {
                Ok(event) => self.take(index, event),
                Err(error) => {
                    tracing::warn!(%error, "failed to watch Jobs, what was known stays in use");
                }
            }
        }
    }

    fn take(&self, index: usize, event: watcher::Event<WatchedJob>) {
        let mut known = self.known();
        let Some((matched, listed)) = known.selectors.get_mut(index) else {
            return;
        };
        let mut news = None;
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(job) => {
                let job = StoredJob::from(job);
                listed.insert(job.uid.clone(), Arc::new(job));
            }
            watcher::Event::InitDone => {
                *matched = Some(std::mem::take(listed));
                let all = known.selectors.iter().all(|(matched, _)| matched.is_some());
                news = all.then_some(News::Listed);
            }
            watcher::Event::Apply(job) => {
                let job = Arc::new(StoredJob::from(job));
                let matched = matched.get_or_insert_default();
                let former = matched.insert(job.uid.clone(), Arc::clone(&job));
                let was_running = former.is_none_or(|former| former.end.is_none());
                news = (was_running && job.end.is_some()).then_some(News::Finished(job));
            }
            // Also for one whose labels no longer match: it is then no migration of ours.
            watcher::Event::Delete(job) => {
                let uid = job.uid().unwrap_or_default();
                let former = matched.as_mut().and_then(|matched| matched.remove(&uid));
                let last = || Arc::new(StoredJob::from(job));
                news = Some(News::Deleted(former.unwrap_or_else(last)));
            }
        }
        drop(known);
        if let Some(news) = news {
            // Nobody may have subscribed.
            let _ = self.0.news.send(news);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
