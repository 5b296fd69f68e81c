//! What waits to be written: one entry for each Job, and not more than a given number.
//!
//! Pure but for the type of its clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::jobs::Seen;
use crate::core::job::stored::StoredJob;
use crate::core::runs::Ending;
use crate::core::runs::resource::Outcome;

/// Jobs that may wait. One takes up to 20 KB, and mostly 1 KB; a scan finds the others.
const MAX_WAITING: usize = 2048;
/// Jobs of one namespace that may wait where others need the room.
const SHARE: usize = MAX_WAITING / 8;
/// Runs written at once: a swarm of Jobs must not be a swarm of requests.
pub(super) const WRITERS: usize = 8;
/// Those of namespaces in which nothing could be written the last time: each may take as long as it can.
const REFUSED_WRITERS: usize = WRITERS / 2;
/// How long a namespace is left alone in which a run could not be written, for the first time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Which Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) job: String,
    pub(super) uid: String,
    /// The release it is of: which attempt one is depends on those before it, so they are written in turn.
    pub(super) release: String,
    pub(super) created: Timestamp,
}

impl Key {
    pub(super) fn of(job: &StoredJob) -> Self {
        Self {
            namespace: job.namespace.clone(),
            job: job.name.clone(),
            uid: job.uid.clone(),
            release: job.release.clone(),
            created: job.created,
        }
    }

    fn age(&self) -> (Timestamp, &str) {
        (self.created, &self.job)
    }

    fn is_of_the_same_release(&self, other: &Self) -> bool {
        (&self.namespace, &self.release) == (&other.namespace, &other.release)
    }
}

/// A Job whose run may have to be written, and what is known of it. Where that is nothing, it has to be looked at.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) key: Key,
    /// As the watch has brought it last.
    pub(super) seen: Option<Arc<Seen>>,
    /// When the watch said that it is gone.
    pub(super) gone: Option<Timestamp>,
    /// How it ended, as a review of its deletion has it.
    pub(super) words: Option<Ending>,
    /// A write whose answer never came: it may have been done, and not been told.
    pub(super) unsure: Option<Before>,
    pub(super) due: Instant,
    pub(super) tries: u32,
}

impl Waiting {
    pub(super) fn of(key: Key, due: Instant) -> Self {
        Self {
            key,
            seen: None,
            gone: None,
            words: None,
            unsure: None,
            due,
            tries: 0,
        }
    }

    /// As it has been seen.
    pub(super) fn seen(seen: &Arc<Seen>, due: Instant) -> Self {
        Self {
            seen: Some(Arc::clone(seen)),
            ..Self::of(Key::of(&seen.job), due)
        }
    }

    /// Whether all that is known is that it has to be looked at.
    pub(super) fn is_suspect(&self) -> bool {
        self.seen.is_none() && !self.is_precious()
    }

    /// Whether what the watch has brought may be older than something else that is known, so that the apiserver has
    /// to be asked: one that is gone may only be no migration any more, and a review of its deletion shows an end
    /// that a watch which was away has missed.
    pub(super) fn is_in_doubt(&self) -> bool {
        let has_ended = self
            .seen
            .as_ref()
            .is_some_and(|seen| seen.job.end.is_some());
        !has_ended && (self.gone.is_some() || self.words.is_some())
    }

    /// Whether no scan would find this out again.
    fn is_precious(&self) -> bool {
        self.gone.is_some() || self.words.is_some() || self.unsure.is_some()
    }

    fn absorb(&mut self, newer: Self) {
        let has_ended =
            |seen: &Option<Arc<Seen>>| seen.as_ref().is_some_and(|seen| seen.job.end.is_some());
        // Two selectors may bring one Job, each in its own time.
        if newer.seen.is_some() && (has_ended(&newer.seen) || !has_ended(&self.seen)) {
            self.seen = newer.seen;
        }
        self.gone = self.gone.or(newer.gone);
        self.words = newer.words.or(self.words.take());
        self.due = self.due.min(newer.due);
    }
}

/// The outcome of a run before it was written; nothing for one that is new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before(pub(super) Option<Outcome>);

/// A namespace in which no run can be written for now.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// Until then nothing is tried there, and then one run.
    until: Instant,
    pause: Duration,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: HashMap<String, Waiting>,
    working: Vec<Key>,
    /// By namespace: what waits there must not keep the others waiting.
    refusals: HashMap<String, Refusal>,
}

impl Queue {
    /// Adds what is known of a Job to what waits. Returns what there was no room for.
    pub(super) fn put(&mut self, newer: Waiting) -> Option<Waiting> {
        if let Some(waiting) = self.waiting.get_mut(&newer.key.uid) {
            waiting.absorb(newer);
            return None;
        }
        self.insert(newer)
    }

    /// Puts back what could not be written, below what has come since. Returns what there was no room for.
    pub(super) fn restore(&mut self, mut older: Waiting) -> Option<Waiting> {
        if let Some(newer) = self.waiting.remove(&older.key.uid) {
            older.absorb(newer);
        }
        self.insert(older)
    }

