//! The world of the model: an API server, Jobs, requests under review, a sweeper.

mod steps;

use jiff::{SignedDuration, Timestamp};

use crate::cluster::claims::protocol::{
    COMMIT, Claim, EXPIRY, Found, Listed, Reply, Step, Stored, Take, Version,
};
use crate::cluster::claims::sweep::{Sweep, SweepStep};

/// One step of time: within one a create may still commit and a claim still holds; after two, neither.
pub(super) const TICK: SignedDuration = SignedDuration::from_secs(41);
const _: () = assert!(TICK.as_secs() <= COMMIT.as_secs() && 2 * TICK.as_secs() > EXPIRY.as_secs());
/// Time enough for the claim of a request at any tick to expire beside the next one.
const LAST_TICK: u8 = 3;
/// The uids: those of the requests, that of the Job without a claim, and one more.
const UIDS: [&str; 5] = ["a", "b", "c", "old", "extra"];
const UNCLAIMED: usize = 3;
/// The request that is sent when all is quiet.
pub(super) const EXTRA: usize = 4;

/// A safeguard that is removed, to show that the model finds the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::VariantArray)]
pub(super) enum Sabotage {
    /// Creates commit after a claim has expired.
    LateCommit,
    /// Pods are not read.
    BlindToPods,
    /// Writes ignore the version of the claim.
    NoVersions,
    /// A claim that is written again unchanged keeps its version, as any object does.
    UncountedWrites,
    /// The LIST misses Jobs.
    EmptyList,
    /// One API server's clock is ahead by more than [`SKEW`](crate::cluster::claims::protocol::SKEW).
    FastClock,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Job {
    #[default]
    Absent,
    Active,
    Finished,
    /// Deleted while its pod keeps running.
    Orphaned,
    /// Deleted, and no pod left.
    Gone,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Request {
    #[default]
    Unsent,
    /// The first step and the LIST are under way.
    Opening(Option<Box<Reply>>, Option<Vec<Listed>>),
    Taking(Box<Take>),
    /// Allowed, so that the Job may still be created.
    Allowed,
    Over,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Sweeper {
    /// There is no claim.
    Absent,
    #[default]
    Idle,
    Sweeping(Box<Sweep>),
}

/// An actor and what it does.
pub(super) type Action = (&'static str, &'static str);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) lease: Option<Stored>,
    jobs: [Job; UIDS.len()],
    since: [u8; UIDS.len()],
    requests: Vec<Request>,
    sweeper: Sweeper,
    /// Writes of replicas that died, not yet arrived.
    late: Vec<Step>,
    /// Claims created so far.
    created: u8,
    tick: u8,
    last_tick: u8,
    crashes: u8,
    sabotage: Option<Sabotage>,
}

/// How a world begins, and what may happen in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    pub(super) requests: usize,
    /// Most steps of time that pass.
    pub(super) ticks: u8,
    /// Most replicas that die.
    pub(super) crashes: u8,
    /// Whether a sweeper gives claims up.
    pub(super) swept: bool,
    /// The Job before the requests: an active one was created without a review, a finished one has the claim.
    pub(super) first: Job,
    pub(super) sabotage: Option<Sabotage>,
}

/// Two requests.
pub(super) const TWO: Scene = Scene {
    requests: 2,
    ticks: LAST_TICK,
    crashes: 0,
    swept: true,
    first: Job::Absent,
    sabotage: None,
};

impl World {
    pub(super) fn new(scene: Scene) -> Self {
        let mut world = Self {
            requests: vec![Request::Unsent; scene.requests],
            last_tick: scene.ticks,
            crashes: scene.crashes,
            sabotage: scene.sabotage,
            sweeper: if scene.swept {
                Sweeper::Idle
            } else {
                Sweeper::Absent
            },
            ..Self::default()
        };
        world.jobs[UNCLAIMED] = scene.first;
        if scene.first == Job::Finished {
            world.write(world.claim_of(UNCLAIMED));
        }
        world
    }

    pub(super) fn active(&self) -> usize {
        UIDS.iter().filter(|uid| self.runs(uid)).count()
    }

    pub(super) fn runs(&self, uid: &str) -> bool {
        matches!(self.job(uid), Job::Active | Job::Orphaned)
    }

