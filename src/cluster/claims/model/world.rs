//! The world of the model: an API server, Jobs, requests under review, a sweeper.

mod steps;

use jiff::{SignedDuration, Timestamp};

use crate::cluster::claims::protocol::{
    COMMIT, Claim, EXPIRY, Found, Listed, Reply, Step, Stored, Take, Version,
};
use crate::cluster::claims::sweep::{self, Sweep};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
enum Job {
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

/// The whole state of the model.
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

impl World {
    pub(super) fn new(requests: usize) -> Self {
        Self {
            requests: vec![Request::Unsent; requests],
            last_tick: LAST_TICK,
            ..Self::default()
        }
    }

    /// At most this many replicas may die.
    pub(super) fn with_crashes(mut self, crashes: u8) -> Self {
        self.crashes = crashes;
        self
    }

    /// At most this many steps of time pass.
    pub(super) fn with_ticks(mut self, ticks: u8) -> Self {
        self.last_tick = ticks;
        self
    }

    /// Without a sweeper that gives claims up.
    pub(super) fn without_sweeper(mut self) -> Self {
        self.sweeper = Sweeper::Absent;
        self
    }

    /// With a claim whose Job has finished.
    pub(super) fn with_finished(mut self) -> Self {
        self.jobs[UNCLAIMED] = Job::Finished;
        self.write(self.claim_of(UNCLAIMED));
        self
    }

    /// With an active Job that was created without a review.
    pub(super) fn with_unclaimed(mut self) -> Self {
        self.jobs[UNCLAIMED] = Job::Active;
        self
    }

    pub(super) fn with(mut self, sabotage: Sabotage) -> Self {
        self.sabotage = Some(sabotage);
        self
    }

    /// The number of active Jobs.
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

    /// The claim of the Job with this index.
    pub(super) fn claim_of(&self, index: usize) -> Claim {
        Claim {
            namespace: String::new(),
            job: String::new(),
            uid: UIDS[index].to_owned(),
            since: time(self.since[index]),
            user: String::new(),
            seen: false,
            transitions: 0,
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
            sweep::Step::FindJob(claim) => sweep.on_job(self.find(&claim)),
            sweep::Step::FindPods(claim) => sweep.on_pods(self.has_pods(&claim)),
            sweep::Step::MarkSeen(version) => {
                if self.is_current(&version) {
                    let mut claim = self.lease.as_ref().unwrap().claim.clone();
                    claim.seen = true;
                    self.write(claim);
                }
                return false;
            }
            sweep::Step::Release(version) => {
                if self.is_current(&version) {
                    self.lease = None;
                }
                return false;
            }
            sweep::Step::Leave => return false,
        }
        !matches!(sweep.step(), sweep::Step::Leave)
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
