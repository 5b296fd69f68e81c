//! All possible next steps of a world.

use super::{Action, Job, Request, Sweeper, TICK, UIDS, UNCLAIMED, World, index, time};
use crate::cluster::claims::model::scene::Sabotage;
use crate::cluster::claims::protocol::{COMMIT, Conclusion, EXPIRY, Reply, Standing, Step};
use crate::cluster::claims::sweep::Sweep;

/// Collects the possible successors of a world.
struct Next<'a> {
    from: &'a World,
    found: Vec<(Action, World)>,
}

impl Next<'_> {
    fn may(&mut self, who: &'static str, what: &'static str, happen: impl FnOnce(&mut World)) {
        let mut world = self.from.clone();
        happen(&mut world);
        world.settle();
        self.found.push(((who, what), world));
    }
}

impl World {
    /// Each possible next step, with the world after it.
    pub(in crate::cluster::claims::model) fn successors(&self) -> Vec<(Action, Self)> {
        let mut next = Next {
            from: self,
            found: Vec::new(),
        };
        for (index, request) in self.requests.iter().enumerate() {
            self.requested(index, request, &mut next);
            self.crashed(index, request, &mut next);
            self.unanswered(index, request, &mut next);
        }
        for (place, (_, step)) in self.late.iter().enumerate() {
            next.may("late", name(step), |world| {
                let (index, step) = world.late.remove(place);
                world.serve(index, step);
            });
        }
        for (index, job) in self.jobs.iter().enumerate() {
            let finished = ("finishes", Job::Finished);
            let orphaned = ("is deleted, its pod runs on", Job::Orphaned);
            let gone = ("is deleted", Job::Gone);
            let after: &[_] = match job {
                // Before it has a claim nothing names it, and a pod alone has no key.
                Job::Active if index == UNCLAIMED && !self.is_claimed(index) => &[finished, gone],
                Job::Active | Job::Failing => &[finished, orphaned, gone],
                Job::Coming if self.is_before_lists() => {
                    &[("is created without a review", Job::Active)]
                }
                Job::Orphaned => &[("ends its last pod", Job::Gone)],
                _ => &[],
            };
            for &(what, after) in after {
                next.may(UIDS[index], what, |world| world.jobs[index] = after);
            }
        }
        if self.tick < self.last_tick {
            next.may("time", "passes", |world| world.tick += 1);
        }
        self.swept(&mut next);
        next.found
    }

    /// Whether nobody runs, and nobody has listed the Jobs who may still be admitted.
    fn is_before_lists(&self) -> bool {
        let is_before = |request: &Request| match request {
            Request::Unsent | Request::Refused(_) | Request::Over => true,
            Request::Allowed => false,
            Request::Taking(take) => matches!(
                take.step(),
                Step::Look(_) | Step::FindJob(_) | Step::FindPods(_) | Step::List
            ),
        };
        UIDS.iter().all(|uid| !self.runs(uid)) && self.requests.iter().all(is_before)
    }

    fn requested(&self, index: usize, request: &Request, next: &mut Next<'_>) {
        let uid = UIDS[index];
        match request {
            // Requests with the same keys differ only by their uid, so one order of arrival is enough.
            Request::Unsent
                if index == 0
                    || self.requests[index - 1] != Request::Unsent
                    || self.keys[index - 1] != self.keys[index] =>
            {
                let ahead = u8::from(self.sabotage == Some(Sabotage::FastClock) && index > 0);
                next.may(uid, "is sent", |world| {
                    world.since[index] = world.tick + ahead;
                    world.requests[index] = Request::Taking(Box::new(world.attempt(index)));
                });
            }
            Request::Taking(take) => next.may(uid, name(&take.step()), |world| {
                let mut take = take.clone();
                take.on(world.serve(index, take.step()));
                world.requests[index] = Request::Taking(take);
            }),
            Request::Allowed => next.may(uid, "commits", |world| {
                world.jobs[index] = Job::Active;
                world.requests[index] = Request::Over;
            }),
            Request::Refused(holder) => next.may(uid, "fails the other Job", |world| {
                // The write is bound to the Job as it was read.
                if world.jobs[*holder] == Job::Active {
                    world.jobs[*holder] = Job::Failing;
                }
                world.requests[index] = Request::Over;
            }),
            Request::Unsent | Request::Over => {}
        }
    }

