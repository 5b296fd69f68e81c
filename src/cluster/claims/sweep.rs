//! Giving up claims whose holder cannot run any more: the next step, from what has been observed.
//!
//! Nothing depends on it but tidiness: who finds such a claim in his way takes it over by himself. Pure,
//! as [`super::protocol`] is.

use jiff::Timestamp;

use super::protocol::{Claim, Found, Standing, Stored, Version};

/// What to do next with a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Read its Job.
    FindJob(Claim),
    /// List the pods of its Job.
    FindPods(Claim),
    /// Write down that its Job has been seen.
    MarkSeen(Version),
    /// Delete it.
    Release(Version),
    /// Nothing.
    Leave,
}

/// One claim being looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sweep {
    stored: Stored,
    now: Timestamp,
    step: Step,
}

impl Sweep {
    /// `now` is the apiserver's clock, and has been read before anything here is asked.
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
            // Thousands may be forged, and nothing follows from their pods before they are old enough.
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
        // A clock that was wrong, or a forged review, is no reason to wait for years.
        if found == Found::Gone && !live && claim.is_of_the_future(self.now) {
            return Step::Release(version);
        }
        match claim.standing(found, live, self.now) {
            None => Step::Release(version),
            // Then it need not be waited for once it is gone.
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
                waiters: Vec::new(),
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
