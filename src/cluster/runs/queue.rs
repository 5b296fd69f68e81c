//! The queue of runs to write: one entry ([`Waiting`]) per Job, and a limited number of entries.
//!
//! Pure, except for the type of its clock.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::waiting::{JobKey, Waiting};

/// Most Jobs that may wait. One takes up to 20 KB, and mostly 1 KB; a scan finds the others.
const MAX_WAITING: usize = 2048;
/// Most Jobs of one namespace that may wait if others need the room.
const SHARE: usize = MAX_WAITING / 8;
/// Most runs written at once: a burst of Jobs must not become a burst of requests.
pub(super) const WRITERS: usize = 8;
/// Most writers for namespaces in which the last write failed: each may take until the time limit.
const REFUSED_WRITERS: usize = WRITERS / 2;
/// First pause for a namespace in which a run could not be written.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A namespace in which no run can be written for now.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// Until then nothing is written there; after that, one run is tried.
    until: Instant,
    pause: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: HashMap<String, Waiting>,
    working: Vec<JobKey>,
    /// By namespace, so that a failing one does not delay the others.
    refusals: HashMap<String, Pause>,
}

impl Queue {
    /// Adds facts about a Job to the queue. Returns the entry that was dropped for lack of room.
    pub(super) fn put(&mut self, newer: Waiting) -> Option<Waiting> {
        if let Some(waiting) = self.waiting.get_mut(&newer.key.uid) {
            waiting.absorb(newer);
            return None;
        }
        self.insert(newer)
    }

    /// Puts back an entry that could not be written; newer facts take precedence. Returns the entry that was dropped
    /// for lack of room.
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

    /// Rank of an entry; without room the lowest is dropped. First those that cannot be written now, then those that a
    /// scan finds again, then those of a namespace that has more than its share.
    fn worth(&self, waiting: &Waiting, counts: &HashMap<&str, usize>) -> (bool, bool, bool) {
        let namespace = &*waiting.key.namespace;
        let count = counts.get(namespace).copied().unwrap_or_default();
        let is_refused = self.is_refused(namespace);
        (!is_refused, waiting.is_precious(), count < SHARE)
    }

    /// Pauses a namespace, longer each time, up to `longest`.
    pub(super) fn refuse(&mut self, namespace: &str, now: Instant, longest: Duration) {
        let refusal = self.refusals.entry(namespace.to_owned());
        let refusal = refusal.or_insert(Pause {
            until: now,
            pause: FIRST_PAUSE / 2,
        });
        refusal.pause = (refusal.pause * 2).min(longest);
        refusal.until = now + refusal.pause;
    }

    /// Records that a run was written in this namespace. Returns whether the namespace was paused before.
    pub(super) fn accept(&mut self, namespace: &str) -> bool {
        self.refusals.remove(namespace).is_some()
    }

    /// Whether the last write in this namespace failed.
    pub(super) fn is_refused(&self, namespace: &str) -> bool {
        self.refusals.contains_key(namespace)
    }

    /// Forgets paused namespaces without entries, and returns them.
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

    /// Takes the next entry that is due and whose release is not being written: the oldest of the namespace that is not
    /// paused and has the fewest writers.
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

    /// Records that the work on this Job has ended.
    pub(super) fn done(&mut self, uid: &str) {
        self.working.retain(|key| key.uid != uid);
    }

    fn writers(&self, namespace: &str) -> usize {
        let working = self.working.iter();
        working.filter(|key| key.namespace == namespace).count()
    }

    /// The number of entries being written.
    pub(super) fn working(&self) -> usize {
        self.working.len()
    }

    /// Whether there is room enough for a scan.
    pub(super) fn has_room(&self) -> bool {
        let waiting = self.waiting.values();
        let others = waiting.filter(|waiting| !self.is_refused(&waiting.key.namespace));
        others.count() < MAX_WAITING / 2
    }

    /// When the next entry is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.idle().map(|waiting| self.due(waiting)).min()
    }

    fn due(&self, waiting: &Waiting) -> Instant {
        let refusal = self.refusals.get(&waiting.key.namespace);
        refusal.map_or(waiting.due, |refusal| waiting.due.max(refusal.until))
    }

    /// Makes all entries with a state from the watch due.
    pub(super) fn hurry(&mut self, now: Instant) {
        let seen = self.waiting.values_mut().filter(|w| w.seen.is_some());
        for waiting in seen {
            waiting.due = waiting.due.min(now);
        }
    }

    /// The entries that could be taken once they are due.
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
