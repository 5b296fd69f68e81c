//! How a Job ended, from the review of its deletion, in case the watch missed it.
//!
//! A review waits for this only if the watch does not know the Job: then the API server, which still has the Job, is
//! asked to confirm it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::Instant;

use super::metrics::{RunMetrics, Wrote};
use super::waiting::JobKey;
use crate::cluster::api::by;
use crate::cluster::api::seats::Seats;
use crate::cluster::jobs::{self, Jobs, Seen};
use crate::core::job::{Job, dns, release};
use crate::core::runs::Ending;

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

#[derive(Debug)]
pub(super) enum Heard {
    /// A Job that the API server has confirmed.
    Confirmed(Seen),
    /// How this Job ended, according to the review only.
    Said(JobKey, Ending),
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
    metrics: RunMetrics,
}

/// The sending and the receiving side. The client reads Jobs that are not in `jobs`.
#[must_use]
pub fn last_words(
    jobs: Jobs,
    client: Client,
    metrics: RunMetrics,
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
    /// Queues how this Job ended, if the watch has not shown it and there is room.
    pub async fn leave(&self, job: &Job<'_>, deadline: Instant) {
        let Some(shown) = &self.0 else {
            return;
        };
        let known = shown.jobs.get(&job.metadata.uid);
        // Usually the watch was faster.
        if known.as_ref().is_some_and(|job| job.end.is_some()) {
            return;
        }
        let Some((key, ending)) = said(job) else {
            return;
        };
        let words = if known.is_some() {
            Heard::Said(key, ending)
        } else {
            shown.confirm(key, ending, deadline).await
        };
        if let Err(TrySendError::Full(_)) = shown.sender.try_send(Words(words)) {
            shown.metrics.wrote(Wrote::Dropped);
        }
    }
}

impl Shown {
    async fn confirm(&self, key: JobKey, ending: Ending, deadline: Instant) -> Heard {
        let deadline = deadline.min(Instant::now() + LOOKUP);
        let asked = async {
            let _seat = self.gets.take(&key.namespace).await;
            jobs::find(&self.client, &key.namespace, &key.job, &key.uid).await
        };
        match by(deadline, asked).await {
            Ok(Some(job)) => Heard::Confirmed(job),
            _ => Heard::Said(key, ending),
        }
    }
}

/// The Job of a review, and how it ended.
fn said(job: &Job<'_>) -> Option<(JobKey, Ending)> {
    let (namespace, name) = (job.namespace, job.name.full());
    // The names become part of the request's path.
    if !dns::is_label(namespace) || !dns::is_subdomain(name) {
        return None;
    }
    let key = JobKey {
        namespace: namespace.to_owned(),
        job: name.to_owned(),
        uid: job.metadata.uid.to_string(),
        release: release::find(job).0.to_owned(),
        created: job.created.unwrap_or(Timestamp::MAX),
    };
    Some((key, Ending::said(job)?))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::api::testing;
    use crate::core::job::Kind;
    use crate::core::job::object::Object;
    use crate::core::runs::resource::Outcome;
    use crate::host::metrics::Registry;

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

    fn read(job: &Value, namespace: &str) -> Option<(JobKey, Ending)> {
        let object = Object::deserialize(job).unwrap();
        said(&Job::new(&object, Kind::Job, namespace))
    }

    #[test]
    fn the_end_is_read_and_nothing_else() {
        let (key, ending) = read(&ended(), "team").unwrap();
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
        let mut unended = ended();
        unended["status"] = json!({});
        assert!(read(&unended, "team").is_none());
        assert!(read(&json!({}), "team").is_none());
        assert!(read(&ended(), "../../../../api/v1/nodes").is_none());
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_counted_and_dropped() {
        let mut registry = Registry::new();
        let metrics = RunMetrics::new(&mut registry);
        let client = testing::client(|_| std::future::ready((500, json!({}))));
        let (words, mut received) = last_words(Jobs::default(), client, metrics);
        let deadline = Instant::now() + LOOKUP;
        let ended = ended();
        let object = Object::deserialize(&ended).unwrap();
        let job = Job::new(&object, Kind::Job, "team");
        for _ in 0..=MAX_WAITING {
            words.leave(&job, deadline).await;
        }
        let mut count = 0;
        // The API server could not confirm it.
        while let Ok(Words(Heard::Said(key, _))) = received.try_recv() {
            assert_eq!(key.uid, "u1");
            count += 1;
        }
        assert_eq!(count, MAX_WAITING);
        let line = "migration_warden_run_writes_total{result=\"dropped\"} 1";
        assert!(registry.encode().lines().any(|found| found == line));
        LastWords::default().leave(&job, deadline).await;
    }
}
