//! Counts the migrations that have not started, for an alert.
//!
//! Each replica counts by itself. It lists the pods of a Job only if the Job is old enough and its own status does not
//! show that it has started, and never again once it has.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::api::{every, in_time};
use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;

use super::jobs::Jobs;
use super::pods::Pods;
use crate::core::job::running::{Progress, progress};
use crate::core::job::stored::StoredJob;
use crate::core::runs::active::{Start, start};
use crate::host::metrics::Registry;

/// How often they are counted, so the greatest delay of the alert.
const PERIOD: Duration = Duration::from_secs(30);
/// Most Jobs whose pods are listed in one round; the others wait for the next one.
const ASKED: usize = 32;

pub(crate) fn metric(registry: &mut Registry) -> Gauge {
    registry.add(
        "runs_not_started",
        "Migration Jobs that have not started ten minutes after their creation, as seen by this replica",
    )
}

pub(crate) struct Starts {
    pub(crate) jobs: Jobs,
    pub(crate) pods: Pods,
    pub(crate) late: Gauge,
}

impl Starts {
    /// Counts the migrations that have not started, for as long as it is awaited.
    pub(crate) async fn run(self) {
        let mut ticks = every(PERIOD);
        // The uids of migrations that have started.
        let mut started = HashSet::new();
        loop {
            ticks.tick().await;
            // While the Jobs are being listed, nothing is known of them.
            let Some(jobs) = self.jobs.all() else {
                continue;
            };
            let existing: HashSet<&str> = jobs.iter().map(|job| &*job.uid).collect();
            started.retain(|uid: &String| existing.contains(&**uid));
            let late = self.late(&jobs, &mut started, Timestamp::now()).await;
            self.late.set(late);
        }
    }

    /// The number of these Jobs that are late.
    async fn late(
        &self,
        jobs: &[Arc<StoredJob>],
        started: &mut HashSet<String>,
        now: Timestamp,
    ) -> i64 {
        let (mut late, mut asked) = (0, 0);
        for job in jobs {
            if started.contains(&job.uid) {
                continue;
            }
            let has_started = match start(job, now) {
                Start::Done => true,
                Start::Late => false,
                Start::Unclear if asked < ASKED => {
                    asked += 1;
                    match self.has_started(job).await {
                        Some(has_started) => has_started,
                        None => continue,
                    }
                }
                // The next round lists their pods.
                Start::Young | Start::Unclear => continue,
            };
            if has_started {
                started.insert(job.uid.clone());
            } else {
                late += 1;
            }
        }
        late
    }

    /// Whether the pods of a Job show that it has started; `None` if they cannot be listed.
    async fn has_started(&self, job: &StoredJob) -> Option<bool> {
        let (namespace, uid) = (&job.namespace, &job.uid);
        match in_time(self.pods.of(namespace, uid)).await {
            Ok(pods) => Some(!matches!(progress(&pods), Progress::NotStarted(_))),
            Err(error) => {
                let job = &job.name;
                tracing::debug!(%error, %namespace, %job, "failed to list the pods of a migration");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::api::testing;
    use crate::core::policy::testing::stored;

    /// A Job whose status shows only that it has one active pod.
    fn jobs() -> Vec<Arc<StoredJob>> {
        let job = json!({
            "metadata": {
                "name": "x", "namespace": "shop", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "status": {"active": 1, "ready": 0},
        });
        vec![Arc::new(stored(&job, |job| StoredJob::from(job)))]
    }

    fn pods(state: &Value) -> Value {
        json!({"metadata": {}, "items": [{"status": {"phase": "Pending", "initContainerStatuses": [{
            "name": "migrate", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        }]}}]})
    }

    #[tokio::test]
    async fn a_migration_in_an_init_container_is_late_until_it_starts() {
        let said = Arc::new(Mutex::new(json!(null)));
        let answers = Arc::clone(&said);
        let client = testing::client(move |_| {
            let answer = answers.lock().unwrap().clone();
            std::future::ready((200, answer))
        });
        let starts = Starts {
            jobs: Jobs::default(),
            pods: Pods::new(client, 1),
            late: Gauge::default(),
        };
        let mut started = HashSet::new();
        let (jobs, now) = (jobs(), "2026-01-01T00:10:00Z".parse().unwrap());
        for (answer, late) in [
            // Without an answer there is no alert.
            (json!("no list"), 0),
            (pods(&json!({"waiting": {"reason": "ImagePullBackOff"}})), 1),
            (pods(&json!({"running": {}})), 0),
            // Once started, it stays started.
            (pods(&json!({"waiting": {"reason": "ImagePullBackOff"}})), 0),
        ] {
            *said.lock().unwrap() = answer.clone();
            assert_eq!(
                starts.late(&jobs, &mut started, now).await,
                late,
                "{answer}"
            );
        }
    }
}
