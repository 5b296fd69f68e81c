//! One replica at work on runs: what it has heard, what it writes now, and what it has to look for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{self, Instant};

use super::error::Unwritten;
use super::last_words::Heard;
use super::queue::{Queue, Waiting};
use super::scan::Found;
use super::store::{Change, Store};
use super::{Runs, Words, now};
use crate::cluster::TIMEOUT;
use crate::cluster::jobs::{News, Seen};
use crate::metrics::runs::Wrote;
use crate::run::Ending;

/// Runs written at once: a swarm of Jobs must not be a swarm of requests.
const WRITERS: usize = 8;
/// How long nothing is tried where the apiserver refuses runs altogether.
const REFUSED: Duration = Duration::from_secs(10);
/// How long a scan that failed is left alone.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest pause before a run is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause where it matters who is first, or where nobody has refused anything.
const SHORT_PAUSE: Duration = Duration::from_secs(8);

/// What has been done beside the news.
pub(super) enum Done {
    Ensured(Box<Waiting>, Result<Option<Box<Change>>, Unwritten>),
    Scanned(bool, Result<Found, Unwritten>),
    Trimmed(Result<(), Unwritten>),
}

/// What takes long, and is done once at a time.
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
    /// Something may have been missed.
    rescan: bool,
    busy: Busy,
    paused: Option<Instant>,
    /// Since when runs are recorded, as far as is known: what has happened before is no news.
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
            since: now(),
        }
    }

    pub(super) fn hear(&mut self, told: Result<News, RecvError>) {
        match told {
            Ok(News::Changed(seen) | News::Finished(seen)) => self.see(&seen, None),
            Ok(News::Deleted(seen)) => self.see(&seen, Some(now())),
            Ok(News::Listed) | Err(RecvError::Lagged(_)) => self.rescan = true,
            // The cache goes with the process.
            Err(RecvError::Closed) => {}
        }
    }

    fn see(&mut self, seen: &Arc<Seen>, gone: Option<Timestamp>) {
        let due = self.due();
        self.put(Waiting {
            gone,
            ..Waiting::seen(seen, due)
        });
    }

    /// A review says how a Job ended. That counts once the Job is gone and nobody has seen its end: reviews can be
    /// forged, and what the apiserver says cannot. No other replica may know it, and the apiserver has just been
    /// there, so it is written at once.
    pub(super) fn hear_last(&mut self, words: Words) {
        let now = Instant::now();
        self.put(match words.0 {
            Heard::Confirmed(seen) => Waiting {
                // It is being deleted, so that no scan would find this out again.
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
        if self.runs.is_on() {
            let dropped = self.queue.put(waiting);
            self.dropped(dropped);
        }
    }

    fn dropped(&mut self, dropped: Option<Waiting>) {
        if let Some(dropped) = dropped {
            self.runs.metrics.runs.wrote(Wrote::Dropped);
            // Where nothing can be written, a scan would only find it again and again.
            self.rescan |= !self.queue.is_refused(&dropped.key.namespace);
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

    pub(super) fn lead(&mut self, leads: bool) {
        self.leads = leads;
        if leads {
            // The former one may have left anything undone.
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

    /// Begins what is due.
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
            let keep = usize::from(self.runs.policy.current().runs.keep_per_release);
            self.working.push(Box::pin(async move {
                let ensured = time::timeout(TIMEOUT, store.ensure(&mut waiting, leads, keep)).await;
                let ensured = ensured.unwrap_or(Err(Unwritten::TimedOut));
                Done::Ensured(Box::new(waiting), ensured)
            }));
        }
    }

    /// When there is something to begin; nothing while that waits for another to be done.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = self.queue.next().filter(|_| self.queue.working() < WRITERS);
        let paused = self.paused.filter(|_| self.is_paused());
        match (due, paused) {
            (Some(due), Some(until)) => Some(due.max(until)),
            (None, Some(until)) if self.rescan => Some(until),
            (due, _) => due,
        }
    }

    pub(super) fn settle(&mut self, done: Done) {
        match done {
            Done::Ensured(waiting, result) => {
                self.queue.done(&waiting.key.uid);
                match result {
                    Ok(change) => {
                        self.runs.trouble.over();
                        if let Some(change) = change {
                            self.accepted(&waiting.key.namespace);
                            self.runs.tell(&change, self.since);
                        }
                    }
                    Err(error) => self.unwritten(*waiting, &error),
                }
            }
            Done::Scanned(full, found) => {
                self.busy.scanning = false;
                match found {
                    Ok(found) => self.found(found),
                    Err(error) => {
                        self.rescan |= full;
                        self.failed("look for runs that say too little", &error);
                    }
                }
            }
            Done::Trimmed(trimmed) => {
                self.busy.trimming = false;
                if let Err(error) = trimmed {
                    self.failed("remove the oldest runs", &error);
                }
            }
        }
    }

    fn found(&mut self, found: Found) {
        self.runs.trouble.over();
        self.since = self.since.min(found.since.unwrap_or(Timestamp::MAX));
        for look in found.looks {
            let wait = if look.suspect {
                self.runs.pace.lost
            } else {
                Duration::ZERO
            };
            let waiting = Waiting::of(look.key, Instant::now() + wait);
            // The others are found again when these are done.
            if let Some(more) = self.queue.put(waiting) {
                self.rescan |= !self.queue.is_refused(&more.key.namespace);
            }
        }
    }

    fn accepted(&mut self, namespace: &str) {
        if self.queue.accept(namespace) {
            self.runs.trouble.is_over_in(namespace);
            // There may have been no room for all that waited there.
            self.rescan = true;
        }
    }

    fn unwritten(&mut self, mut waiting: Waiting, error: &Unwritten) {
        let key = &waiting.key;
        let (namespace, job) = (&key.namespace, &key.job);
        let now = Instant::now();
        // The end that a review has shown is known here alone, and others take the run for lost in the end.
        let longest = match error {
            Unwritten::Denied(_) => LONGEST_PAUSE,
            _ if waiting.words.is_some() => SHORT_PAUSE,
            _ => LONGEST_PAUSE,
        };
        let metrics = &self.runs.metrics.runs;
        match error {
            Unwritten::Pointless => return,
            Unwritten::Hopeless(_) => {
                metrics.wrote(Wrote::Dropped);
                tracing::error!(%error, %namespace, %job, "failed to write the run of a migration, giving up");
                return;
            }
            Unwritten::Refused(_) => self.refused(error),
            Unwritten::Denied(why) => {
                self.runs.trouble.is_in(namespace, why);
                self.queue.refuse(namespace, now, LONGEST_PAUSE);
            }
            _ => {
                // Something may be slow there that is not slow elsewhere.
                self.queue.refuse(namespace, now, SHORT_PAUSE);
                tracing::warn!(%error, %namespace, %job, "failed to write the run of a migration, trying again");
            }
        }
        metrics.wrote(Wrote::Failed);
        let pause = Duration::from_secs(1 << waiting.tries.min(6)).min(longest);
        // Another replica may know how it ended, and has not got through either.
        let pause = if waiting.is_suspect() {
            pause.max(self.runs.pace.lost)
        } else {
            pause
        };
        waiting.tries += 1;
        waiting.due = now + pause;
        let dropped = self.queue.restore(waiting);
        self.dropped(dropped);
    }

    fn failed(&mut self, what: &str, error: &Unwritten) {
        if let Unwritten::Refused(_) = error {
            self.refused(error);
        } else {
            self.paused = Some(Instant::now() + AGAIN);
            tracing::warn!(%error, "failed to {what}, trying again");
        }
    }

    fn refused(&mut self, error: &Unwritten) {
        self.runs.trouble.is(&error.to_string());
        self.paused = Some(Instant::now() + REFUSED);
    }
}
