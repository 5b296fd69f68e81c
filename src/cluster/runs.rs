//! Runs of the cluster: one for each migration Job, made and finished from what the watch tells.
//!
//! Every replica keeps the news and sees to it that they are written: the elected one at once, the others a while
//! later, when the run mostly says it all. It does not matter who writes, or how often, because what is written is a
//! join ([`crate::run::Known::join`]). What the news cannot tell, because nobody listened, a scan finds out.

mod last_words;
mod queue;
mod scan;
mod store;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use kube::Client;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::{self, Instant, MissedTickBehavior};

use super::TIMEOUT;
use super::events::Events;
use super::jobs::{Jobs, News, Seen};
use crate::config::reload::LivePolicy;
use crate::metrics::Metrics;
use crate::metrics::runs::Wrote;
use crate::policy::runs::RunMode;
use crate::run::Known;
use crate::run::active::Active;
use crate::run::event::happenings;
use crate::run::resource::Outcome;
pub use last_words::{LastWords, last_words};
use queue::{Key, Queue, Waiting};
use scan::Look;
use store::{Change, Store, Unwritten};
pub use trouble::Trouble;

/// Runs written at once: a swarm of Jobs must not be a swarm of requests.
const WRITERS: usize = 8;
/// How often what is active is counted.
const COUNTED: Duration = Duration::from_secs(5);
/// How long nothing is tried where the apiserver refuses runs altogether.
const REFUSED: Duration = Duration::from_secs(10);
/// The longest pause before a run is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
    /// When.
    pub pace: Pace,
}

/// What has been done beside the news.
enum Done {
    Ensured(Waiting, Result<Option<Change>, Unwritten>),
    Scanned(bool, Result<Vec<Look>, Unwritten>),
    Trimmed(Result<(), Unwritten>),
}

struct Worker<'r> {
    runs: &'r Runs,
    store: &'r Store,
    leads: bool,
    queue: Queue,
    working: FuturesUnordered<BoxFuture<'r, Done>>,
    /// Something may have been missed.
    rescan: bool,
    scanning: bool,
    paused: Option<Instant>,
}

