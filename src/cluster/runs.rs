//! Runs of the cluster: one for each migration Job, made and finished from what the watch tells.
//!
//! Every replica keeps the news and sees to it that they are written: the elected one at once, the others a while
//! later, when the run mostly says it all. It does not matter who writes, or how often, because what is written is a
//! join ([`crate::core::runs::Known::join`]). What the news cannot tell, because nobody listened, a scan finds out.

mod error;
mod last_words;
mod queue;
mod scan;
mod store;
mod health;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::StreamExt;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{self, Instant, MissedTickBehavior};

use super::events::Events;
use super::jobs::Jobs;
use crate::core::policy::runs::RunMode;
use crate::core::runs::Known;
use crate::core::runs::active::Active;
use crate::core::runs::event::{News, happenings};
use crate::host::metrics::Metrics;
use crate::host::metrics::runs::Wrote;
use crate::host::policy_watch::LivePolicy;
pub use last_words::{LastWords, Words, last_words};
use store::{Change, Store};
pub use health::Trouble;
use worker::Worker;

/// How often what is active is counted.
const COUNTED: Duration = Duration::from_secs(5);

/// When what is done; the default, but in tests.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a replica that was not elected leaves the writing to the one that was.
    pub others: Duration,
    /// How often the runs that have not ended are compared with the Jobs.
    pub scan: Duration,
    /// How long the Job of a run may be missing before the run is given up: its end may be on its way.
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

/// What it takes to record runs.
pub struct Runs {
    /// To write with.
    pub client: Client,
    /// What there is.
    pub jobs: Jobs,
    /// What to record, and how much of it to keep.
    pub policy: LivePolicy,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Where failures and bypasses are told.
    pub events: Events,
    /// What keeps runs from being written, for others to tell.
    pub trouble: Trouble,
    /// Name of the Lease in the client's namespace that an installation has from its beginning. What ended before
    /// that is recorded without Events and counts.
    pub installation: Option<String>,
    /// When.
    pub pace: Pace,
}

impl Runs {
    /// Records runs for as long as it is awaited. `leads` says whether this replica was elected; `words` are what
    /// reviews of deletions show.
    pub async fn run(self, mut words: mpsc::Receiver<Words>, mut leads: watch::Receiver<bool>) {
        let store = Store::new(self.client.clone());
        let mut news = self.jobs.subscribe();
        let [mut scans, mut counts] = [self.pace.scan, COUNTED].map(|period| {
            let mut ticks = time::interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        let leading = *leads.borrow_and_update();
        let mut worker = Worker::new(&self, &store, leading);
        let mut is_elected = true;
        loop {
            worker.begin();
            let due = worker.next();
            tokio::select! {
                told = news.recv() => worker.hear(told),
                Some(said) = words.recv() => worker.hear_last(said),
                Some(done) = worker.working.next() => worker.settle(done),
                changed = leads.changed(), if is_elected => match changed {
                    Ok(()) => worker.lead(*leads.borrow_and_update()),
                    // Nobody is elected here, or not any more.
                    Err(_) => is_elected = false,
                },
                _ = scans.tick() => worker.look_around(),
                _ = counts.tick() => self.count(),
                () = time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    fn count(&self) {
        let jobs = self.jobs.all().unwrap_or_default();
        let active = Active::of(&jobs, Timestamp::now());
        self.metrics.runs.active(active);
    }

    fn is_on(&self) -> bool {
        self.policy.current().runs.mode == RunMode::On
    }

    /// Counts and tells what has been written. Runs are recorded since this time.
    fn tell(&self, change: &Change, since: Timestamp) {
        let runs = &self.metrics.runs;
        runs.wrote(Wrote::Written);
        let known = Known::of(&change.run);
        let news = News::of(&known, change.before, since);
        if news.unreviewed {
            runs.unreviewed();
        }
        if let Some(outcome) = news.ended {
            runs.ended(outcome, known.status.length());
        }
        for happening in happenings(&change.run, news) {
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

/// As Kubernetes writes it, in whole seconds.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
