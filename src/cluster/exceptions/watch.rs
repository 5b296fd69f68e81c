//! Keeps the cache of exceptions by a watch, and tells whether it works.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;
use kube::core::{DeserializeGuard, Status};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{DefaultBackoff, Error, Event};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};

use super::{Entry, Key, Shared, WatchState, status};
use crate::cluster::Watch;
use crate::core::exception::Exception;
use crate::core::exception::resource::MigrationException;

/// An exception that cannot be parsed, as one with fields of a newer version, must not hide the others.
type Guarded = DeserializeGuard<MigrationException>;

/// Exceptions per page of a list: 2 KB each on the wire.
const PAGE: u32 = 100;
/// Longest pause between tries: the CRD may be installed at any time, and should take effect soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The events of a watch that never ends, with pauses after errors.
pub(super) fn events(client: Client) -> impl Stream<Item = watcher::Result<Event<Guarded>>> {
    relisted(client).backoff(Pauses::default())
}

/// kube's watcher, which does not tell when a watch that was refused begins. So the exceptions are listed again then.
fn relisted(client: Client) -> impl Stream<Item = watcher::Result<Event<Guarded>>> {
    let config = watcher::Config::default().page_size(PAGE);
    let start = move || watcher(Api::all(client.clone()), config.clone()).boxed();
    stream::unfold((start(), start), async |(mut events, start)| {
        let event = events.next().await?;
        let refused = event.as_ref().err().and_then(refusal);
        if refused.is_some_and(|status| matches!(status.code, 403 | 404)) {
            events = start();
        }
        Some((event, (events, start)))
    })
}

impl Shared {
    pub(super) async fn keep(&self, events: impl Stream<Item = watcher::Result<Event<Guarded>>>) {
        let mut events = pin!(events);
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

    fn failed(&self, error: &Error) {
        self.failures.failed(Watch::Exceptions);
        match refusal(error) {
            Some(status) if is_without_crd(status) => {
                self.change(BTreeMap::clear);
                self.tell(WatchState::Refused(
                    "the cluster has no CRD migrationexceptions.migration-warden.io, so there are \
                     no exceptions; install the CRDs of the chart (crds.enabled)"
                        .to_owned(),
                ));
            }
            // Transient errors, such as a closed watch, need no report.
            Some(Status { code: 403, .. }) => self.tell(WatchState::Refused(format!(
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

    pub(super) fn change(&self, change: impl FnOnce(&mut BTreeMap<Key, Entry>)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }
}

impl Entry {
    fn of(object: &Guarded) -> Self {
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

/// What the API server said when it refused the list or the watch.
fn refusal(error: &Error) -> Option<&Status> {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

/// Whether the API server does not know the resource. Its answer is then the plain text of Go's `http.NotFound`
/// (`k8s.io/apiserver`, `pkg/util/notfoundhandler`). A 404 with other words is about one object, or comes from a proxy.
fn is_without_crd(status: &Status) -> bool {
    status.code == 404 && status.message.contains("404 page not found")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};
    use tokio::sync::Notify;

    use super::*;
    use crate::cluster::WatchMetrics;
    use crate::cluster::api::testing;
    use crate::cluster::events::Events;
    use crate::cluster::exceptions::{ExceptionMetrics, Exceptions};
    use crate::host::health;
    use crate::host::metrics::Registry;
    use crate::host::policy_watch::{LivePolicy, PolicyMetrics};

    type Answer = (u16, Value);

    fn list() -> Answer {
        let hurry = json!({
            "metadata": {"name": "hurry", "namespace": "shop", "uid": "u1"},
            "spec": {
                "rules": ["MW001"], "selector": {"names": ["*"]}, "reason": "x",
                "expiresAt": "2099-01-01T00:00:00Z",
            },
        });
        let list = json!({"metadata": {"resourceVersion": "1"}, "items": [hurry]});
        (200, list)
    }

    fn status(code: u16, message: &str) -> Answer {
        (
            code,
            json!({"status": "Failure", "code": code, "message": message}),
        )
    }

    /// How many exceptions are known, and the status, after requests got these answers and the next one gets none.
    async fn after(answers: Vec<Answer>) -> (usize, health::Status) {
        let (answers, over) = (Mutex::new(answers.into_iter()), Arc::new(Notify::new()));
        let waits = Arc::clone(&over);
        let client = testing::client(move |_| {
            let (answer, over) = (answers.lock().unwrap().next(), Arc::clone(&over));
            async move {
                if let Some(answer) = answer {
                    return answer;
                }
                over.notify_one();
                std::future::pending().await
            }
        });
        let mut registry = Registry::new();
        let policy = LivePolicy::builtin(&PolicyMetrics::new(&mut registry));
        let metrics = ExceptionMetrics::new(&mut registry);
        let failures = WatchMetrics::new(&mut registry);
        let events = relisted(client.clone());
        let (exceptions, _) =
            Exceptions::watch(client, policy, metrics, failures, Events::default());
        let shared = exceptions.0.clone().unwrap();
        tokio::select! {
            () = shared.keep(events) => panic!("the watch has ended"),
            () = waits.notified() => {}
        }
        (exceptions.of("shop").len(), exceptions.status())
    }

    #[tokio::test]
    async fn a_refusal_is_told_until_it_is_over() {
        let no_crd = || (404, json!("404 page not found"));
        let ok = || health::Status::Ok(String::new());
        for (answers, known, told) in [
            (vec![list()], 1, None),
            (vec![list(), status(403, "no")], 1, Some("known ones stay")),
            (vec![list(), status(403, "no"), list()], 1, None),
            (vec![status(403, "no")], 0, Some("known ones stay")),
            (vec![status(500, "no")], 0, Some("none is honoured yet")),
            (vec![no_crd()], 0, Some("has no CRD")),
            (vec![list(), no_crd()], 0, Some("has no CRD")),
            (vec![list(), no_crd(), list()], 1, None),
            // About one object, and of a proxy.
            (vec![list(), status(404, "\"hurry\" not found")], 1, None),
            (vec![list(), (404, json!("<html>nginx</html>"))], 1, None),
        ] {
            let what = format!("{answers:?}");
            let found = after(answers).await;
            assert_eq!(found.0, known, "{what}");
            match told {
                None => assert_eq!(found.1, ok(), "{what}"),
                Some(told) => {
                    assert!(
                        matches!(&found.1, health::Status::Warning(why) if why.contains(told)),
                        "{what} {found:?}"
                    );
                }
            }
        }
    }
}
