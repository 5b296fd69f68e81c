//! Sends Kubernetes Events (`events.k8s.io`), so that what happened is seen where people look first.
//!
//! Never on the way of a review: what is told waits in a bounded queue, and what does not fit is counted and
//! left out. What an Event says is [`crate::core::notice`]'s; the whole story is in the record.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{self, Instant};

use super::TIMEOUT;
use crate::core::notice::Happening;
use crate::host::metrics::Metrics;
use crate::host::metrics::events::Sent;

/// Events that may wait, of about a kilobyte each.
const MAX_WAITING: usize = 256;
/// Of one object as many are sent at once, and then one in [`REFILL`]: as client-go limits its own
/// (`EventSourceObjectSpamFilter`). A chart that is tried again and again must not fill etcd.
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_secs(300);

/// Where happenings are told. Clones share it; by default nobody listens.
#[derive(Clone, Debug, Default)]
pub struct Events(Option<Shared>);

#[derive(Clone, Debug)]
struct Shared {
    queue: mpsc::Sender<Happening>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Sends what is told, for as long as the future is awaited.
    pub fn send(
        client: Client,
        replica: String,
        metrics: Arc<Metrics>,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, told) = mpsc::channel(MAX_WAITING);
        let reporter = Reporter {
            controller: "migration-warden.io/webhook".to_owned(),
            instance: Some(replica),
        };
        let sender = Sender {
            recorder: Recorder::new(client, reporter),
            limits: Limits::default(),
            metrics: Arc::clone(&metrics),
        };
        (Self(Some(Shared { queue, metrics })), sender.run(told))
    }

    /// Has an Event sent some time soon, if it can be.
    pub fn tell(&self, happening: Happening) {
        let Some(shared) = &self.0 else { return };
        if shared.queue.try_send(happening).is_err() {
            shared.metrics.event(Sent::Dropped);
        }
    }
}

struct Sender {
    recorder: Recorder,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl Sender {
    async fn run(mut self, mut told: Receiver<Happening>) {
        while let Some(happening) = told.recv().await {
            let result = if self.limits.allow(&happening.regarding, Instant::now()) {
                self.publish(happening).await
            } else {
                Sent::Dropped
            };
            self.metrics.event(result);
        }
        std::future::pending::<()>().await;
    }

    async fn publish(&self, happening: Happening) -> Sent {
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
        let error = match time::timeout(TIMEOUT, published).await {
            Ok(Ok(())) => return Sent::Sent,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the API server did not answer in time".to_owned(),
        };
        let namespace = happening.regarding.namespace;
        tracing::warn!(%error, namespace, reason = event.reason, "failed to send an Event");
        Sent::Failed
    }
}

/// How many Events of an object may still be sent.
#[derive(Debug, Default)]
struct Limits(HashMap<Object, Bucket>);

/// Kind, namespace and name.
type Object = [Option<String>; 3];

#[derive(Debug)]
struct Bucket {
    left: u32,
    refilled: Instant,
}

impl Limits {
    fn allow(&mut self, regarding: &ObjectReference, now: Instant) -> bool {
        // A bucket that has filled up again is as good as none.
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
        let metrics = Arc::new(Metrics::new());
        let (queue, _told) = mpsc::channel(1);
        let events = Events(Some(Shared {
            queue,
            metrics: Arc::clone(&metrics),
        }));
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
        let encoded = metrics.encode();
        assert!(
            encoded.contains("migration_warden_events_total{result=\"dropped\"} 2\n"),
            "{encoded}"
        );
    }
}
