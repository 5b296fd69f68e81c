//! All possible next steps of a world.

use super::{Action, Job, Request, Sabotage, Sweeper, TICK, UIDS, UNCLAIMED, World, time};
use crate::cluster::claims::protocol::{COMMIT, Conclusion, EXPIRY, Step, Take};
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
        }
        for (index, step) in self.late.iter().enumerate() {
            next.may("late", name(step), |world| {
                let step = world.late.remove(index);
                world.serve(step);
            });
        }
        for (index, job) in self.jobs.iter().enumerate() {
            let finished = ("finishes", Job::Finished);
            let orphaned = ("is deleted, its pod runs on", Job::Orphaned);
            let gone = ("is deleted", Job::Gone);
            let after: &[_] = match job {
                // Before it has a claim nothing names it, and a pod alone has no key.
                Job::Active if index == UNCLAIMED && !self.is_claimed(index) => &[finished, gone],
                Job::Active => &[finished, orphaned, gone],
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

    fn requested(&self, index: usize, request: &Request, next: &mut Next<'_>) {
        let uid = UIDS[index];
        match request {
            // Requests differ only by their uid, so one order of arrival is enough.
            Request::Unsent if index == 0 || self.requests[index - 1] != Request::Unsent => {
                let ahead = u8::from(self.sabotage == Some(Sabotage::FastClock) && index > 0);
                next.may(uid, "is sent", |world| {
                    world.since[index] = world.tick + ahead;
                    world.requests[index] = Request::Opening(None, None);
                });
            }
            Request::Opening(reply, listed) => {
                if reply.is_none() {
                    next.may(uid, "opens", |world| {
                        let first = Take::first(&world.claim_of(index), false);
                        let reply = Box::new(world.serve(first));
                        world.requests[index] = Request::Opening(Some(reply), listed.clone());
                    });
                }
                if listed.is_none() {
                    next.may(uid, "lists", |world| {
                        let listed = world.list();
                        world.requests[index] = Request::Opening(reply.clone(), Some(listed));
                    });
                }
            }
            Request::Taking(take) => next.may(uid, name(&take.step()), |world| {
                let mut take = take.clone();
                take.on(world.serve(take.step()));
                world.requests[index] = Request::Taking(take);
            }),
            Request::Allowed => next.may(uid, "commits", |world| {
                world.jobs[index] = Job::Active;
                world.requests[index] = Request::Over;
            }),
            Request::Unsent | Request::Over => {}
        }
    }

    /// Its replica dies. A write it has sent may still arrive, and the API server may call another replica.
    fn crashed(&self, index: usize, request: &Request, next: &mut Next<'_>) {
        let sent = match request {
            Request::Opening(None, _) => Some(Take::first(&self.claim_of(index), false)),
            Request::Opening(..) => None,
            Request::Taking(take) => Some(take.step()),
            _ => return,
        };
        if self.crashes == 0 {
            return;
        }
        let write = sent.filter(|step| matches!(step, Step::Create(_) | Step::Replace(..)));
        for (what, after) in [
            ("loses its replica and fails", Request::Over),
            (
                "loses its replica and asks again",
                Request::Opening(None, None),
            ),
        ] {
            next.may(UIDS[index], what, |world| {
                world.crashes -= 1;
                world.late.extend(write.clone());
                world.requests[index] = after;
            });
        }
    }

    fn swept(&self, next: &mut Next<'_>) {
        match (&self.sweeper, &self.lease) {
            (Sweeper::Idle, Some(stored)) => {
                next.may("sweeper", "reads claim and clock", |world| {
                    let sweep = Sweep::new(stored.clone(), world.now());
                    world.sweeper = Sweeper::Sweeping(Box::new(sweep));
                });
            }
            (Sweeper::Sweeping(sweep), _) => next.may("sweeper", "goes on", |world| {
                let mut sweep = sweep.clone();
                let more = world.sweep(&mut sweep);
                world.sweeper = if more {
                    Sweeper::Sweeping(sweep)
                } else {
                    Sweeper::Idle
                };
            }),
            (Sweeper::Idle | Sweeper::Absent, _) => {}
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
            if let Request::Opening(Some(reply), Some(listed)) = request {
                let take = Take::opened(me, false, listed.clone(), (**reply).clone());
                *request = Request::Taking(Box::new(take));
            }
            if let Request::Taking(take) = request
                && let Step::Done(outcome) = take.step()
            {
                *request = match outcome {
                    Conclusion::Held { .. } => Request::Allowed,
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
        Step::Create(_) => "creates the claim",
        Step::Look => "reads the claim",
        Step::FindJob(_) => "reads the Job",
        Step::FindPods(_) => "lists the pods",
        Step::Replace(..) => "replaces the claim",
        Step::Done(_) => "is done",
    }
}
