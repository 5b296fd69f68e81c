//! How many claims of one namespace name a Job that nobody has seen.
//!
//! Whoever reaches the port can ask for claims of Jobs that never come. Each is a Lease until it expires, so their
//! number is limited, for each namespace by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most claims of a namespace whose Jobs have not been seen. A Job is seen within seconds.
pub(super) const MOST: usize = 50;

/// The claims that this replica is about to write: by namespace, the names of their Leases. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(Arc<Mutex<HashMap<String, Vec<String>>>>);

/// A claim that is about to be written, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    begun: Begun,
    namespace: String,
    lease: String,
    others: Vec<String>,
}

impl Begun {
    /// Begins to write the claim that is this Lease.
    pub(super) fn begin(&self, namespace: &str, lease: &str) -> Turn {
        let mut begun = self.lock();
        let leases = begun.entry(namespace.to_owned()).or_default();
        let others = leases.clone();
        leases.push(lease.to_owned());
        Turn {
            begun: self.clone(),
            namespace: namespace.to_owned(),
            lease: lease.to_owned(),
            others,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Whether the claim may be written beside these, which were listed since it was begun: whatever was not written
    /// by then was begun before or comes after, and counts this one.
    pub(super) fn has_room(mut self, listed: impl Iterator<Item = String>) -> Option<Self> {
        self.others.extend(listed);
        self.others.sort_unstable();
        self.others.dedup();
        let count = self.others.iter().filter(|other| **other != self.lease);
        (count.count() < MOST).then_some(self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut begun = self.begun.lock();
        let Some(leases) = begun.get_mut(&self.namespace) else {
            return;
        };
        if let Some(index) = leases.iter().position(|lease| *lease == self.lease) {
            leases.swap_remove(index);
        }
        if leases.is_empty() {
            begun.remove(&self.namespace);
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
        // Its own is not another one.
        assert!(
            begun
                .begin("shop", "claim-0")
                .has_room(leases(50))
                .is_some()
        );
        assert!(begun.lock().is_empty());
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
