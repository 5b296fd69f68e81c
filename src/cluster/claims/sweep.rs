//! Decides, from observations, the next step to give up a claim whose holder cannot run any more.
//!
//! This is only tidying: a migration that finds such a claim takes it over itself. Pure, like [`super::protocol`].

use jiff::Timestamp;

use super::protocol::{Claim, Found, Standing, Stored, Version};

/// The next step for a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    FindJob(Claim),
    FindPods(Claim),
    /// Mark its Job as seen.
    MarkSeen(Version),
    Release(Version),
    Leave,
}

/// The sweep of one claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sweep {
    stored: Stored,
    now: Timestamp,
    step: Step,
}

impl Sweep {
    /// `now` is the API server's clock, read before any of the following observations.
    pub(super) fn new(stored: Stored, now: Timestamp) -> Self {
        let step = Step::FindJob(stored.claim.clone());
        Self { stored, now, step }
    }

    pub(super) fn step(&self) -> &Step {
        &self.step
    }

    pub(super) fn on_job(&mut self, found: Found) {
        let claim = &self.stored.claim;
        self.step = match found {
            // Thousands of claims may be forged, and until they are old enough their pods do not matter.
            Found::Gone if claim.may_commit(self.now) && !claim.is_of_the_future(self.now) => {
                Step::Leave
            }
            Found::Gone => Step::FindPods(self.stored.claim.clone()),
            found => self.decide(found, false),
        };
    }

    pub(super) fn on_pods(&mut self, live: bool) {
        self.step = self.decide(Found::Gone, live);
    }

    fn decide(&self, found: Found, live: bool) -> Step {
        let (claim, version) = (&self.stored.claim, self.stored.version.clone());
        // A wrong clock or a forged review must not keep a claim for years.
        if found == Found::Gone && !live && claim.is_of_the_future(self.now) {
            return Step::Release(version);
        }
        match claim.standing(found, live, self.now) {
            None => Step::Release(version),
            // Once marked, its claim can be released as soon as the Job is gone.
            Some(Standing::Active { .. } | Standing::Deleted) if !claim.seen => {
                Step::MarkSeen(version)
            }
            Some(_) => Step::Leave,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_claim_of_a_time_to_come_is_given_up() {
        let now: Timestamp = "2026-11-24T23:00:00Z".parse().unwrap();
        let step = |ahead: i64| {
            let claim = Claim {
                namespace: "shop".to_owned(),
                job: "shop-migrate-1766361600".to_owned(),
                uid: "6f1f".to_owned(),
                since: now + SignedDuration::from_secs(ahead),
                user: String::new(),
                seen: false,
                transitions: 0,
            };
            let version = Version {
                uid: "l1".to_owned(),
                resource_version: "7".to_owned(),
            };
            let mut sweep = Sweep::new(Stored { claim, version }, now);
            sweep.on_job(Found::Gone);
            sweep.on_pods(false);
            sweep.step().clone()
        };
        assert_eq!(step(0), Step::Leave);
        assert_eq!(step(45), Step::Leave);
        assert!(matches!(step(46), Step::Release(_)));
        assert!(matches!(step(-46), Step::Release(_)));
    }
}
