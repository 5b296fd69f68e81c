//! When a client that has to wait retries, and for how long it goes on. Not for why it waits.
//!
//! Helm, kubectl and all other programs with client-go take `Retry-After` as it is, and retry ten times, creates too
//! (`k8s.io/client-go: rest/with_retry.go`). They show nothing meanwhile.

use jiff::SignedDuration;

/// The limits of `Retry-After`, in seconds. Ten retries at the longest one take ten minutes.
const SHORTEST: i64 = 15;
const LONGEST: i64 = 60;

/// A wait for a migration of this age; without one if nothing is known of the other migration.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retry(pub(crate) Option<SignedDuration>);

impl Retry {
    /// `Retry-After` in seconds: as long as the other migration has lasted so far. Whoever waits for it gets the same,
    /// and nothing has to be counted.
    pub(crate) fn seconds(self) -> i64 {
        let age = self.0.map_or(SHORTEST, |age| age.as_secs());
        age.clamp(SHORTEST, LONGEST)
    }

    /// The words for what the clients do. They stay true while the same migration is waited for, and are also read at
    /// the end of the wait.
    pub(crate) fn words(self) -> &'static str {
        match self.0 {
            Some(_) => "Helm and kubectl retry by themselves for eight to ten minutes",
            None => "Helm and kubectl retry by themselves for at least two minutes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(age: i64) -> i64 {
        Retry(Some(SignedDuration::from_secs(age))).seconds()
    }

    /// How long a client waits that comes when the other migration has this age.
    fn patience(mut age: i64) -> i64 {
        let since = age;
        for _ in 0..10 {
            age += after(age);
        }
        age - since
    }

    #[test]
    fn the_longer_it_lasts_the_later_is_the_next_try() {
        for (age, seconds) in [
            (i64::MIN, 15),
            (-3, 15),
            (0, 15),
            (14, 15),
            (15, 15),
            (16, 16),
            (59, 59),
            (60, 60),
            (61, 60),
            (86_400, 60),
            (i64::MAX, 60),
        ] {
            assert_eq!(after(age), seconds, "{age}");
        }
        let part = SignedDuration::from_millis(16_999);
        assert_eq!(Retry(Some(part)).seconds(), 16, "whole seconds");
        assert_eq!(Retry(None).seconds(), 15);
    }

    #[test]
    fn the_words_are_true_for_young_and_old_migrations() {
        let waits = (0..600).map(patience);
        assert_eq!(waits.clone().min(), Some(8 * 60));
        assert_eq!(waits.max(), Some(10 * 60));
        let words = Retry(Some(SignedDuration::ZERO)).words();
        assert!(words.ends_with("for eight to ten minutes"), "{words}");
        assert!(10 * Retry(None).seconds() >= 2 * 60);
    }
}
