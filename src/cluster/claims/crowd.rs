//! How many claims of one namespace name a Job that nobody has seen.
//!
//! Whoever reaches the port can ask for claims of Jobs that never come. Each is a Lease until it expires, so their
//! number is limited, for each namespace by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most claims of a namespace whose Jobs have not been seen. A Job is seen within seconds.
pub(super) const MOST: usize = 50;

/// So few claims are written without a look at all of the namespace, which would make every claim wait for it. Each
/// replica may exceed [`MOST`] by as many.
const FEW: usize = 8;

/// How long a claim counts after its write has ended: longer than one lives whose Job never comes, and a write that
/// was given up may still arrive.
const LATE: Duration = Duration::from_secs(60);

/// The claims that this replica writes or has just written, by namespace. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(Arc<Mutex<HashMap<String, Vec<Write>>>>);

/// One write of a claim.
#[derive(Debug)]
struct Write {
    lease: String,
    /// When it ended; nothing while it goes on.
    ended: Option<Instant>,
}

/// A claim that is about to be written, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    begun: Begun,
    namespace: String,
    lease: String,
    others: Vec<String>,
    /// There is room, so it is written.
    is_written: bool,
}

impl Begun {
    /// Begins to write the claim that is this Lease.
    pub(super) fn begin(&self, namespace: &str, lease: &str) -> Turn {
        let mut begun = self.lock();
        begun.retain(|_, writes| {
            writes.retain(|write| write.ended.is_none_or(|ended| ended.elapsed() < LATE));
            !writes.is_empty()
        });
        let writes = begun.entry(namespace.to_owned()).or_default();
        let others = writes.iter().map(|write| write.lease.clone()).collect();
        writes.push(Write {
            lease: lease.to_owned(),
            ended: None,
        });
        Turn {
            begun: self.clone(),
            namespace: namespace.to_owned(),
            lease: lease.to_owned(),
            others,
            is_written: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Write>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Whether this replica writes so few claims of the namespace that the others need not be listed.
    pub(super) fn is_one_of_few(&self) -> bool {
        self.others.len() < FEW
    }

    /// Whether the claim may be written beside these, which were listed since it was begun: whatever was not written
    /// by then was begun before or comes after, and counts this one.
    pub(super) fn has_room(mut self, listed: impl Iterator<Item = String>) -> Option<Self> {
        self.others.extend(listed);
        self.others.sort_unstable();
        self.others.dedup();
        let count = self.others.iter().filter(|other| **other != self.lease);
        self.is_written = count.count() < MOST;
        self.is_written.then_some(self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut begun = self.begun.lock();
        let Some(writes) = begun.get_mut(&self.namespace) else {
            return;
        };
        let own = |write: &Write| write.ended.is_none() && write.lease == self.lease;
        let Some(index) = writes.iter().position(own) else {
            return;
        };
        if self.is_written {
            writes[index].ended = Some(Instant::now());
        } else {
            writes.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(count: usize) -> impl Iterator<Item = String> {
        (0..count).map(|n| format!("claim-{n}"))
    }

    #[test]
    fn a_namespace_has_room_for_fifty() {
        let begun = Begun::default();
        let room = |count| {
            begun
                .begin("shop", "claim-new")
                .has_room(leases(count))
                .is_some()
        };
        assert!(room(49));
        assert!(!room(50));
        // Its own is not another one; the one that was just written is.
        assert!(
            begun
                .begin("shop", "claim-0")
                .has_room(leases(49))
                .is_some()
        );
        // What was written counts a little longer, under its own name, and what was refused does not.
        let names: Vec<_> = begun.lock()["shop"]
            .iter()
            .map(|write| (write.lease.clone(), write.ended.is_some()))
            .collect();
        let written = |name: &str| (name.to_owned(), true);
        assert_eq!(names, [written("claim-new"), written("claim-0")]);
    }

    #[test]
    fn what_is_begun_counts_once_and_elsewhere_not() {
        let begun = Begun::default();
        let turns: Vec<_> = leases(50).map(|name| begun.begin("shop", &name)).collect();
        let room = |namespace, listed| {
            let turn = begun.begin(namespace, "claim-new");
            turn.has_room(leases(listed)).is_some()
        };
        assert!(!room("shop", 0));
        assert!(room("other", 0));
        drop(turns);
        assert!(room("shop", 49));
        let half: Vec<_> = leases(40).map(|name| begun.begin("shop", &name)).collect();
        assert!(room("shop", 45), "the same are counted once");
        drop(half);
    }
}
