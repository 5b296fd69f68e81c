//! The worker of one replica: receives news, writes runs and starts scans.

mod settle;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::time::Instant;

use super::error::Unwritten;
use super::last_words::Heard;
use super::queue::{Queue, WRITERS};
use super::scan::Incomplete;
use super::store::{Ensured, Store};
use super::waiting::Waiting;
use super::{Runs, Words, now};
use crate::cluster::api::{TIMEOUT, by};
use crate::cluster::jobs::{News, Seen};
use crate::cluster::runs::metrics::Wrote;
use crate::core::policy::adopt::Promise;
use crate::core::runs::Ending;

/// Time limit for a run in a namespace where the last write succeeded. After that the namespace counts as paused: its
/// writes share half of the writers, and have [`TIMEOUT`].
const PROMPT: Duration = Duration::from_secs(3);

pub(super) enum Done {
    Ensured(Box<Waiting>, Result<Ensured, Unwritten>),
    Scanned(bool, Result<Incomplete, Unwritten>),
    Trimmed(Result<(), Unwritten>),
}

/// Long work, of which each kind runs once at a time.
#[derive(Default)]
struct Busy {
    scanning: bool,
    trimming: bool,
}

pub(super) struct Worker<'r> {
    runs: &'r Runs,
    store: &'r Store,
    leads: bool,
    queue: Queue,
    pub(super) working: FuturesUnordered<BoxFuture<'r, Done>>,
    /// Whether news may have been missed, so that a scan is needed.
    rescan: bool,
    busy: Busy,
    paused: Option<Instant>,
    /// When the API server last answered a write.
    answered: Option<Instant>,
    /// When recording began, as far as is known. Anything earlier is not news.
    since: Timestamp,
}

impl<'r> Worker<'r> {
    pub(super) fn new(runs: &'r Runs, store: &'r Store, leads: bool) -> Self {
        Self {
            runs,
            store,
            leads,
            queue: Queue::default(),
            working: FuturesUnordered::new(),
            rescan: true,
            busy: Busy::default(),
            paused: None,
            answered: None,
            since: now(),
        }
    }

    pub(super) fn hear(&mut self, told: News) {
        match told {
            News::Changed(seen) | News::Finished(seen) => self.see(&seen, None),
            News::Deleted(seen) => self.see(&seen, Some(now())),
            News::Listed => self.rescan = true,
        }
    }

    fn see(&mut self, seen: &Arc<Seen>, gone: Option<Timestamp>) {
        let due = self.due();
        self.put(Waiting {
            gone,
            ..Waiting::seen(seen, due)
        });
    }

    /// Receives how a Job ended from a review. This only counts if the Job is gone and its end was not observed,
    /// because reviews can be forged. No other replica may know it, so it is written at once.
    pub(super) fn hear_last(&mut self, words: Words) {
        let now = Instant::now();
        self.put(match words.0 {
            Heard::Confirmed(seen) => Waiting {
                // It is being deleted, so a scan could not find this again.
                words: Ending::of(&seen.job, &seen.facts),
                ..Waiting::seen(&Arc::new(seen), now)
            },
            Heard::Said(key, ending) => Waiting {
                words: Some(ending),
                ..Waiting::of(key, now)
            },
        });
    }

    fn put(&mut self, waiting: Waiting) {
        let adopted = waiting
            .seen
            .as_ref()
            .map(|seen| seen.job.adopted.as_deref());
        let is_promised = |adopted| self.runs.policy.current().keeps(Promise::Record, adopted);
        if self.runs.is_on() && adopted.is_none_or(is_promised) {
            let dropped = self.queue.put(waiting);
            self.dropped(dropped);
        }
    }

    fn dropped(&mut self, dropped: Option<Waiting>) {
        if let Some(dropped) = dropped {
            self.runs.metrics.wrote(Wrote::Dropped);
            // In a paused namespace, a scan would only find it again and again.
            self.rescan |= !self.queue.is_refused(&dropped.key.namespace);
        }
    }

    /// When this replica should write news that arrives now.
    fn due(&self) -> Instant {
        let wait = if self.leads {
            Duration::ZERO
        } else {
            self.runs.pace.others
        };
        Instant::now() + wait
    }

    pub(super) fn lead(&mut self, leads: bool) {
        self.leads = leads;
        if leads {
            // The previous leader may have left work undone.
            self.queue.hurry(Instant::now());
            self.rescan = true;
        }
    }

    pub(super) fn look_around(&mut self) {
        for namespace in self.queue.forget_the_idle() {
            self.runs.trouble.is_over_in(&namespace);
        }
        if self.leads && self.runs.is_on() && !self.is_paused() {
            self.scan(false);
            self.trim();
        }
    }

    fn scan(&mut self, full: bool) {
        if !std::mem::replace(&mut self.busy.scanning, true) {
            let keep = self.runs.policy.current().runs.keep_total;
            let scan = self.store.scan(self.runs, full, keep as usize);
            let scan = scan.map(move |found| Done::Scanned(full, found));
            self.working.push(scan.boxed());
        }
    }

    fn trim(&mut self) {
        if !std::mem::replace(&mut self.busy.trimming, true) {
            let keep = self.runs.policy.current().runs.keep_total;
            let trim = self.store.trim(keep as usize).map(Done::Trimmed);
            self.working.push(trim.boxed());
        }
    }

    fn is_paused(&self) -> bool {
        self.paused.is_some_and(|until| Instant::now() < until)
    }

    /// Starts all work that is due.
    pub(super) fn begin(&mut self) {
        if self.is_paused() {
            return;
        }
        let may_scan =
            self.leads && self.runs.is_on() && !self.busy.scanning && self.queue.has_room();
        if self.rescan && may_scan && self.runs.jobs.all().is_some() {
            self.rescan = false;
            self.scan(true);
        }
        while self.queue.working() < WRITERS
            && let Some(mut waiting) = self.queue.take(Instant::now())
        {
            let (store, leads) = (self.store, self.leads);
            let limit = if self.queue.is_refused(&waiting.key.namespace) {
                TIMEOUT
            } else {
                PROMPT
            };
            let keep = usize::from(self.runs.policy.current().runs.keep_per_release);
            self.working.push(Box::pin(async move {
                let ensured = store.ensure(&mut waiting, leads, keep);
                let ensured = by(Instant::now() + limit, ensured).await;
                Done::Ensured(Box::new(waiting), ensured)
            }));
        }
    }

    /// When the next work is due; `None` while it waits for other work to finish.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = self.queue.next().filter(|_| self.queue.working() < WRITERS);
        let paused = self.paused.filter(|_| self.is_paused());
        match (due, paused) {
            (Some(due), Some(until)) => Some(due.max(until)),
            (None, Some(until)) if self.rescan => Some(until),
            (due, _) => due,
        }
    }
}
