//! The turns in which large reviews are evaluated, each on a thread of its own. Not for small ones, which take none.

use super::refusal::Refusal;
use futures_util::future::BoxFuture;
use std::{future::poll_fn, mem, sync::Arc, task::Poll};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// How many larger bodies are evaluated at once, each on a thread of its own. More would take CPU time from the worker
/// that answers small reviews and `/livez`.
const TURNS: u32 = 2;

/// Bodies of at least this size take all turns: parsed, one may take ten times its length.
const HUGE: usize = 1 << 20;

/// The turns of all large reviews.
pub(super) struct Turns(Arc<Semaphore>);

/// The turns that one of them takes.
pub(super) struct Own {
    all: Arc<Semaphore>,
    number: u32,
    deadline: Instant,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(TURNS as usize)))
    }

    /// The turns for a body of this length.
    pub(super) fn of(&self, length: usize, deadline: Instant) -> Own {
        Own {
            all: Arc::clone(&self.0),
            number: if length < HUGE { 1 } else { TURNS },
            deadline,
        }
    }
}

impl Own {
    /// Waits for a turn, which ends when it is dropped.
    pub(super) async fn take(&self) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        let turn = Arc::clone(&self.all).acquire_many_owned(self.number);
        let turn = timeout_at(self.deadline, turn).await;
        // The semaphore is never closed.
        Ok(turn.map_err(|_| Refusal::overloaded())?.ok())
    }

    /// Runs a review, and holds a turn whenever it computes. While it waits for the API server, others may compute.
    pub(super) async fn run<T>(
        &self,
        mut review: BoxFuture<'_, T>,
        mut turn: Option<OwnedSemaphorePermit>,
    ) -> Result<T, Refusal> {
        loop {
            let polled = poll_fn(|cx| Poll::Ready(review.as_mut().poll(cx))).await;
            if let Poll::Ready(reviewed) = polled {
                return Ok(reviewed);
            }
            drop(turn);
            let mut is_woken = false;
            poll_fn(|_| {
                if mem::replace(&mut is_woken, true) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            turn = self.take().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{sync::oneshot, task::yield_now};

    #[tokio::test]
    async fn a_turn_is_held_before_and_after_a_wait() {
        let deadline = Instant::now() + Duration::from_secs(60);
        let place = Turns(Arc::new(Semaphore::new(1))).of(1, deadline);
        let turn = place.take().await.ok().flatten();
        let free = || place.all.available_permits();
        let (answer, answered) = oneshot::channel();
        let review = async move {
            let before = free();
            answered.await.unwrap();
            (before, free())
        };
        let api_server = async move {
            while free() == 0 {
                yield_now().await;
            }
            answer.send(()).unwrap();
        };
        let (reviewed, ()) = tokio::join!(place.run(Box::pin(review), turn), api_server);
        assert_eq!(reviewed.ok(), Some((0, 0)));
    }
}
