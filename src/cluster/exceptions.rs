//! The exceptions of the cluster: cached by a watch, for reviews.
//!
//! Reviews never wait: [`status`] records their uses in the background. A cluster without the CRD has no exceptions,
//! and everything else works.

mod status;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{DefaultBackoff, Event};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Notify, mpsc};

use super::WatchMetrics;
use super::events::Events;
use crate::core::exception::resource::{Condition, MigrationException};
use crate::core::exception::{Exception, Use};
use crate::core::policy::rules::RULES;
use crate::host::health::Status;
use crate::host::metrics::{Counters, Registry};
use crate::host::policy_watch::LivePolicy;

/// Namespace and name of an exception.
type Key = (String, String);

/// Most uses that may wait to be recorded. One takes a few hundred bytes, and a replica that answers a thousand reviews
/// a second merges them once a second.
const MAX_WAITING: usize = 1024;
/// Exceptions per page of a list: 2 KB each on the wire.
const PAGE: u32 = 100;
/// Longest pause between tries: the CRD may be installed at any time, and should take effect soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The cache of exceptions. Clones share it; by default it stays empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exceptions(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    known: RwLock<KnownExceptions>,
    watch: RwLock<WatchState>,
    /// Notifies of changes in `known`.
    changed: Notify,
    queue: mpsc::Sender<Use>,
    metrics: ExceptionMetrics,
    failures: WatchMetrics,
}

/// The metrics of exceptions. Clones share the values.
#[derive(Clone, Debug)]
pub(crate) struct ExceptionMetrics {
    used: Counters,
    dropped: Counter,
}

impl ExceptionMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        Self {
            used: registry.counters(
                "exceptions_used",
                "Reviews that an exception allowed, by the rule it exempts from",
                "rule",
                &RULES.iter().map(|rule| rule.id).collect::<Vec<_>>(),
            ),
            dropped: registry.add(
                "exception_uses_dropped",
                "Uses of exceptions that are missing from their status, because too many came at once",
            ),
        }
    }
}

#[derive(Debug, Default)]
struct KnownExceptions {
    entries: BTreeMap<Key, Entry>,
    /// The valid exceptions by namespace, for reviews.
    usable: HashMap<String, Vec<Arc<Exception>>>,
}

/// An exception, or why it is invalid, with the condition in its status.
#[derive(Clone, Debug)]
struct Entry {
    read: Result<Arc<Exception>, String>,
    condition: Option<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum WatchState {
    /// The API server has not answered yet.
    Begun,
    /// All exceptions are known.
    Complete,
    /// The API server refuses it.
    Refused(String),
}

impl Exceptions {
    /// Watches the cluster's exceptions and records their uses, for as long as the future is awaited.
    pub(crate) fn watch(
        client: Client,
        policy: LivePolicy,
        metrics: ExceptionMetrics,
        failures: WatchMetrics,
        events: Events,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, uses) = mpsc::channel(MAX_WAITING);
        let shared = Arc::new(Shared {
            known: RwLock::default(),
            watch: RwLock::new(WatchState::Begun),
            changed: Notify::new(),
            queue,
            metrics,
            failures,
        });
        let writer = status::Writer::new(client.clone(), Arc::clone(&shared), policy, events);
        let watching = Arc::clone(&shared);
        let task = async move {
            tokio::select! {
                () = watching.keep(client) => {}
                () = writer.keep(uses) => {}
            }
        };
        (Self(Some(shared)), task)
    }

    /// The exceptions of a namespace, sorted by name.
    #[must_use]
    pub(crate) fn of(&self, namespace: &str) -> Vec<Arc<Exception>> {
        let Some(shared) = &self.0 else {
            return Vec::new();
        };
        let known = shared.known.read().unwrap_or_else(PoisonError::into_inner);
        known.usable.get(namespace).cloned().unwrap_or_default()
    }

    /// Queues these uses, to be recorded soon.
    pub(crate) fn used(&self, uses: impl IntoIterator<Item = Use>) {
        let Some(shared) = &self.0 else { return };
        for one in uses {
            for rule in &one.rules {
                shared.metrics.used.inc(*rule);
            }
            if shared.queue.try_send(one).is_err() {
                shared.metrics.dropped.inc();
            }
        }
    }