    /// The same world much later, when nothing is in progress any more.
    pub(super) fn quiet(&self) -> Self {
        let mut quiet = Self {
            lease: self.lease.clone(),
            jobs: self.jobs,
            since: self.since,
            created: self.created,
            tick: LAST_TICK + 3,
            ..Self::default()
        };
        quiet.since[EXTRA] = quiet.tick;
        quiet
    }

    pub(super) fn now(&self) -> Timestamp {
        let ahead = u8::from(self.sabotage == Some(Sabotage::FastClock));
        time(self.tick + ahead)
    }

    pub(super) fn claim_of(&self, index: usize) -> Claim {
        Claim {
            uid: UIDS[index].to_owned(),
            since: time(self.since[index]),
            ..Claim::default()
        }
    }

    fn is_claimed(&self, index: usize) -> bool {
        let lease = self.lease.as_ref();
        lease.is_some_and(|stored| stored.claim.uid == UIDS[index])
    }

    fn job(&self, uid: &str) -> Job {
        let index = UIDS.iter().position(|known| *known == uid);
        index.map_or(Job::Absent, |index| self.jobs[index])
    }

    /// The LIST of active Jobs.
    pub(super) fn list(&self) -> Vec<Listed> {
        if self.sabotage == Some(Sabotage::EmptyList) {
            return Vec::new();
        }
        let active = (0..UIDS.len()).filter(|&index| self.jobs[index] == Job::Active);
        active
            .map(|index| Listed {
                claim: Claim {
                    seen: true,
                    ..self.claim_of(index)
                },
                suspended: false,
            })
            .collect()
    }

    /// One step of a request.
    pub(super) fn serve(&mut self, step: Step) -> Reply {
        match step {
            Step::Create(_) if self.lease.is_some() => Reply::Lost,
            Step::Create(claim) => self.write(claim),
            Step::Replace(version, claim) if self.is_current(&version) => self.write(claim),
            Step::Replace(..) => Reply::Lost,
            Step::Look | Step::Done(_) => Reply::Looked(self.lease.clone()),
            Step::FindJob(claim) => Reply::Job(self.find(&claim)),
            Step::FindPods(claim) => Reply::Pods(self.has_pods(&claim)),
        }
    }

    /// One step of a sweep; returns whether there is another one.
    pub(super) fn sweep(&mut self, sweep: &mut Sweep) -> bool {
        match sweep.step().clone() {
            SweepStep::FindJob(claim) => sweep.on_job(self.find(&claim)),
            SweepStep::FindPods(claim) => sweep.on_pods(self.has_pods(&claim)),
            SweepStep::MarkSeen(version) => {
                if self.is_current(&version) {
                    let mut claim = self.lease.as_ref().unwrap().claim.clone();
                    claim.seen = true;
                    self.write(claim);
                }
                return false;
            }
            SweepStep::Release(version) => {
                if self.is_current(&version) {
                    self.lease = None;
                }
                return false;
            }
            SweepStep::Leave => return false,
        }
        !matches!(sweep.step(), SweepStep::Leave)
    }

    /// The version counts how often the claim has been created and overwritten. That is as good as the API server's
    /// count of all writes, with far fewer states to explore.
    fn write(&mut self, claim: Claim) -> Reply {
        self.created += u8::from(self.lease.is_none());
        let counted = self.sabotage != Some(Sabotage::UncountedWrites);
        let count = if counted { claim.transitions } else { 0 };
        let version = Version {
            uid: self.created.to_string(),
            resource_version: format!("{} {} {count}", claim.uid, claim.seen),
        };
        let stored = Stored { claim, version };
        self.lease = Some(stored.clone());
        Reply::Written(stored)
    }

    fn is_current(&self, version: &Version) -> bool {
        let blind = self.sabotage == Some(Sabotage::NoVersions);
        self.lease
            .as_ref()
            .is_some_and(|stored| blind || stored.version == *version)
    }

    fn find(&self, claim: &Claim) -> Found {
        match self.job(&claim.uid) {
            Job::Active => Found::Unfinished { suspended: false },
            Job::Finished => Found::Finished,
            Job::Absent | Job::Orphaned | Job::Gone => Found::Gone,
        }
    }

    fn has_pods(&self, claim: &Claim) -> bool {
        self.sabotage != Some(Sabotage::BlindToPods) && self.runs(&claim.uid)
    }
}

fn time(tick: u8) -> Timestamp {
    Timestamp::UNIX_EPOCH + TICK * i32::from(tick)
}
