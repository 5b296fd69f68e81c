//! The exceptions of the cluster: cached by a watch, for reviews.
//!
//! Reviews never wait: [`watch`] keeps the cache, and [`status`] records their uses in the background. A cluster without
//! the CRD has no exceptions, and everything else works.

mod status;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use kube::Client;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Notify, mpsc};

use super::WatchMetrics;
use super::events::Events;
use crate::core::exception::resource::Condition;
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

/// The cache of exceptions. Clones share it; by default it stays empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exceptions(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    known: RwLock<BTreeMap<Key, Entry>>,
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
                () = watching.keep(watch::events(client)) => {}
                () = writer.keep(uses) => {}
            }
        };
        (Self(Some(shared)), task)
    }

    /// The valid exceptions of a namespace, sorted by name.
    #[must_use]
    pub(crate) fn of(&self, namespace: &str) -> Vec<Arc<Exception>> {
        let Some(shared) = &self.0 else {
            return Vec::new();
        };
        let first = (namespace.to_owned(), String::new());
        let known = shared.known();
        let of_namespace = known
            .range(first..)
            .take_while(|(key, _)| key.0 == namespace);
        let valid = of_namespace.filter_map(|(_, entry)| entry.read.as_ref().ok());
        valid.cloned().collect()
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
    fn known(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Entry>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> WatchState {
        let watch = self.watch.read().unwrap_or_else(PoisonError::into_inner);
        watch.clone()
    }
}
