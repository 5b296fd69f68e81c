//! Requests that many callers share: all who ask the same question before its request is sent get one answer.
//!
//! A request that has been sent is not joined, because its answer may be older than the caller. Of each question one
//! request is under way at a time, so a crowd with one question costs two requests.

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::ApiError;
use super::seats::{Seats, Shares};

/// One request, for which many callers may wait. It goes on until the last of them gives up.
type Request<A> = Shared<BoxFuture<'static, Result<A, ApiError>>>;

/// Questions of type `Q` with answers of type `A`. Clones share them.
#[derive(Clone)]
pub(in crate::cluster) struct Questions<Q, A>(Arc<Inner<Q, A>>);

struct Inner<Q, A> {
    seats: Seats,
    /// One request of each question at a time.
    turns: Shares<Q>,
    /// The requests that have not been sent yet.
    unsent: Mutex<HashMap<Q, Unsent<A>>>,
}

type Unsent<A> = WeakShared<BoxFuture<'static, Result<A, ApiError>>>;

impl<Q, A> Questions<Q, A>
where
    Q: Clone + Eq + Hash + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
{
    pub(in crate::cluster) fn new(seats: Seats) -> Self {
        Self(Arc::new(Inner {
            seats,
            turns: Shares::new(1),
            unsent: Mutex::default(),
        }))
    }

    /// Asks a question that takes one of the seats of `place`, such as a namespace. The caller limits the time, and
    /// the request is only sent if no other caller waits with the same question.
    pub(in crate::cluster) fn ask(
        &self,
        place: &str,
        question: Q,
        request: impl Future<Output = Result<A, ApiError>> + Send + 'static,
    ) -> Request<A> {
        let mut unsent = self.0.unsent();
        // Drops requests whose callers have all given up.
        unsent.retain(|_, asking| asking.upgrade().is_some());
        if let Some(asking) = unsent.get(&question).and_then(WeakShared::upgrade) {
            return asking;
        }
        let (inner, place, asked) = (Arc::clone(&self.0), place.to_owned(), question.clone());
        let asking = async move {
            // The semaphores are never closed.
            let _turn = inner.turns.of(asked.clone()).acquire_owned().await;
            let _seat = inner.seats.take(&place).await;
            // Later callers need a request that is sent later.
            inner.unsent().remove(&asked);
            // Otherwise its other callers would wait for ever.
            let answer = AssertUnwindSafe(request).catch_unwind().await;
            answer.unwrap_or_else(|_| {
                Err(ApiError::Unreadable {
                    doing: "read from the API server".to_owned(),
                    why: "the program has a defect".to_owned(),
                })
            })
        };
        let asking = asking.boxed().shared();
        unsent.extend(asking.downgrade().map(|weak| (question, weak)));
        asking
    }
}

impl<Q, A> Inner<Q, A> {
    fn unsent(&self) -> MutexGuard<'_, HashMap<Q, Unsent<A>>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinHandle;

    use super::*;
    use crate::cluster::api::testing::Clock;

    /// Answers with the number of the request, at the next tick.
    struct Rig {
        questions: Questions<String, usize>,
        sent: Arc<AtomicUsize>,
        clock: Clock,
    }

    type Asking = JoinHandle<Result<usize, ApiError>>;

    impl Rig {
        fn new() -> Self {
            Self {
                questions: Questions::new(Seats::new(4, 2)),
                sent: Arc::default(),
                clock: Clock::default(),
            }
        }

        fn ask(&self, place: &str, question: &str) -> Asking {
            let (sent, clock) = (Arc::clone(&self.sent), self.clock.clone());
            let is_broken = question == "broken";
            let request = async move {
                let number = sent.fetch_add(1, Ordering::Relaxed) + 1;
                clock.next().await;
                if is_broken {
                    return Err(ApiError::Contended(number.to_string()));
                }
                Ok(number)
            };
            tokio::spawn(self.questions.ask(place, question.to_owned(), request))
        }

        fn sent(&self) -> usize {
            self.sent.load(Ordering::Relaxed)
        }
    }

    async fn answer(asking: Asking) -> usize {
        assert!(asking.is_finished());
        asking.await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn who_asks_after_the_request_was_sent_gets_a_newer_answer() {
        let rig = Rig::new();
        let first = rig.ask("shop", "jobs");
        rig.clock.settle().await;
        let late: Vec<_> = (0..300).map(|_| rig.ask("shop", "jobs")).collect();
        rig.clock.settle().await;
        assert_eq!(rig.sent(), 1, "they wait for their turn");
        rig.clock.tick().await;
        rig.clock.tick().await;
        assert_eq!(answer(first).await, 1);
        for late in late {
            assert_eq!(answer(late).await, 2);
        }
        assert_eq!(rig.sent(), 2);
    }

    #[tokio::test]
    async fn who_gives_up_takes_the_answer_from_no_other() {
        let rig = Rig::new();
        let crowd: Vec<_> = (0..3).map(|_| rig.ask("shop", "jobs")).collect();
        // Those who have polled the request leave one after the other.
        for asking in &crowd[..2] {
            rig.clock.settle().await;
            asking.abort();
        }
        rig.clock.tick().await;
        let [_, _, last] = <[Asking; 3]>::try_from(crowd).unwrap();
        assert_eq!(answer(last).await, 1);
        // If all of them leave, the next one neither waits for the request nor gets its answer.
        let gone = rig.ask("shop", "jobs");
        rig.clock.settle().await;
        gone.abort();
        let next = rig.ask("shop", "jobs");
        rig.clock.tick().await;
        assert_eq!(answer(next).await, 3);
        assert!(rig.questions.0.unsent().is_empty());
    }

    #[tokio::test]
    async fn a_failure_is_the_answer_of_all_who_share_it() {
        let rig = Rig::new();
        let crowd: Vec<_> = (0..9).map(|_| rig.ask("shop", "broken")).collect();
        rig.clock.tick().await;
        for asking in crowd {
            assert!(
                matches!(asking.await.unwrap(), Err(ApiError::Contended(number)) if number == "1")
            );
        }
        assert_eq!(rig.sent(), 1);
    }

    #[tokio::test]
    async fn a_crowded_place_has_its_share_and_others_go_on() {
        let rig = Rig::new();
        let crowd: Vec<_> = (0..100)
            .map(|number| rig.ask("evil", &number.to_string()))
            .collect();
        rig.clock.settle().await;
        assert_eq!(rig.sent(), 2);
        let victim = rig.ask("shop", "jobs");
        rig.clock.tick().await;
        assert!(victim.is_finished());
        assert!(!crowd[99].is_finished());
    }

    fn defect() -> impl Future<Output = Result<usize, ApiError>> {
        futures_util::future::lazy(|_| panic!("a defect"))
    }

    #[tokio::test]
    async fn a_panic_is_an_error_for_all_who_wait() {
        let questions = Questions::new(Seats::new(1, 1));
        let ask = || questions.ask("shop", "q", defect());
        let (one, other) = tokio::join!(ask(), ask());
        let expected = "failed to read from the API server: the program has a defect";
        for answer in [one, other] {
            assert_eq!(answer.unwrap_err().to_string(), expected);
        }
        // Its seat is free again.
        assert_eq!(
            questions.ask("shop", "q", async { Ok(1) }).await.unwrap(),
            1
        );
    }
}
