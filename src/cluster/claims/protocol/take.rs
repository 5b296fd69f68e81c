//! One attempt to take the claims of a Job: a state machine that gets the reply to each step and returns the next one.

use super::{Claim, Conclusion, Found, Listed, Reply, Standing, Step, Stored};

/// How many writes of one key may be lost to others before the attempt is given up. A holder costs four at most: its
/// claim, the mark that its Job was seen, its release, and the next holder, for which this Job then waits.
const MAX_LOSSES: usize = 4;

/// One attempt to take the claims of a Job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Take {
    me: Claim,
    dry_run: bool,
    /// The claims of its keys, as they were last read or written.
    leases: Vec<Option<Stored>>,
    /// The first holder whose claim this attempt has overwritten.
    taken_over: Option<Claim>,
    losses: usize,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// Read the claim of this key.
    Look(usize),
    /// Find out whether the holder of this key can still run.
    Judge {
        key: usize,
        gone: bool,
    },
    List,
    /// Write the claim of this key.
    Claim(usize),
    /// Write the claims that an active Job without one shares with this one, from this place in its keys.
    Assign(Listed, usize),
    /// Give the claim of this key back, because that of a later key was lost.
    GiveBack(usize),
    Done(Conclusion),
}

impl Take {
    /// An attempt for a Job with so many keys. A dry run takes no claim.
    #[must_use]
    pub(crate) fn new(me: Claim, keys: usize, dry_run: bool) -> Self {
        Self {
            me,
            dry_run,
            leases: vec![None; keys],
            taken_over: None,
            losses: 0,
            stage: Stage::Look(0),
        }
    }

    #[must_use]
    pub(crate) fn step(&self) -> Step {
        match &self.stage {
            Stage::Look(key) => Step::Look(*key),
            Stage::Judge { key, gone } => match (self.leases.get(*key), gone) {
                (Some(Some(holder)), false) => Step::FindJob(holder.claim.clone()),
                (Some(Some(holder)), true) => Step::FindPods(holder.claim.clone()),
                // This does not occur: without a holder there is nothing to judge.
                _ => Step::Look(0),
            },
            Stage::List => Step::List,
            Stage::Claim(key) => self.write(*key, &self.me),
            Stage::Assign(job, place) => self.write(job.keys[*place], &job.claim),
            Stage::GiveBack(key) => match &self.leases[*key] {
                Some(own) => Step::Delete(*key, own.version.clone()),
                // This does not occur: only what was written is given back.
                None => Step::Look(0),
            },
            Stage::Done(outcome) => Step::Done(outcome.clone()),
        }
    }

    /// Continues with the reply to the step.
    pub(crate) fn on(&mut self, reply: Reply) {
        let stage = std::mem::replace(&mut self.stage, Stage::List);
        self.stage = match (stage, reply) {
            (Stage::Look(key), Reply::Looked(lease)) => {
                self.leases[key] = lease;
                self.look(key + 1)
            }
            (Stage::Judge { key, .. }, Reply::Job(Found::Gone)) => Stage::Judge { key, gone: true },
            (Stage::Judge { key, .. }, Reply::Job(found)) => self.judged(key, found, false),
            (Stage::Judge { key, .. }, Reply::Pods(live)) => self.judged(key, Found::Gone, live),
            (Stage::List, Reply::Listed(listed)) => self.listed(listed),
            (Stage::Claim(key), Reply::Written(stored)) => {
                let former = self.leases[key].replace(stored).map(|lease| lease.claim);
                let former = former.filter(|claim| !claim.is_of(&self.me));
                self.taken_over = self.taken_over.take().or(former);
                self.claim(key + 1)
            }
            (Stage::Claim(key), Reply::Lost) | (Stage::GiveBack(key), _) if key > 0 => {
                Stage::GiveBack(key - 1)
            }
            (Stage::Assign(job, place), Reply::Written(stored)) => {
                self.assigned(job, place, stored)
            }
            // After any other reply, a new start is safe.
            _ => self.lost(),
        };
    }

    /// The claims that this attempt has written and not given back, in the order of the keys.
    pub(crate) fn written(&self) -> &[Option<Stored>] {
        match self.stage {
            Stage::Claim(key) => &self.leases[..key],
            Stage::GiveBack(key) => &self.leases[..=key],
            _ => &[],
        }
    }

    /// Overwrites the claim that was read, or creates it if there was none.
    fn write(&self, key: usize, claim: &Claim) -> Step {
        match &self.leases[key] {
            None => Step::Create(key, claim.clone()),
            // Our own claim from an earlier attempt is written again: a late write of that attempt must not find the
            // version it was decided on.
            Some(read) => Step::Replace(key, read.version.clone(), claim.over(read)),
        }
    }

    fn look(&self, key: usize) -> Stage {
        if key < self.leases.len() {
            Stage::Look(key)
        } else {
            self.judge(0)
        }
    }

    /// Begins to judge the next holder, from this key on.
    fn judge(&self, from: usize) -> Stage {
        let others = |lease: &Option<Stored>| {
            let holder = lease.as_ref().map(|lease| &lease.claim);
            holder.is_some_and(|claim| !claim.is_of(&self.me))
        };
        let next = self.leases.iter().skip(from).position(others);
        next.map_or(Stage::List, |next| Stage::Judge {
            key: from + next,
            gone: false,
        })
    }

    fn judged(&self, key: usize, found: Found, live: bool) -> Stage {
        let lease = self.leases[key].as_ref();
        let standing = |lease: &Stored| lease.claim.standing(found, live, self.me.since);
        match lease.and_then(|lease| Some((lease, standing(lease)?))) {
            None => self.judge(key + 1),
            Some((Stored { claim, version }, standing)) => Stage::Done(Conclusion::Waiting {
                holder: claim.clone(),
                lease: Some((key, version.clone())),
                standing,
            }),
        }
    }

    /// No holder can run. An active Job without a claim comes first.
    fn listed(&self, other: Option<Listed>) -> Stage {
        match other {
            None => self.claim(0),
            Some(job) if self.dry_run => Stage::Done(waiting(job, None)),
            Some(job) => Stage::Assign(job, 0),
        }
    }

    fn assigned(&mut self, mut job: Listed, place: usize, stored: Stored) -> Stage {
        let key = job.keys[place];
        if place + 1 < job.keys.len() {
            self.leases[key] = Some(stored);
            return Stage::Assign(job, place + 1);
        }
        job.claim = stored.claim;
        Stage::Done(waiting(job, Some((key, stored.version))))
    }

    /// Writes the claims, from this key on.
    fn claim(&self, key: usize) -> Stage {
        if self.dry_run {
            Stage::Done(Conclusion::Held { taken_over: None })
        } else if key < self.leases.len() {
            Stage::Claim(key)
        } else {
            let taken_over = self.taken_over.clone();
            Stage::Done(Conclusion::Held { taken_over })
        }
    }

    fn lost(&mut self) -> Stage {
        self.losses += 1;
        self.taken_over = None;
        if self.losses > MAX_LOSSES * self.leases.len() {
            Stage::Done(Conclusion::Contended)
        } else {
            Stage::Look(0)
        }
    }
}

fn waiting(job: Listed, lease: Option<(usize, super::Version)>) -> Conclusion {
    Conclusion::Waiting {
        holder: job.claim,
        lease,
        standing: Standing::Active(job.job),
    }
}

#[cfg(test)]
mod tests;