    /// Its replica dies. A write it has sent may still arrive, and the API server may call another replica.
    fn crashed(&self, index: usize, request: &Request, next: &mut Next<'_>) {
        let Request::Taking(take) = request else {
            return;
        };
        if self.crashes == 0 {
            return;
        }
        let write = Some(take.step()).filter(|step| {
            matches!(
                step,
                Step::Create(..) | Step::Replace(..) | Step::Delete(..)
            )
        });
        let again = Request::Taking(Box::new(self.attempt(index)));
        for (what, after) in [
            ("loses its replica and fails", Request::Over),
            ("loses its replica and asks again", again),
        ] {
            next.may(UIDS[index], what, |world| {
                world.crashes -= 1;
                world.late.extend(write.clone().map(|step| (index, step)));
                world.requests[index] = after;
            });
        }
    }

    /// A write arrives later or never, and the request goes on as if it had lost it.
    fn unanswered(&self, index: usize, request: &Request, next: &mut Next<'_>) {
        let Request::Taking(take) = request else {
            return;
        };
        let step = take.step();
        if self.unanswered > 0 && matches!(step, Step::Create(..) | Step::Replace(..)) {
            next.may(UIDS[index], "gets no answer", |world| {
                let mut take = take.clone();
                world.unanswered -= 1;
                world.late.push((index, step));
                take.on(Reply::Lost);
                world.requests[index] = Request::Taking(take);
            });
        }
    }

    fn swept(&self, next: &mut Next<'_>) {
        match &self.sweeper {
            Sweeper::Idle => {
                for (key, lease) in self.leases.iter().enumerate() {
                    let Some(stored) = lease else { continue };
                    next.may("sweeper", "reads claim and clock", |world| {
                        let sweep = Sweep::new(stored.clone(), world.now());
                        world.sweeper = Sweeper::Sweeping(key, Box::new(sweep));
                    });
                }
            }
            Sweeper::Sweeping(key, sweep) => next.may("sweeper", "goes on", |world| {
                let mut sweep = sweep.clone();
                let more = world.sweep(*key, &mut sweep);
                world.sweeper = if more {
                    Sweeper::Sweeping(*key, sweep)
                } else {
                    Sweeper::Idle
                };
            }),
            Sweeper::Absent => {}
        }
    }

    /// Takes the steps that no other actor can interleave with.
    fn settle(&mut self) {
        let late = self.sabotage == Some(Sabotage::LateCommit);
        let limit = if late { EXPIRY + TICK } else { COMMIT };
        for index in 0..self.requests.len() {
            let me = self.claim_of(index);
            let age = time(self.tick).duration_since(me.since);
            let request = &mut self.requests[index];
            if let Request::Taking(take) = request
                && let Step::Done(outcome) = take.step()
            {
                *request = match outcome {
                    Conclusion::Held { .. } => Request::Allowed,
                    Conclusion::Waiting {
                        holder,
                        standing: Standing::Active(_),
                        ..
                    } if self.supersedes => {
                        self::index(&holder.uid).map_or(Request::Over, Request::Refused)
                    }
                    _ => Request::Over,
                };
            }
            if *request == Request::Allowed && age > limit {
                *request = Request::Over;
            }
        }
    }
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Look(_) => "reads a claim",
        Step::FindJob(_) => "reads the Job",
        Step::FindPods(_) => "lists the pods",
        Step::List => "lists the Jobs",
        Step::Create(..) => "creates a claim",
        Step::Replace(..) => "replaces a claim",
        Step::Delete(..) => "gives a claim back",
        Step::Done(_) => "is done",
    }
}
