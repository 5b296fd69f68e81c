//! Limits concurrent requests in all and per namespace, so that a crowd of requests about one namespace does not delay
//! those about others.
//!
//! The caller limits the time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Seats for `all` requests at once, of which `share` may be about the same namespace.
#[derive(Debug)]
pub(in crate::cluster) struct Seats {
    all: Semaphore,
    own: Shares<String>,
}

/// Permission for one request, until it is dropped.
#[derive(Debug)]
pub(in crate::cluster) struct Seat<'s> {
    _all: Result<SemaphorePermit<'s>, AcquireError>,
    _own: Result<OwnedSemaphorePermit, AcquireError>,
}

/// The same number of permits for each of any number of places.
#[derive(Debug)]
pub(super) struct Shares<K> {
    each: usize,
    /// The places with a permit that is taken or waited for.
    places: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl Seats {
    pub(in crate::cluster) fn new(all: usize, share: usize) -> Self {
        Self {
            all: Semaphore::new(all),
            own: Shares::new(share),
        }
    }

    /// Waits for a seat. At most `share` requests of one namespace wait in the common queue.
    pub(in crate::cluster) async fn take(&self, namespace: &str) -> Seat<'_> {
        // The semaphores are never closed.
        let own = self.own.of(namespace.to_owned()).acquire_owned().await;
        let all = self.all.acquire().await;
        Seat {
            _all: all,
            _own: own,
        }
    }
}

impl<K: Eq + Hash> Shares<K> {
    pub(super) fn new(each: usize) -> Self {
        Self {
            each,
            places: Mutex::default(),
        }
    }

    pub(super) fn of(&self, place: K) -> Arc<Semaphore> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Reviews may name any number of namespaces.
        places.retain(|_, permits| Arc::strong_count(permits) > 1);
        let permits = places.entry(place);
        Arc::clone(permits.or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_crowd_of_one_namespace_has_its_share_and_no_more() {
        let seats = Seats::new(4, 1);
        let mut crowd: Vec<_> = (0..250).map(|_| Box::pin(seats.take("evil"))).collect();
        let mut seated: Vec<_> = crowd
            .iter_mut()
            .filter_map(FutureExt::now_or_never)
            .collect();
        assert_eq!(seated.len(), 1);
        // Three seats are left for other namespaces, and the next request waits until one is returned.
        for namespace in ["a", "b", "c"] {
            seated.extend(seats.take(namespace).now_or_never());
        }
        assert_eq!(seated.len(), 4);
        let mut victim = Box::pin(seats.take("victim"));
        assert!(victim.as_mut().now_or_never().is_none());
        // At most one of the crowd is before it.
        seated.remove(0);
        seated.extend(victim.as_mut().now_or_never());
        assert_eq!(seated.len(), 4);
        assert!(crowd[1].as_mut().now_or_never().is_none());
    }

    #[test]
    fn namespaces_that_nobody_asks_about_are_forgotten() {
        let seats = Seats::new(4, 1);
        for number in 0..100 {
            let seat = seats.take(&number.to_string()).now_or_never();
            assert!(seat.is_some());
        }
        assert_eq!(seats.own.places.lock().unwrap().len(), 1);
    }
}
