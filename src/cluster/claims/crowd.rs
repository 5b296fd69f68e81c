//! How many claims of one namespace name a Job that nobody has seen.
//!
//! Whoever reaches the port can ask for claims of Jobs that never come. Each is a Lease until it expires, so their
//! number is limited, for each namespace by itself. A Job that the watch of this replica has brought has been seen.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most claims of a namespace whose Jobs have not been seen. A Job is seen within seconds.
pub(super) const MOST: usize = 50;

/// So few claims are written without a look at all of the namespace, which would make every claim wait for it. Each
/// replica may exceed [`MOST`] by as many.
const FEW: usize = 8;

/// How long a write is remembered after it has ended: longer than a claim lives whose Job never comes, and a write
/// that was given up may still arrive.
const LATE: Duration = Duration::from_secs(60);

/// The claims that this replica writes or has just written, by namespace. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(Arc<Mutex<HashMap<String, Vec<Write>>>>);

/// A claim that is not marked as that of a Job which was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unseen {
    pub(super) lease: String,
    /// That of its Job.
    pub(super) uid: String,
}

/// One write of a claim.
#[derive(Clone, Debug)]
struct Write {
    claim: Unseen,
    /// Its Job has been seen since.
    is_seen: bool,
    end: End,
}

/// When a write has ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Not,
    /// The apiserver has answered: the claim is among those that are listed, or is gone or marked.
    Answered(Instant),
    /// It was given up, and may still arrive.
    Unsure(Instant),
}

impl Write {
    fn is_past(&self) -> bool {
        match self.end {
            End::Not => false,
            End::Answered(at) | End::Unsure(at) => at.elapsed() >= LATE,
        }
    }

    /// Whether a list that begins now may lack it though it is there, or comes.
    fn may_come(&self) -> bool {
        !matches!(self.end, End::Answered(_))
    }
}

/// A claim that is about to be written, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    begun: Begun,
    namespace: String,
    claim: Unseen,
    /// As they were when this one was begun.
    others: Vec<Write>,
    /// What is left of the write.
    end: Option<End>,
}

impl Begun {
    /// Begins to write the claim that is this Lease, of the Job with this uid.
    pub(super) fn begin(
        &self,
        namespace: &str,
        lease: &str,
        uid: &str,
        is_seen: impl Fn(&str) -> bool,
    ) -> Turn {
        let mut begun = self.lock();
        begun.retain(|_, writes| {
            writes.retain(|write| !write.is_past());
            !writes.is_empty()
        });
        let writes = begun.entry(namespace.to_owned()).or_default();
        // One Job has one claim, and forged reviews may name it for more.
        let of_seen = writes.iter().filter(|write| write.is_seen);
        let mut seen: HashSet<String> = of_seen.map(|write| write.claim.uid.clone()).collect();
        for write in writes.iter_mut().filter(|write| !write.is_seen) {
            let uid = &write.claim.uid;
            write.is_seen = is_seen(uid) && seen.insert(uid.clone());
        }
        let others = writes.clone();
        let claim = Unseen {
            lease: lease.to_owned(),
            uid: uid.to_owned(),
        };
        writes.push(Write {
            claim: claim.clone(),
            is_seen: false,
            end: End::Not,
        });
        Turn {
            begun: self.clone(),
            namespace: namespace.to_owned(),
            claim,
            others,
            end: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Write>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Whether this replica knows of so few claims of Jobs that it has not seen that the others need not be listed.
    pub(super) fn is_one_of_few(&self) -> bool {
        self.others.iter().filter(|other| !other.is_seen).count() < FEW
    }

    /// Whether there is no room whatever a list says.
    pub(super) fn is_one_too_many(&self) -> bool {
        self.count(&[], |_| false) >= MOST
    }

    /// Whether the claim may be written beside these, which were listed since it was begun: whatever was not written
    /// by then was begun before or comes after, and counts this one.
    pub(super) fn has_room(
        mut self,
        listed: &[Unseen],
        is_seen: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let has_room = self.count(listed, is_seen) < MOST;
        self.end = has_room.then(|| End::Unsure(Instant::now()));
        has_room.then_some(self)
    }

    /// How many other claims of the namespace are there or may be, and name Jobs that nobody has seen.
    fn count(&self, listed: &[Unseen], is_seen: impl Fn(&str) -> bool) -> usize {
        let mut seen: HashMap<&str, &str> = HashMap::new();
        for Write { claim, .. } in self.others.iter().filter(|other| other.is_seen) {
            seen.insert(&claim.uid, &claim.lease);
        }
        for claim in listed.iter().filter(|claim| is_seen(&claim.uid)) {
            seen.entry(&claim.uid).or_insert(&claim.lease);
        }
        let written = self.others.iter().filter(|other| other.may_come());
        let claims = listed.iter().chain(written.map(|other| &other.claim));
        let counted = claims.filter(|claim| {
            let is_seen = seen.get(&*claim.uid) == Some(&&*claim.lease);
            !is_seen && claim.lease != self.claim.lease
        });
        let mut leases: Vec<_> = counted.map(|claim| &claim.lease).collect();
        leases.sort_unstable();
        leases.dedup();
        leases.len()
    }

    /// The apiserver has answered, and the claim is there, or another's.
    pub(super) fn over(mut self, is_written: bool) {
        self.end = is_written.then(|| End::Answered(Instant::now()));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut begun = self.begun.lock();
        let Some(writes) = begun.get_mut(&self.namespace) else {
            return;
        };
        let own = |write: &Write| matches!(write.end, End::Not) && write.claim == self.claim;
        let Some(index) = writes.iter().position(own) else {
            return;
        };
        match self.end {
            // What was given up may still arrive from now on.
            Some(End::Unsure(_)) => writes[index].end = End::Unsure(Instant::now()),
            Some(end) => writes[index].end = end,
            None => drop(writes.swap_remove(index)),
        }
    }
}

#[cfg(test)]
mod tests;