    #[must_use]
    pub(crate) fn status(&self) -> Status {
        let watch = self.0.as_ref().map(|shared| shared.watch());
        match watch {
            Some(WatchState::Begun) => {
                Status::Failed("not all exceptions are known yet".to_owned())
            }
            Some(WatchState::Refused(why)) => Status::Warning(why),
            Some(WatchState::Complete) | None => Status::Ok(String::new()),
        }
    }
}

impl Shared {
    async fn keep(&self, client: Client) {
        // An exception that cannot be parsed, as one with fields of a newer version, must not hide the others.
        let api: Api<DeserializeGuard<MigrationException>> = Api::all(client);
        let events =
            watcher(api, watcher::Config::default().page_size(PAGE)).backoff(Pauses::default());
        let mut events = std::pin::pin!(events);
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(key(&object), Entry::of(&object));
                }
                Ok(Event::InitDone) => {
                    let entries = std::mem::take(&mut listed);
                    self.change(|known| *known = entries);
                    self.tell(WatchState::Complete);
                }
                Ok(Event::Apply(object)) => self.change(|known| {
                    known.insert(key(&object), Entry::of(&object));
                }),
                Ok(Event::Delete(object)) => self.change(|known| {
                    known.remove(&key(&object));
                }),
                Err(error) => self.failed(&error),
            }
        }
    }

    fn failed(&self, error: &watcher::Error) {
        self.failures.failed(super::Watch::Exceptions);
        match refusal(error) {
            Some(404) => {
                self.change(BTreeMap::clear);
                self.tell(WatchState::Refused(
                    "the cluster has no CRD migrationexceptions.migration-warden.io, so there are \
                     no exceptions; install the CRDs of the chart (crds.enabled)"
                        .to_owned(),
                ));
            }
            // Transient errors, such as a closed watch, need no report.
            Some(403) => self.tell(WatchState::Refused(format!(
                "failed to watch exceptions, the known ones stay in use: {error}"
            ))),
            // A replica without exceptions is better than none.
            _ if self.watch() == WatchState::Begun => self.tell(WatchState::Refused(format!(
                "failed to list exceptions, so none is honoured yet: {error}"
            ))),
            _ => {
                tracing::warn!(%error, "failed to watch exceptions, the known ones stay in use");
            }
        }
    }

    fn tell(&self, now: WatchState) {
        let mut watch = self.watch.write().unwrap_or_else(PoisonError::into_inner);
        if *watch == now {
            return;
        }
        if let WatchState::Refused(why) = &now {
            tracing::warn!("{why}");
        } else {
            tracing::info!("all exceptions of the cluster are known");
        }
        *watch = now;
    }

    fn watch(&self) -> WatchState {
        let watch = self.watch.read().unwrap_or_else(PoisonError::into_inner);
        watch.clone()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Key, Entry>)) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let KnownExceptions { entries, usable } = &mut *known;
        change(entries);
        usable.clear();
        for ((namespace, _), entry) in entries.iter() {
            if let Ok(exception) = &entry.read {
                let of_namespace = usable.entry(namespace.clone()).or_default();
                of_namespace.push(Arc::clone(exception));
            }
        }
        drop(known);
        self.changed.notify_one();
    }

    fn entries(&self) -> Vec<(Key, Entry)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let entries = known.entries.iter();
        entries
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect()
    }
}

impl Entry {
    fn of(object: &DeserializeGuard<MigrationException>) -> Self {
        let read = match &object.0 {
            Ok(object) => {
                Exception::new(object, Timestamp::now()).map_err(|error| error.to_string())
            }
            Err(invalid) => Err(invalid.error.clone()),
        };
        Self {
            read: read.map(Arc::new),
            condition: status::condition_of(object).cloned(),
        }
    }
}

/// The pauses between tries: kube's own, but shorter.
#[derive(Default)]
struct Pauses(DefaultBackoff);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(LONGEST_PAUSE))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0.reset();
    }
}

fn key(object: &impl Resource) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// The code with which the API server refused, if it did.
fn refusal(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}
