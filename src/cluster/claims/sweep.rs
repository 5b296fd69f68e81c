//! Decides, from observations, the next step to give up a claim whose holder cannot run any more.
//!
//! This is only tidying: a migration that finds such a claim takes it over itself. Pure, like [`super::protocol`].

use jiff::Timestamp;

use super::protocol::{Claim, Found, Standing, Stored, Version};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SweepStep {
    FindJob(Claim),
    FindPods(Claim),
    /// Mark its Job as seen.
    MarkSeen(Version),
    Release(Version),
    Leave,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sweep {
    stored: Stored,
    now: Timestamp,
    step: SweepStep,
}

impl Sweep {
    /// `now` is the API server's clock, read before any of the following observations.
    pub(super) fn new(stored: Stored, now: Timestamp) -> Self {
        let step = SweepStep::FindJob(stored.claim.clone());
        Self { stored, now, step }
    }

    pub(super) fn step(&self) -> &SweepStep {
        &self.step
    }

    pub(super) fn on_job(&mut self, found: Found) {
        let claim = &self.stored.claim;
        self.step = match found {
            // Thousands of claims may be forged, and until they are old enough their pods do not matter.
            Found::Gone if claim.may_commit(self.now) && !claim.is_of_the_future(self.now) => {
                SweepStep::Leave
            }
            Found::Gone => SweepStep::FindPods(self.stored.claim.clone()),
            found => self.decide(found, false),
        };
    }

    pub(super) fn on_pods(&mut self, live: bool) {
        self.step = self.decide(Found::Gone, live);
    }

    fn decide(&self, found: Found, live: bool) -> SweepStep {
        let (claim, version) = (&self.stored.claim, self.stored.version.clone());
        // A wrong clock or a forged review must not keep a claim for years.
        if found == Found::Gone && !live && claim.is_of_the_future(self.now) {
            return SweepStep::Release(version);
        }
        match claim.standing(found, live, self.now) {
            None => SweepStep::Release(version),
            // Once marked, its claim can be released as soon as the Job is gone.
            Some(Standing::Active(_) | Standing::Deleted) if !claim.seen => {
                SweepStep::MarkSeen(version)
            }
            Some(_) => SweepStep::Leave,
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
            let mut stored = Stored::default();
            stored.claim.since = now + SignedDuration::from_secs(ahead);
            let mut sweep = Sweep::new(stored, now);
            sweep.on_job(Found::Gone);
            sweep.on_pods(false);
            sweep.step().clone()
        };
        for (ahead, released) in [(0, false), (45, false), (46, true), (-46, true)] {
            assert_eq!(
                matches!(step(ahead), SweepStep::Release(_)),
                released,
                "{ahead}"
            );
        }
    }
}
