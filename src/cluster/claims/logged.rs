//! Remembers which waiting migrations this replica has logged, so that a client that retries is logged once.
//!
//! Each replica remembers for itself: a second line from another one is harmless, and a claim that is not written for
//! each waiting migration is not fought over.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::store::Claimant;

/// How long after its last attempt a waiting migration is remembered. Helm retries at least every minute.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
/// Most waiting migrations that are remembered. A forgotten one is logged again.
const MOST: usize = 1000;

/// The waiting migrations, as hashes, with the time of their last attempt; the latest is last.
#[derive(Debug, Default)]
pub(super) struct Logged {
    hasher: RandomState,
    attempts: Mutex<VecDeque<(Instant, u64)>>,
}

impl Logged {
    /// Whether it is not logged yet that `waiting` waits for the Job with the uid `holder`. After this it is, except
    /// in a dry run.
    pub(super) fn is_first(
        &self,
        holder: &str,
        waiting: &Claimant<'_>,
        dry_run: bool,
        now: Instant,
    ) -> bool {
        // The parts that stay the same when a client retries.
        let name = waiting.generate_name.unwrap_or(waiting.job);
        let who = (holder, waiting.namespace, name, waiting.user);
        let hash = self.hasher.hash_one(who);
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.retain(|(at, _)| now.duration_since(*at) < REMEMBERED);
        let known = attempts.iter().position(|(_, other)| *other == hash);
        if !dry_run {
            known.and_then(|index| attempts.remove(index));
            if attempts.len() == MOST {
                attempts.pop_front();
            }
            attempts.push_back((now, hash));
        }
        known.is_none()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const WEB: Claimant<'_> = Claimant {
        namespace: "shop",
        job: "web-migrate-x7k2p",
        generate_name: Some("web-migrate-"),
        uid: "1",
        created: Timestamp::UNIX_EPOCH,
        user: "ci",
    };

    #[test]
    fn a_retry_is_the_same_migration() {
        let (logged, now) = (Logged::default(), Instant::now());
        let is_first = |holder, waiting| logged.is_first(holder, &waiting, false, now);
        assert!(logged.is_first("old", &WEB, true, now), "a dry run");
        assert!(is_first("old", WEB));
        let job = "web-migrate-9c4qz";
        let uid = "2";
        assert!(!is_first("old", Claimant { job, uid, ..WEB }));
        for other in [
            Claimant { user: "me", ..WEB },
            Claimant {
                namespace: "billing",
                ..WEB
            },
            Claimant {
                generate_name: None,
                ..WEB
            },
        ] {
            assert!(is_first("old", other));
        }
        assert!(is_first("new", WEB));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (logged, now) = (Logged::default(), Instant::now());
        let is_first = |holder: &str, now| logged.is_first(holder, &WEB, false, now);
        assert!(is_first("old", now));
        let (before, later) = (REMEMBERED.mul_f64(0.9), now + REMEMBERED);
        assert!(!is_first("old", now + before), "retried");
        assert!(!is_first("old", later), "remembered since the last attempt");
        assert!(is_first("old", later + REMEMBERED));
        for number in 1..MOST {
            assert!(is_first(&number.to_string(), later + REMEMBERED));
        }
        assert!(!is_first("old", later + REMEMBERED));
        assert!(is_first("one more", later + REMEMBERED));
        assert!(is_first("1", later + REMEMBERED), "the oldest is forgotten");
        assert!(!is_first("old", later + REMEMBERED));
    }
}
