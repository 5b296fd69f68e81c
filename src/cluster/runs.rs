//! Records the runs of the cluster, one for each migration Job, from the news of a watch.
//!
//! Every replica receives the news and makes sure that they are recorded: the elected one at once, the others a while
//! later, when the run is usually complete. It does not matter which replica writes, or how often, because each write
//! is a join ([`crate::core::runs::Known::join`]). A scan finds what the news missed.

mod error;
mod health;
mod last_words;
mod metrics;
mod queue;
mod scan;
mod store;
mod waiting;
mod worker;

use std::time::Duration;

use futures_util::stream::StreamExt;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::mpsc;
use tokio::time::{self, Instant, MissedTickBehavior};

use super::events::Events;
use super::jobs::{self, Jobs};
use super::leader::Leads;
use crate::core::policy::runs::RunMode;
use crate::core::runs::Known;
use crate::core::runs::active::Active;
use crate::core::runs::event::{News, happenings, renamed_from};
use crate::host::policy_watch::LivePolicy;
pub use health::Trouble;
pub use last_words::{LastWords, Words, last_words};
pub(crate) use metrics::RunMetrics;
use metrics::Wrote;
use store::{Change, Store};
use worker::Worker;

/// How often active migrations are counted.
const COUNTED: Duration = Duration::from_secs(5);

/// The timing of the work; the default except in tests.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long the other replicas wait for the elected one to write.
    pub others: Duration,
    /// How often the runs that have not ended are compared with the Jobs.
    pub scan: Duration,
    /// How long the Job of a run may be missing before the run is `Lost`: news of its end may still arrive.
    pub lost: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            others: Duration::from_secs(10),
            scan: Duration::from_secs(60),
            lost: Duration::from_secs(30),
        }
    }
}

/// Records the runs of migration Jobs.
#[expect(missing_docs, reason = "their types say it")]
pub struct Runs {
    pub client: Client,
    pub jobs: Jobs,
    /// The policy in use: whether runs are recorded, and how many are kept.
    pub policy: LivePolicy,
    pub metrics: RunMetrics,
    pub events: Events,
    /// What prevents runs from being written, for readiness.
    pub trouble: Trouble,
    /// Name of the Lease, in the client's namespace, that is as old as the installation. Runs that ended before that
    /// are recorded without Events and counts.
    pub installation: Option<String>,
    pub pace: Pace,
}

impl Runs {
    /// Records runs for as long as it is awaited. `leads`: whether this replica is elected. `words`: the endings from
    /// reviews of deletions.
    pub async fn run(self, mut words: mpsc::Receiver<Words>, mut leads: Leads) {
        let store = Store::new(self.client.clone());
        let mut news = self.jobs.subscribe();
        let [mut scans, mut counts] = [self.pace.scan, COUNTED].map(|period| {
            let mut ticks = time::interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        let mut worker = Worker::new(&self, &store, leads.now());
        loop {
            worker.begin();
            let due = worker.next();
            tokio::select! {
                told = jobs::next(&mut news) => worker.hear(told),
                Some(said) = words.recv() => worker.hear_last(said),
                Some(done) = worker.working.next() => worker.settle(done),
                () = leads.changed() => worker.lead(leads.now()),
                _ = scans.tick() => worker.look_around(),
                _ = counts.tick() => self.count(),
                () = time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    fn count(&self) {
        // While the Jobs are being listed, nothing is known of them.
        if let Some(jobs) = self.jobs.all() {
            self.metrics.active(Active::of(&jobs, Timestamp::now()));
        }
    }

    fn is_on(&self) -> bool {
        self.policy.current().runs.mode == RunMode::On
    }

    /// Counts a run that has been written, and sends its Events. Recording began at `since`.
    fn tell(&self, change: &Change, since: Timestamp) {
        let runs = &self.metrics;
        runs.wrote(Wrote::Written);
        let known = Known::of(&change.run);
        let news = News::of(&known, change.before, since);
        if news.unreviewed {
            runs.unreviewed();
        }
        if let Some(outcome) = news.ended {
            if known.status.is_superseded() {
                runs.superseded();
            } else {
                runs.ended(outcome, known.status.length());
            }
        }
        let renamed = change.former.as_ref();
        let renamed = renamed.map(|former| renamed_from(former, &change.run));
        for happening in happenings(&change.run, news).into_iter().chain(renamed) {
            tracing::warn!(
                namespace = happening.regarding.namespace,
                reason = happening.reason,
                "{}",
                happening.note
            );
            self.events.tell(happening);
        }
    }
}

/// The time in whole seconds, as in Kubernetes.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
