//! Sends Kubernetes Events (`events.k8s.io`), because that is where users look first.
//!
//! Never in the path of a review: Events wait in a bounded queue, and those that do not fit are counted and dropped.
//! [`crate::core::notice`] defines the Events. The full record is the decision log.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use strum::{IntoStaticStr, VariantNames};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::Instant;

use super::api::ask;
use crate::core::notice::Happening;
use crate::host::metrics::{Counters, Registry};

/// Most Events that may wait, of about a kilobyte each.
const MAX_WAITING: usize = 256;
/// Most Events of one object that are sent at once; after that one per [`REFILL`], the limit of client-go
/// (`EventSourceObjectSpamFilter`). A chart that is retried all the time must not fill etcd.
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_secs(300);

/// Counts Events. Clones share the values.
#[derive(Clone, Debug)]
pub struct EventMetrics(Counters);

impl EventMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        Self(registry.counters(
            "events",
            "Kubernetes Events about migrations, by whether they were sent",
            "result",
            Delivery::VARIANTS,
        ))
    }
}

#[derive(Clone, Copy, Debug, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
enum Delivery {
    /// The API server stored it.
    Sent,
    /// The API server denied it or did not answer.
    Failed,
    /// It was not sent, because there were too many Events.
    Dropped,
}

/// The queue of Events. Clones share it; by default it drops them.
#[derive(Clone, Debug, Default)]
pub struct Events(Option<Shared>);

#[derive(Clone, Debug)]
struct Shared {
    queue: mpsc::Sender<Happening>,
    metrics: EventMetrics,
}

impl Events {
    /// Sends the queued Events, for as long as the future is awaited.
    pub fn send(
        client: Client,
        replica: String,
        metrics: EventMetrics,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, told) = mpsc::channel(MAX_WAITING);
        let reporter = Reporter {
            controller: "migration-warden.io/webhook".to_owned(),
            instance: Some(replica),
        };
        let sender = Sender {
            recorder: Recorder::new(client, reporter),
            limits: Limits::default(),
            metrics: metrics.clone(),
        };
        (Self(Some(Shared { queue, metrics })), sender.run(told))
    }

    /// Queues an Event, if there is room.
    pub(crate) fn tell(&self, happening: Happening) {
        let Some(shared) = &self.0 else { return };
        if shared.queue.try_send(happening).is_err() {
            shared.metrics.0.inc(Delivery::Dropped);
        }
    }
}

struct Sender {
    recorder: Recorder,
    limits: Limits,
    metrics: EventMetrics,
}

impl Sender {
    async fn run(mut self, mut told: Receiver<Happening>) {
        while let Some(happening) = told.recv().await {
            let result = if self.limits.allow(&happening.regarding, Instant::now()) {
                self.publish(happening).await
            } else {
                Delivery::Dropped
            };
            self.metrics.0.inc(result);
        }
        std::future::pending::<()>().await;
    }

    async fn publish(&self, happening: Happening) -> Delivery {
        let event = Event {
            type_: if happening.is_warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: happening.reason.to_owned(),
            note: Some(happening.note),
            action: happening.action.to_owned(),
            secondary: happening.related,
        };
        let published = self.recorder.publish(&event, &happening.regarding);
        let Err(error) = ask("create events", published).await else {
            return Delivery::Sent;
        };
        let namespace = happening.regarding.namespace;
        tracing::warn!(%error, namespace, reason = event.reason, "failed to send an Event");
        Delivery::Failed
    }
}

/// The number of Events that may still be sent, per object.
#[derive(Debug, Default)]
struct Limits(HashMap<Object, Bucket>);

/// Kind, namespace and name of an object.
type Object = [Option<String>; 3];

#[derive(Debug)]
struct Bucket {
    left: u32,
    refilled: Instant,
}

impl Limits {
    fn allow(&mut self, regarding: &ObjectReference, now: Instant) -> bool {
        // A bucket that is full again need not be kept.
        self.0.retain(|_, bucket| {
            while bucket.left < BURST && now.duration_since(bucket.refilled) >= REFILL {
                bucket.left += 1;
                bucket.refilled += REFILL;
            }
            bucket.left < BURST
        });
        let object = [&regarding.kind, &regarding.namespace, &regarding.name].map(Clone::clone);
        let bucket = self.0.entry(object).or_insert(Bucket {
            left: BURST,
            refilled: now,
        });
        let allowed = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::notice::namespace;

    #[test]
    fn a_flood_about_one_object_is_cut_short_and_others_are_heard() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let mut sent = |name: &str, at: Instant| limits.allow(&namespace(name), at);
        let first = (0..40).filter(|_| sent("noisy", now)).count();
        assert_eq!(first, 25);
        assert!(sent("quiet", now));
        assert!(!sent("noisy", now + REFILL - Duration::from_secs(1)));
        assert!(sent("noisy", now + REFILL));
        assert!(!sent("noisy", now + REFILL));
        let later = now + REFILL * 100;
        assert_eq!((0..40).filter(|_| sent("noisy", later)).count(), 25);
    }

    #[test]
    fn nothing_is_kept_of_objects_that_are_quiet() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        for name in ["a", "b", "c"] {
            limits.allow(&namespace(name), now);
        }
        limits.allow(&namespace("d"), now + REFILL * 2);
        assert_eq!(limits.0.len(), 1);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_nobody_waits() {
        let mut registry = Registry::new();
        let metrics = EventMetrics::new(&mut registry);
        let (queue, _told) = mpsc::channel(1);
        let events = Events(Some(Shared { queue, metrics }));
        for _ in 0..3 {
            events.tell(Happening {
                regarding: namespace("shop"),
                related: None,
                is_warning: true,
                reason: "MigrationDenied",
                action: "Deny",
                note: String::new(),
            });
        }
        let encoded = registry.encode();
        assert!(
            encoded.contains("migration_warden_events_total{result=\"dropped\"} 2\n"),
            "{encoded}"
        );
    }
}
