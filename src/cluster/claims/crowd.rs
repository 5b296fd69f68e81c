//! Limits the number of claims per namespace whose Job has not been seen.
//!
//! Any client that reaches the port can cause claims for Jobs that are never created. Each claim is a Lease until it
//! expires, so their number is limited per namespace. A Job counts as seen if it is in this replica's cache.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most claims of a namespace whose Jobs have not been seen. A real Job is seen within seconds.
pub(super) const MOST: usize = 50;

/// Most keys of a Job, and so most claims that name it: that of its name and that of its database.
const KEYS: usize = 2;

/// Below this number the namespace's claims are not listed, so that most claims do not wait for a LIST. Each replica
/// may exceed [`MOST`] by as many.
const FEW: usize = 8;

/// Most writes of a namespace that are remembered, those of seen Jobs included: forged reviews may name any of them.
const REMEMBERED: usize = 500;

/// How long a write is remembered after it has ended: longer than a claim without a Job lives, because a write that was
/// given up may still arrive.
const LATE: Duration = Duration::from_secs(60);

/// The claims that this replica writes or has just written, by namespace. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(Arc<Mutex<HashMap<String, Vec<Write>>>>);

/// A claim that is not marked as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unseen {
    pub(super) lease: String,
    pub(super) uid: String,
}

#[derive(Clone, Debug)]
struct Write {
    claim: Unseen,
    /// Whether its Job has been seen since.
    is_seen: bool,
    end: End,
}

/// Whether and when a write has ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Not,
    /// The API server has answered: a LIST has the claim, or it is already gone or marked.
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

    /// Whether a LIST that begins now may lack the claim, although it exists or will exist.
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
    /// The other writes at the time when this one began.
    others: Vec<Write>,
    /// How the write ends when this is dropped; `None` forgets it.
    end: Option<End>,
}

impl Begun {
    /// Begins to write the claim `lease` of the Job with this uid.
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
        // A Job has a claim for each of its keys, although forged reviews may name it in many.
        let mut seen: HashMap<String, usize> = HashMap::new();
        for write in writes.iter().filter(|write| write.is_seen) {
            *seen.entry(write.claim.uid.clone()).or_default() += 1;
        }
        for write in writes.iter_mut().filter(|write| !write.is_seen) {
            let uid = &write.claim.uid;
            let claims = seen.entry(uid.clone()).or_default();
            write.is_seen = *claims < KEYS && is_seen(uid);
            *claims += usize::from(write.is_seen);
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
    /// Whether this replica knows of so few claims with unseen Jobs that it need not list them.
    pub(super) fn is_one_of_few(&self) -> bool {
        self.others.iter().filter(|other| !other.is_seen).count() < FEW
    }

    /// Whether there is no room, whatever a LIST returns.
    pub(super) fn is_one_too_many(&self) -> bool {
        self.others.len() >= REMEMBERED || self.count(&[], |_| false) >= MOST
    }

    /// Whether the claim may be written in addition to `listed`, which was read after it began. Any write missing there
    /// either began earlier and is known, or comes later and counts this one.
    pub(super) fn has_room(
        mut self,
        listed: &[Unseen],
        is_seen: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let has_room = self.others.len() < REMEMBERED && self.count(listed, is_seen) < MOST;
        self.end = has_room.then(|| End::Unsure(Instant::now()));
        has_room.then_some(self)
    }

    /// The number of other claims of the namespace that exist or may exist, and whose Jobs have not been seen.
    fn count(&self, listed: &[Unseen], is_seen: impl Fn(&str) -> bool) -> usize {
        let of_seen = self.others.iter().filter(|other| other.is_seen);
        let of_seen = of_seen.map(|other| &other.claim);
        let listed_seen = listed.iter().filter(|claim| is_seen(&claim.uid));
        let mut seen: HashMap<&str, Vec<&str>> = HashMap::new();
        for claim in of_seen.chain(listed_seen) {
            let leases = seen.entry(&claim.uid).or_default();
            if leases.len() < KEYS && !leases.contains(&&*claim.lease) {
                leases.push(&claim.lease);
            }
        }
        let written = self.others.iter().filter(|other| other.may_come());
        let claims = listed.iter().chain(written.map(|other| &other.claim));
        let counted = claims.filter(|claim| {
            let leases = seen.get(&*claim.uid);
            let is_seen = leases.is_some_and(|leases| leases.contains(&&*claim.lease));
            !is_seen && claim.lease != self.claim.lease
        });
        let mut leases: Vec<_> = counted.map(|claim| &claim.lease).collect();
        leases.sort_unstable();
        leases.dedup();
        leases.len()
    }

    /// Records the API server's answer: the claim was written, or another one exists.
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
            // A write that was given up may still arrive from now on.
            Some(End::Unsure(_)) => writes[index].end = End::Unsure(Instant::now()),
            Some(end) => writes[index].end = end,
            None => drop(writes.swap_remove(index)),
        }
    }
}

#[cfg(test)]
mod tests;
