//! How a Job ended, from the review of its deletion, in case the watch missed it.
//!
//! A review waits for this only if the watch does not know the Job: then the API server, which still has the Job, is
//! asked to confirm it.

use std::sync::Arc;
use std::time::Duration;

use kube::{Api, Client};
use serde::Deserialize;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, timeout_at};

use super::queue::Key;
use crate::cluster::jobs::{Jobs, Seen};
use crate::cluster::seats::Seats;
use crate::core::job::dns;
use crate::core::job::stored::WatchedJob;
use crate::core::runs::Ending;
use crate::host::metrics::Metrics;
use crate::host::metrics::runs::Wrote;

/// Most endings that may wait: some hundred bytes each, or at most 20 KB with a confirmed Job.
const MAX_WAITING: usize = 64;
/// Concurrent GETs of Jobs, in all and per namespace: any Job may be large.
const GETS: usize = 8;
const GETS_SHARE: usize = 2;
/// How long an unknown Job may delay a review.
const LOOKUP: Duration = Duration::from_millis(500);

/// The ending that a review of a deletion shows.
#[derive(Debug)]
pub struct Words(pub(super) Heard);

/// How a Job ended, from a review, if the watch has not shown it.
#[derive(Debug)]
pub struct Unheard {
    key: Key,
    ending: Ending,
    /// Whether the watch knows the Job.
    is_known: bool,
}

#[derive(Debug)]
pub(super) enum Heard {
    /// A Job that the API server has confirmed.
    Confirmed(Seen),
    /// How this Job ended, according to the review only.
    Said(Key, Ending),
}

/// Receives endings from reviews. By default it drops them.
#[derive(Clone, Default)]
pub struct LastWords(Option<Shown>);

#[derive(Clone)]
struct Shown {
    sender: mpsc::Sender<Words>,
    jobs: Jobs,
    client: Client,
    gets: Arc<Seats>,
    metrics: Arc<Metrics>,
}

/// The sending and the receiving side. The client reads Jobs that are not in `jobs`.
#[must_use]
pub fn last_words(
    jobs: Jobs,
    client: Client,
    metrics: Arc<Metrics>,
) -> (LastWords, mpsc::Receiver<Words>) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let shown = Shown {
        sender,
        jobs,
        client,
        gets: Arc::new(Seats::new(GETS, GETS_SHARE)),
        metrics,
    };
    (LastWords(Some(shown)), receiver)
}

impl LastWords {
    /// Reads from a review how the Job with this uid ended, if that is new. Takes time in proportion to the review's
    /// size.
    #[must_use]
    pub fn read(&self, uid: &str, body: &[u8]) -> Option<Unheard> {
        let known = self.0.as_ref()?.jobs.get(uid);
        // Usually the watch was faster, and the review need not be parsed a second time.
        if known.as_ref().is_some_and(|job| job.end.is_some()) {
            return None;
        }
        let (key, ending) = read(body)?;
        Some(Unheard {
            key,
            ending,
            is_known: known.is_some(),
        })
    }

    /// Queues an ending, if there is room.
    pub async fn leave(&self, unheard: Unheard, deadline: Instant) {
        let Some(shown) = &self.0 else {
            return;
        };
        let Unheard { key, ending, .. } = unheard;
        let words = if unheard.is_known {
            Heard::Said(key, ending)
        } else {
            shown.confirm(key, ending, deadline).await
        };
        if let Err(TrySendError::Full(_)) = shown.sender.try_send(Words(words)) {
            shown.metrics.runs.wrote(Wrote::Dropped);
        }
    }
}

impl Shown {
    async fn confirm(&self, key: Key, ending: Ending, deadline: Instant) -> Heard {
        let deadline = deadline.min(Instant::now() + LOOKUP);
        let api: Api<WatchedJob> = Api::namespaced(self.client.clone(), &key.namespace);
        let asked = async {
            let _seat = self.gets.take(&key.namespace).await;
            api.get_opt(&key.job).await
        };
        match timeout_at(deadline, asked).await {
            Ok(Ok(Some(job))) if job.metadata.uid == key.uid => Heard::Confirmed(job.into()),
            _ => Heard::Said(key, ending),
        }
    }
}

#[derive(Deserialize)]
struct Review {
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    namespace: String,
    old_object: WatchedJob,
}

/// The Job in a review, and how it ended.
pub(super) fn read(body: &[u8]) -> Option<(Key, Ending)> {
    let review: Review = serde_json::from_slice(body).ok()?;
    let seen = Seen::from(review.request.old_object);
    let ending = Ending::of(&seen.job, &seen.facts)?;
    let mut key = Key::of(&seen.job);
    key.namespace = review.request.namespace;
    // The names become part of the request's path.
    let is_named = dns::is_label(&key.namespace) && dns::is_subdomain(&key.job);
    is_named.then_some((key, ending))
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;
    use kube::Config;
    use serde_json::{Value, json};

    use super::*;
    use crate::core::runs::resource::Outcome;

    fn ended() -> Value {
        json!({
            "metadata": {"name": "x-1", "namespace": "team", "uid": "u1"},
            "status": {"conditions": [{
                "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
                "message": "--password=hunter2hunter2",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        })
    }

    #[test]
    fn the_end_is_read_and_nothing_else() {
        let review = json!({"request": {"namespace": "team", "oldObject": ended()}});
        let (key, ending) = read(review.to_string().as_bytes()).unwrap();
        assert_eq!(
            (&*key.namespace, &*key.job, &*key.uid),
            ("team", "x-1", "u1")
        );
        assert_eq!(
            ending,
            Ending {
                outcome: Outcome::Failed,
                at: "2026-01-01T00:00:00Z".parse().unwrap(),
                reason: Some("BackoffLimitExceeded".to_owned()),
                message: Some("--password=***".to_owned()),
            }
        );
        let mut unended = review.clone();
        unended["request"]["oldObject"]["status"] = json!({});
        assert!(read(unended.to_string().as_bytes()).is_none());
        assert!(read(b"{}").is_none());
        let mut elsewhere = review;
        elsewhere["request"]["namespace"] = json!("../../../../api/v1/nodes");
        assert!(read(elsewhere.to_string().as_bytes()).is_none());
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_counted_and_dropped() {
        let metrics = Arc::new(Metrics::new());
        let nobody = Config::new(Uri::from_static("http://127.0.0.1:1"));
        let client = Client::try_from(nobody).unwrap();
        let (words, mut received) = last_words(Jobs::default(), client, Arc::clone(&metrics));
        let deadline = Instant::now() + LOOKUP;
        let review = json!({"request": {"namespace": "team", "oldObject": ended()}}).to_string();
        for _ in 0..=MAX_WAITING {
            let unheard = words.read("u1", review.as_bytes()).unwrap();
            words.leave(unheard, deadline).await;
        }
        let mut count = 0;
        // The API server could not confirm it.
        while let Ok(Words(Heard::Said(key, _))) = received.try_recv() {
            assert_eq!(key.uid, "u1");
            count += 1;
        }
        assert_eq!(count, MAX_WAITING);
        let line = "migration_warden_run_writes_total{result=\"dropped\"} 1";
        assert!(metrics.encode().lines().any(|found| found == line));
        let nowhere = LastWords::default();
        assert!(nowhere.read("u1", review.as_bytes()).is_none());
    }
}
