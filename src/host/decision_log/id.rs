//! Ids of decisions: UUIDs of version 7, sortable by time.
//!
//! `Uuid::now_v7` takes a lock and asks the kernel for random bits, for each id; next to a review
//! that is much. These are as unique: what the process was given at its start tells them from
//! those of other replicas, a counter from each other.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;
use uuid::{Builder, Uuid};

/// Odd, so that its multiples go through all 64-bit numbers before one comes again, and with no
/// pattern that an eye would see (2^64 divided by the golden ratio).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// An id for what happens at `now`.
#[must_use]
pub fn next(now: Timestamp) -> Uuid {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(seed()));
    let unique = NEXT.fetch_add(STEP, Ordering::Relaxed);
    // The part of a millisecond first, so that ids of one process sort within it, too.
    let nanos = u32::try_from(now.as_nanosecond().rem_euclid(1_000_000)).unwrap_or_default();
    let part = u16::try_from((nanos << 12) / 1_000_000).unwrap_or_default();
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&part.to_be_bytes());
    bytes[2..].copy_from_slice(&unique.to_be_bytes());
    let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
    Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}

/// 62 random bits; the two highest are the id's variant and go unused.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Uuid::now_v7())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_version_7_and_sort_by_time() {
        let at = |nanos: i128| Timestamp::from_nanosecond(1_766_361_600_000_000_000 + nanos);
        let ids: Vec<Uuid> = [0, 1_000, 999_999, 1_000_000, 2_000_000_000]
            .into_iter()
            .map(|nanos| next(at(nanos).unwrap()))
            .collect();
        assert!(ids.is_sorted(), "{ids:?}");
        for id in ids {
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        }
    }

    #[test]
    fn ids_of_one_moment_differ() {
        let now = Timestamp::UNIX_EPOCH;
        let ids: BTreeSet<Uuid> = (0..10_000).map(|_| next(now)).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
