//! One attempt to take a claim: a state machine that gets the reply to each step and returns the next one.

use super::{Claim, Conclusion, Found, Listed, Reply, Standing, Step, Stored, Version};

/// How many writes may be lost to others before the attempt is given up. A holder costs four at most: the create that
/// finds its claim, the mark that its Job was seen, its release, and the next holder, for which this Job then waits.
const MAX_LOSSES: u8 = 4;

/// One attempt to take a claim, after its first step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Take {
    me: Claim,
    dry_run: bool,
    /// The active Jobs of the key, from the LIST.
    listed: Vec<Listed>,
    /// Whether the claim has been written in this attempt.
    written: bool,
    losses: u8,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Create,
    Look,
    /// Finds out whether the suspect with this index can still run.
    Judge {
        lease: Option<Stored>,
        suspect: usize,
        gone: bool,
    },
    Write {
        version: Version,
        claim: Claim,
        standing: Option<Standing>,
        over: Option<Claim>,
    },
    Done(Conclusion),
}

impl Take {
    /// The first step, which is sent together with the LIST. A dry run does not take the claim.
    #[must_use]
    pub(crate) fn first(me: &Claim, dry_run: bool) -> Step {
        if dry_run {
            Step::Look
        } else {
            Step::Create(me.clone())
        }
    }

    /// Continues with the reply to the first step and the active Jobs of the key, from the LIST.
    #[must_use]
    pub(crate) fn opened(me: Claim, dry_run: bool, mut listed: Vec<Listed>, reply: Reply) -> Self {
        listed.retain(|job| job.claim.uid != me.uid);
        let mut take = Self {
            me,
            dry_run,
            listed,
            written: false,
            losses: 0,
            stage: if dry_run { Stage::Look } else { Stage::Create },
        };
        take.on(reply);
        take
    }

    #[must_use]
    pub(crate) fn step(&self) -> Step {
        match &self.stage {
            Stage::Create => Step::Create(self.me.clone()),
            Stage::Look => Step::Look,
            Stage::Judge {
                lease,
                suspect,
                gone,
            } => match (self.suspect(lease.as_ref(), *suspect), gone) {
                (Some(job), false) => Step::FindJob(job.clone()),
                (Some(job), true) => Step::FindPods(job.clone()),
                // This does not occur: without a suspect there is nothing to judge.
                (None, _) => Step::Look,
            },
            Stage::Write { version, claim, .. } => Step::Replace(version.clone(), claim.clone()),
            Stage::Done(outcome) => Step::Done(outcome.clone()),
        }
    }

    /// Continues with the reply to the step.
    pub(crate) fn on(&mut self, reply: Reply) {
        let stage = std::mem::replace(&mut self.stage, Stage::Look);
        self.stage = match (stage, reply) {
            (Stage::Create, Reply::Written(stored)) => {
                self.written = true;
                self.judge(Some(stored), 0)
            }
            (Stage::Look, Reply::Looked(None)) if !self.dry_run => Stage::Create,
            (Stage::Look, Reply::Looked(lease)) => self.judge(lease, 0),
            (Stage::Judge { lease, suspect, .. }, Reply::Job(Found::Gone)) => Stage::Judge {
                lease,
                suspect,
                gone: true,
            },
            (Stage::Judge { lease, suspect, .. }, Reply::Job(found)) => {
                self.judged(lease, suspect, found, false)
            }
            (Stage::Judge { lease, suspect, .. }, Reply::Pods(live)) => {
                self.judged(lease, suspect, Found::Gone, live)
            }
            (Stage::Write { standing, over, .. }, Reply::Written(stored)) => {
                Stage::Done(match standing {
                    Some(standing) => Conclusion::Waiting {
                        holder: stored.claim,
                        version: Some(stored.version),
                        standing,
                    },
                    None => Conclusion::Held { taken_over: over },
                })
            }
            // For any other reply, reading the claim again is always safe.
            _ => self.lost(),
        };
    }

    /// The migrations that may be running: the claim's holder first, then the Jobs without a claim.
    fn suspect<'a>(&'a self, lease: Option<&'a Stored>, index: usize) -> Option<&'a Claim> {
        let holder = lease
            .map(|stored| &stored.claim)
            .filter(|claim| claim.uid != self.me.uid);
        let unclaimed = self
            .listed
            .iter()
            .map(|listed| &listed.claim)
            .filter(|job| holder.is_none_or(|holder| holder.uid != job.uid));
        holder.into_iter().chain(unclaimed).nth(index)
    }

    /// Begins to judge the suspect with this index, or ends if there is none.
    fn judge(&self, lease: Option<Stored>, suspect: usize) -> Stage {
        let Some(job) = self.suspect(lease.as_ref(), suspect) else {
            return self.free(lease);
        };
        let holds = lease
            .as_ref()
            .is_some_and(|lease| lease.claim.uid == job.uid);
        // The LIST has just returned it: no need to read it again.
        let active = self
            .listed
            .iter()
            .find(|listed| listed.claim.uid == job.uid);
        if let Some(&Listed { suspended, .. }) = active.filter(|_| holds) {
            let standing = Standing::Active { suspended };
            return Stage::Done(waiting(lease.as_ref(), job, standing));
        }
        Stage::Judge {
            lease,
            suspect,
            gone: false,
        }
    }

    fn judged(&self, lease: Option<Stored>, index: usize, found: Found, live: bool) -> Stage {
        let Some(job) = self.suspect(lease.as_ref(), index) else {
            return self.free(lease);
        };
        let Some(standing) = job.standing(found, live, self.me.since) else {
            return self.judge(lease, index + 1);
        };
        match &lease {
            // It has no claim, and the claim's holder does not run: it gets the claim.
            Some(stored) if stored.claim.uid != job.uid && !self.dry_run => Stage::Write {
                version: stored.version.clone(),
                claim: job.over(stored),
                standing: Some(standing),
                over: None,
            },
            _ => Stage::Done(waiting(lease.as_ref(), job, standing)),
        }
    }

    /// No other migration is running. Our own claim from an earlier attempt is written again: a late write of that
    /// attempt must not find the version it was decided on.
    fn free(&self, lease: Option<Stored>) -> Stage {
        match lease {
            Some(stored) if !self.written && !self.dry_run => Stage::Write {
                claim: self.me.over(&stored),
                version: stored.version,
                standing: None,
                over: Some(stored.claim).filter(|claim| claim.uid != self.me.uid),
            },
            _ => Stage::Done(Conclusion::Held { taken_over: None }),
        }
    }

    fn lost(&mut self) -> Stage {
        self.losses += 1;
        self.written = false;
        if self.losses > MAX_LOSSES {
            Stage::Done(Conclusion::Contended)
        } else {
            Stage::Look
        }
    }
}

fn waiting(lease: Option<&Stored>, job: &Claim, standing: Standing) -> Conclusion {
    Conclusion::Waiting {
        holder: job.clone(),
        version: lease
            .filter(|lease| lease.claim.uid == job.uid)
            .map(|lease| lease.version.clone()),
        standing,
    }
}

#[cfg(test)]
mod tests;
