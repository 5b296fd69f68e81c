//! Seats for what is asked at once, with a share for each namespace: who asks much about one namespace keeps nobody
//! of another waiting.
//!
//! Not a limit of time: the caller has one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// So many at once, and so many of one namespace.
#[derive(Debug)]
pub(super) struct Seats {
    all: Semaphore,
    share: usize,
    /// The namespaces that somebody asks about or waits for.
    namespaces: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A place for one, until this is dropped.
#[derive(Debug)]
pub(super) struct Seat<'s> {
    _all: Result<SemaphorePermit<'s>, AcquireError>,
    _own: Result<OwnedSemaphorePermit, AcquireError>,
}

impl Seats {
    pub(super) fn new(all: usize, share: usize) -> Self {
        Self {
            all: Semaphore::new(all),
            share,
            namespaces: Mutex::default(),
        }
    }

    /// Waits for a seat. Of one namespace no more than its share stand in the line that all have in common.
    pub(super) async fn take(&self, namespace: &str) -> Seat<'_> {
        // Nobody closes them.
        let own = self.of(namespace).acquire_owned().await;
        let all = self.all.acquire().await;
        Seat {
            _all: all,
            _own: own,
        }
    }

    fn of(&self, namespace: &str) -> Arc<Semaphore> {
        let namespaces = self.namespaces.lock();
        let mut namespaces = namespaces.unwrap_or_else(PoisonError::into_inner);
        // Reviews name any number of them.
        namespaces.retain(|_, seats| Arc::strong_count(seats) > 1);
        let seats = namespaces.entry(namespace.to_owned());
        Arc::clone(seats.or_insert_with(|| Arc::new(Semaphore::new(self.share))))
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
        // The others have three seats left, and the next one waits for one that is given back.
        for namespace in ["a", "b", "c"] {
            seated.extend(seats.take(namespace).now_or_never());
        }
        assert_eq!(seated.len(), 4);
        let mut victim = Box::pin(seats.take("victim"));
        assert!(victim.as_mut().now_or_never().is_none());
        // It stands behind one of the crowd at most.
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
        assert_eq!(seats.namespaces.lock().unwrap().len(), 1);
    }
}