impl Runs {
    /// Records runs for as long as it is awaited. `leads` says whether this replica was elected; `words` are what
    /// reviews of deletions show.
    pub async fn run(self, mut words: mpsc::Receiver<Vec<u8>>, mut leads: watch::Receiver<bool>) {
        let store = Store::new(self.client.clone());
        let mut news = self.jobs.subscribe();
        let [mut scans, mut counts] = [self.pace.scan, COUNTED].map(|period| {
            let mut ticks = time::interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        let mut worker = Worker {
            leads: *leads.borrow_and_update(),
            runs: &self,
            store: &store,
            queue: Queue::default(),
            working: FuturesUnordered::new(),
            rescan: true,
            scanning: false,
            paused: None,
        };
        let mut is_elected = true;
        loop {
            worker.begin();
            let due = worker.next();
            tokio::select! {
                told = news.recv() => worker.hear(told),
                Some(body) = words.recv() => worker.hear_last(&body),
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

    /// Counts and tells what has been written.
    fn tell(&self, change: &Change) {
        let runs = &self.metrics.runs;
        runs.wrote(Wrote::Written);
        let known = Known::of(&change.run);
        if change.before.is_none() && !known.spec.reviewed {
            runs.unreviewed();
        }
        let (before, now) = (change.before.unwrap_or_default(), known.status.outcome);
        if now != before && now != Outcome::Running {
            runs.ended(now, known.duration());
        }
        for happening in happenings(&change.run, change.before) {
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

impl<'r> Worker<'r> {
    fn hear(&mut self, told: Result<News, RecvError>) {
        match told {
            Ok(News::Changed(seen) | News::Finished(seen)) => self.see(seen, None),
            Ok(News::Deleted(seen)) => self.see(seen, Some(now())),
            Ok(News::Listed) | Err(RecvError::Lagged(_)) => self.rescan = true,
            // The cache goes with the process.
            Err(RecvError::Closed) => {}
        }
    }

    fn see(&mut self, seen: Arc<Seen>, gone: Option<Timestamp>) {
        if !seen.job.is_opted_out {
            let due = self.due();
            self.put(Waiting {
                gone,
                seen: Some(Arc::clone(&seen)),
                ..Waiting::of(Key::of(&seen.job), due)
            });
        }
    }

    /// A review says how a Job ended. That counts once the Job is gone and nobody has seen its end: reviews can be
    /// forged, and the watch cannot.
    fn hear_last(&mut self, body: &[u8]) {
        let Some((key, ending)) = last_words::read(body) else {
            return;
        };
        let known = self.runs.jobs.get(&key.uid);
        if known.is_none_or(|job| job.end.is_none()) {
            let due = Instant::now() + self.runs.pace.others;
            self.put(Waiting {
                words: Some(ending),
                ..Waiting::of(key, due)
            });
        }
    }

    fn put(&mut self, waiting: Waiting) {
        if self.runs.is_on() && !self.queue.put(waiting) {
            self.runs.metrics.runs.wrote(Wrote::Dropped);
            self.rescan = true;
        }
    }

    /// When this replica should write what it hears now.
    fn due(&self) -> Instant {
        let wait = if self.leads {
            Duration::ZERO
        } else {
            self.runs.pace.others
        };
        Instant::now() + wait
    }

    fn lead(&mut self, leads: bool) {
        self.leads = leads;
        if leads {
            // The former one may have left anything undone.
            self.queue.hurry(Instant::now());
            self.rescan = true;
        }
    }

    fn look_around(&mut self) {
        if self.leads && self.runs.is_on() && !self.is_paused() {
            self.scan(false);
            let keep = self.runs.policy.current().runs.keep_total;
            let trim = self.store.trim(keep as usize).map(Done::Trimmed);
            self.working.push(trim.boxed());
        }
    }

    fn scan(&mut self, full: bool) {
        if !std::mem::replace(&mut self.scanning, true) {
            let scan = self.store.scan(&self.runs.jobs, full);
            let scan = scan.map(move |found| Done::Scanned(full, found));
            self.working.push(scan.boxed());
        }
    }

    fn is_paused(&self) -> bool {
        self.paused.is_some_and(|until| Instant::now() < until)
    }

    /// Begins what is due.
    fn begin(&mut self) {
        if self.is_paused() {
            return;
        }
        let may_scan = self.leads && self.runs.is_on() && !self.scanning;
        if self.rescan && may_scan && self.runs.jobs.all().is_some() {
            self.rescan = false;
            self.scan(true);
        }
        while self.queue.working() < WRITERS
            && let Some(waiting) = self.queue.take(Instant::now())
        {
            let (store, leads) = (self.store, self.leads);
            let keep = usize::from(self.runs.policy.current().runs.keep_per_release);
            self.working.push(Box::pin(async move {
                let ensured = time::timeout(TIMEOUT, store.ensure(&waiting, leads, keep)).await;
                let ensured = ensured.unwrap_or(Err(Unwritten::TimedOut));
                Done::Ensured(waiting, ensured)
            }));
        }
    }

    /// When there is something to begin; nothing while that waits for another to be done.
    fn next(&self) -> Option<Instant> {
        let due = self.queue.next().filter(|_| self.queue.working() < WRITERS);
        let paused = self.paused.filter(|_| self.is_paused());
        match (due, paused) {
            (Some(due), Some(until)) => Some(due.max(until)),
            (None, Some(until)) if self.rescan => Some(until),
            (due, _) => due,
        }
    }

    fn settle(&mut self, done: Done) {
        match done {
            Done::Ensured(waiting, result) => {
                self.queue.done(&waiting.key.uid);
                match result {
                    Ok(change) => {
                        self.runs.trouble.over();
                        if let Some(change) = change {
                            self.runs.tell(&change);
                        }
                    }
                    Err(error) => self.unwritten(waiting, &error),
                }
            }
            Done::Scanned(full, found) => {
                self.scanning = false;
                match found {
                    Ok(looks) => {
                        self.runs.trouble.over();
                        for look in looks {
                            let wait = if look.suspect {
                                self.runs.pace.lost
                            } else {
                                Duration::ZERO
                            };
                            self.put(Waiting::of(look.key, Instant::now() + wait));
                        }
                    }
                    Err(error) => {
                        self.rescan |= full;
                        self.failed("look for runs that say too little", &error);
                    }
                }
            }
            Done::Trimmed(Ok(())) => {}
            Done::Trimmed(Err(error)) => self.failed("remove the oldest runs", &error),
        }
    }

    fn unwritten(&mut self, mut waiting: Waiting, error: &Unwritten) {
        let key = &waiting.key;
        let (namespace, job) = (&key.namespace, &key.job);
        let metrics = &self.runs.metrics.runs;
        match error {
            Unwritten::Pointless => return,
            Unwritten::Hopeless(_) => {
                metrics.wrote(Wrote::Dropped);
                tracing::error!(%error, %namespace, %job, "failed to write the run of a migration, giving up");
                return;
            }
            Unwritten::Refused(_) => self.refused(error),
            _ => {
                tracing::warn!(%error, %namespace, %job, "failed to write the run of a migration, trying again");
            }
        }
        metrics.wrote(Wrote::Failed);
        let pause = Duration::from_secs(1 << waiting.tries.min(6)).min(LONGEST_PAUSE);
        waiting.tries += 1;
        waiting.due = Instant::now() + pause;
        if !self.queue.restore(waiting) {
            metrics.wrote(Wrote::Dropped);
            self.rescan = true;
        }
    }

    fn failed(&mut self, what: &str, error: &Unwritten) {
        match error {
            Unwritten::Refused(_) => self.refused(error),
            _ => {
                self.paused = Some(Instant::now() + Duration::from_secs(1));
                tracing::warn!(%error, "failed to {what}, trying again");
            }
        }
    }

    fn refused(&mut self, error: &Unwritten) {
        self.runs.trouble.is(error.to_string());
        self.paused = Some(Instant::now() + REFUSED);
    }
}

/// As Kubernetes writes it, in whole seconds.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