    fn insert(&mut self, waiting: Waiting) -> Option<Waiting> {
        let mut dropped = None;
        if self.waiting.len() >= MAX_WAITING {
            let mut counts: HashMap<&str, usize> = HashMap::new();
            for other in self.waiting.values() {
                *counts.entry(&other.key.namespace).or_default() += 1;
            }
            let worth = |other: &Waiting| self.worth(other, &counts);
            let least = self.waiting.values().min_by_key(|other| worth(other));
            let least = least.filter(|other| worth(other) < worth(&waiting));
            let Some(uid) = least.map(|other| other.key.uid.clone()) else {
                return Some(waiting);
            };
            dropped = self.waiting.remove(&uid);
        }
        self.waiting.insert(waiting.key.uid.clone(), waiting);
        dropped
    }

    /// What goes first when there is no room: what cannot be written now, then what a scan finds again, then what is
    /// of a namespace that has more than its share.
    fn worth(&self, waiting: &Waiting, counts: &HashMap<&str, usize>) -> (bool, bool, bool) {
        let namespace = &*waiting.key.namespace;
        let count = counts.get(namespace).copied().unwrap_or_default();
        let is_refused = self.is_refused(namespace);
        (!is_refused, waiting.is_precious(), count < SHARE)
    }

    /// Leaves a namespace alone for a while, longer each time, but not for longer than this.
    pub(super) fn refuse(&mut self, namespace: &str, now: Instant, longest: Duration) {
        let refusal = self.refusals.entry(namespace.to_owned());
        let refusal = refusal.or_insert(Refusal {
            until: now,
            pause: FIRST_PAUSE / 2,
        });
        refusal.pause = (refusal.pause * 2).min(longest);
        refusal.until = now + refusal.pause;
    }

    /// A run has been written in this namespace; says whether that is news.
    pub(super) fn accept(&mut self, namespace: &str) -> bool {
        self.refusals.remove(namespace).is_some()
    }

    /// Whether nothing could be written in this namespace the last time.
    pub(super) fn is_refused(&self, namespace: &str) -> bool {
        self.refusals.contains_key(namespace)
    }

    /// Forgets the namespaces in which nothing waits any more, and returns them.
    pub(super) fn forget_the_idle(&mut self) -> Vec<String> {
        let mut idle: Vec<_> = self.refusals.keys().cloned().collect();
        let keys = self.waiting.values().map(|waiting| &waiting.key);
        for key in keys.chain(&self.working) {
            idle.retain(|namespace| *namespace != key.namespace);
        }
        self.refusals
            .retain(|namespace, _| !idle.contains(namespace));
        idle
    }

    /// The next one that is due, and at whose release nobody works: of a namespace that refuses nothing and has the
    /// fewest writers, the oldest.
    pub(super) fn take(&mut self, now: Instant) -> Option<Waiting> {
        let due = self.idle().filter(|waiting| self.due(waiting) <= now);
        let rank = |waiting: &Waiting| {
            let namespace = &waiting.key.namespace;
            (self.is_refused(namespace), self.writers(namespace))
        };
        let first = due.min_by(|a, b| {
            let ranks = rank(a).cmp(&rank(b));
            ranks.then_with(|| a.key.age().cmp(&b.key.age()))
        })?;
        let key = first.key.clone();
        let taken = self.waiting.remove(&key.uid);
        self.working.push(key);
        taken
    }

    /// Nobody works at this one any more.
    pub(super) fn done(&mut self, uid: &str) {
        self.working.retain(|key| key.uid != uid);
    }

    fn writers(&self, namespace: &str) -> usize {
        let working = self.working.iter();
        working.filter(|key| key.namespace == namespace).count()
    }

    /// How many are worked at.
    pub(super) fn working(&self) -> usize {
        self.working.len()
    }

    /// Whether it is worth while to look for more.
    pub(super) fn has_room(&self) -> bool {
        let waiting = self.waiting.values();
        let others = waiting.filter(|waiting| !self.is_refused(&waiting.key.namespace));
        others.count() < MAX_WAITING / 2
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.idle().map(|waiting| self.due(waiting)).min()
    }

    fn due(&self, waiting: &Waiting) -> Instant {
        let refusal = self.refusals.get(&waiting.key.namespace);
        refusal.map_or(waiting.due, |refusal| waiting.due.max(refusal.until))
    }

    /// Makes all that was seen due.
    pub(super) fn hurry(&mut self, now: Instant) {
        let seen = self.waiting.values_mut().filter(|w| w.seen.is_some());
        for waiting in seen {
            waiting.due = waiting.due.min(now);
        }
    }

    /// What could be begun if it is due.
    fn idle(&self) -> impl Iterator<Item = &Waiting> {
        let working = self.working.iter();
        let refused = working.filter(|key| self.is_refused(&key.namespace));
        let has_room = refused.count() < REFUSED_WRITERS;
        self.waiting.values().filter(move |waiting| {
            let is_refused = self.is_refused(&waiting.key.namespace);
            let mut working = self.working.iter();
            let is_held_up = working.any(|key| {
                key.is_of_the_same_release(&waiting.key)
                    || is_refused && key.namespace == waiting.key.namespace
            });
            !is_held_up && (has_room || !is_refused)
        })
    }
}

#[cfg(test)]
mod tests;
