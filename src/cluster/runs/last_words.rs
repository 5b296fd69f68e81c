//! How a Job ended, as the review of its deletion shows it: for a watch that was away.
//!
//! A review never waits for this: what cannot be taken at once is left to the watch.

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::queue::Key;
use crate::cluster::jobs::Seen;
use crate::job::stored::WatchedJob;
use crate::metrics::Metrics;
use crate::metrics::runs::Wrote;
use crate::run::Ending;

/// Reviews that may wait to be read.
const MAX_WAITING: usize = 64;
/// A review of the guide's Job has 7 KB. With the limit above this is 4 MiB at most.
const MAX_BODY: usize = 64 * 1024;

/// Where reviews leave what they show. By default nowhere.
#[derive(Clone, Debug, Default)]
pub struct LastWords(Option<(mpsc::Sender<Vec<u8>>, Arc<Metrics>)>);

/// Where they leave it, and where it is read.
#[must_use]
pub fn last_words(metrics: Arc<Metrics>) -> (LastWords, mpsc::Receiver<Vec<u8>>) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    (LastWords(Some((sender, metrics))), receiver)
}

impl LastWords {
    /// Takes a review that shows how a Job ended, if there is room for it.
    pub fn take(&self, body: &[u8]) {
        let Some((sender, metrics)) = &self.0 else {
            return;
        };
        if body.len() > MAX_BODY {
            return;
        }
        if let Err(TrySendError::Full(_)) = sender.try_send(body.to_vec()) {
            metrics.runs.wrote(Wrote::Dropped);
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

/// Which Job a review shows, and how that ended.
pub(super) fn read(body: &[u8]) -> Option<(Key, Ending)> {
    let review: Review = serde_json::from_slice(body).ok()?;
    let seen = Seen::from(review.request.old_object);
    let ending = Ending::of(&seen.job, &seen.facts)?;
    let mut key = Key::of(&seen.job);
    key.namespace = review.request.namespace;
    Some((key, ending))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::run::resource::Outcome;

    #[test]
    fn the_end_is_read_and_nothing_else() {
        let job = json!({
            "metadata": {"name": "x-1", "namespace": "team", "uid": "u1"},
            "status": {"conditions": [{
                "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
                "message": "--password=hunter2hunter2",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        });
        let review = json!({"request": {"namespace": "team", "oldObject": job}});
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
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_dropped() {
        let metrics = Arc::new(Metrics::new());
        let (words, mut received) = last_words(Arc::clone(&metrics));
        for _ in 0..=MAX_WAITING {
            words.take(b"{}");
        }
        words.take(&vec![b' '; MAX_BODY + 1]);
        let mut count = 0;
        while received.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, MAX_WAITING);
        let line = "migration_warden_run_writes_total{result=\"dropped\"} 1";
        assert!(metrics.encode().lines().any(|found| found == line));
        LastWords::default().take(b"{}");
    }
}
