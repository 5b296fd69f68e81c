//! The world of the model: an API server, Jobs, requests under review, a sweeper.

mod steps;

use jiff::{SignedDuration, Timestamp};

use k8s_openapi::api::coordination::v1::Lease;
use kube::core::Status;

use super::scene::{JOBS, KEYS, LAST_TICK, Sabotage, Scene};
use crate::cluster::api::{ApiError, failed, unless_changed_or_gone};
use crate::cluster::claims::lease;
use crate::cluster::claims::protocol::{
    COMMIT, Claim, EXPIRY, Found, Listed, Reply, Step, Stored, Take, Version,
};
use crate::cluster::claims::store::written;
use crate::cluster::claims::sweep::{Sweep, SweepStep};
use crate::core::job::attempts::Unfinished;

/// One step of time: within one a create may still commit and a claim still holds; after two, neither.
pub(super) const TICK: SignedDuration = SignedDuration::from_secs(41);
const _: () = assert!(TICK.as_secs() <= COMMIT.as_secs() && 2 * TICK.as_secs() > EXPIRY.as_secs());
/// The uids: those of the requests, that of the Job without a claim, and one more.
const UIDS: [&str; JOBS] = ["a", "b", "c", "old", "extra"];
const UNCLAIMED: usize = 3;
/// The request that is sent when all is quiet.
pub(super) const EXTRA: usize = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Job {
    #[default]
    Absent,
    /// It will be created without a review, before a LIST that could miss it.
    Coming,
    Active,
    /// Kubernetes is to fail it, and stops its pods.
    Failing,
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
    Taking(Box<Take>),
    /// Allowed, so that the Job may still be created.
    Allowed,
    /// Refused because of the Job with this index, which it may fail.
    Refused(usize),
    Over,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Sweeper {
    /// There is no claim.
    Absent,
    #[default]
    Idle,
    /// It checks the claim of this key.
    Sweeping(usize, Box<Sweep>),
}

/// An actor and what it does.
pub(super) type Action = (&'static str, &'static str);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// The claim of each key.
    pub(super) leases: [Option<Stored>; KEYS],
    /// The keys of each Job.
    keys: [&'static [usize]; JOBS],
    jobs: [Job; JOBS],
    since: [u8; JOBS],
    requests: Vec<Request>,
    sweeper: Sweeper,
    /// Writes of replicas that died, not yet arrived, with the request they are for.
    late: Vec<(usize, Step)>,
    /// Claims created so far, for each key.
    created: [u8; KEYS],
    tick: u8,
    last_tick: u8,
    crashes: u8,
    unanswered: u8,
    supersedes: bool,
    sabotage: Option<Sabotage>,
}

impl World {
    pub(super) fn new(scene: Scene) -> Self {
        let mut world = Self {
            requests: vec![Request::Unsent; scene.requests],
            keys: scene.keys,
            last_tick: scene.ticks,
            crashes: scene.crashes,
            unanswered: scene.unanswered,
            supersedes: scene.supersedes,
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
            for key in scene.keys[UNCLAIMED] {
                world.write(*key, &world.claim_of(UNCLAIMED));
            }
        }
        world
    }

    /// How many Jobs run that have this key.
    pub(super) fn active(&self, key: usize) -> usize {
        let having = (0..UIDS.len()).filter(|&index| self.keys[index].contains(&key));
        having.filter(|&index| self.runs(UIDS[index])).count()
    }

    /// The keys of a Job.
    pub(super) fn keys(&self, index: usize) -> &'static [usize] {
        self.keys[index]
    }

    pub(super) fn runs(&self, uid: &str) -> bool {
        matches!(self.job(uid), Job::Active | Job::Failing | Job::Orphaned)
    }

    /// The same world much later, when nothing is in progress any more.
    pub(super) fn quiet(&self) -> Self {
        let mut quiet = Self {
            leases: self.leases.clone(),
            keys: self.keys,
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

    /// Whether all claims of its keys name this Job.
    fn is_claimed(&self, index: usize) -> bool {
        let names = |lease: &Option<Stored>| {
            let uid = lease.as_ref().map(|stored| &*stored.claim.uid);
            uid == Some(UIDS[index])
        };
        self.keys[index].iter().all(|key| names(&self.leases[*key]))
    }

    /// A new attempt of this request.
    pub(super) fn attempt(&self, index: usize) -> Take {
        Take::new(self.claim_of(index), self.keys[index].len(), false)
    }

    fn job(&self, uid: &str) -> Job {
        index(uid).map_or(Job::Absent, |index| self.jobs[index])
    }

    /// The first of the active Jobs that share a key with this one.
    fn list(&self, asking: usize) -> Option<Listed> {
        if self.sabotage == Some(Sabotage::EmptyList) {
            return None;
        }
        let others = (0..UIDS.len()).filter(|index| *index != asking);
        let active = others.filter(|&index| match self.jobs[index] {
            Job::Active => true,
            Job::Failing => self.sabotage != Some(Sabotage::FailedAtOnce),
            _ => false,
        });
        active
            .map(|index| Listed {
                claim: Claim {
                    seen: true,
                    ..self.claim_of(index)
                },
                job: Unfinished::default(),
                keys: self.shared(asking, index),
            })
            .find(|job| !job.keys.is_empty())
    }

    /// The places of those keys that another Job has, too.
    fn shared(&self, asking: usize, other: usize) -> Vec<usize> {
        let own = self.keys[asking];
        let places = 0..own.len();
        places
            .filter(|place| self.keys[other].contains(&own[*place]))
            .collect()
    }

    /// One step of a request. The answers to writes are those of the API server, and the store reads them.
    pub(super) fn serve(&mut self, index: usize, step: Step) -> Reply {
        let key = |place: usize| self.keys[index][place];
        match step {
            Step::Look(place) => Reply::Looked(self.leases[key(place)].clone()),
            Step::FindJob(claim) => Reply::Job(self.find(&claim)),
            Step::FindPods(claim) => Reply::Pods(self.has_pods(&claim)),
            Step::List | Step::Done(_) => Reply::Listed(self.list(index)),
            Step::Create(place, claim) => {
                let key = key(place);
                let answer = match self.leases[key] {
                    Some(_) => Err(refused(409)),
                    None => Ok(self.write(key, &claim)),
                };
                written("claim", true, answer).unwrap()
            }
            Step::Replace(place, version, claim) => {
                let key = key(place);
                let answer = self.current(key, &version);
                let answer = answer.map(|()| self.write(key, &claim));
                written("claim", false, answer).unwrap()
            }
            Step::Delete(place, version) => {
                self.delete(key(place), &version);
                Reply::Deleted
            }
        }
    }

    /// One step of a sweep; returns whether there is another one.
    pub(super) fn sweep(&mut self, key: usize, sweep: &mut Sweep) -> bool {
        match sweep.step().clone() {
            SweepStep::FindJob(claim) => sweep.on_job(self.find(&claim)),
            SweepStep::FindPods(claim) => sweep.on_pods(self.has_pods(&claim)),
            SweepStep::MarkSeen(version) => {
                if self.current(key, &version).is_ok() {
                    let mut claim = self.leases[key].as_ref().unwrap().claim.clone();
                    claim.seen = true;
                    self.write(key, &claim);
                }
                return false;
            }
            SweepStep::Release(version) => {
                self.delete(key, &version);
                return false;
            }
            SweepStep::Leave => return false,
        }
        !matches!(sweep.step(), SweepStep::Leave)
    }

    /// The version counts how often the claim has been created and overwritten. That is as good as the API server's
    /// count of all writes, with far fewer states to explore.
    fn write(&mut self, key: usize, claim: &Claim) -> Lease {
        self.created[key] += u8::from(self.leases[key].is_none());
        let counted = self.sabotage != Some(Sabotage::UncountedWrites);
        let count = if counted { claim.transitions } else { 0 };
        let version = Version {
            uid: self.created[key].to_string(),
            resource_version: format!("{} {} {count}", claim.uid, claim.seen),
        };
        let lease = lease::to_lease("claim", "key", claim, Some(&version));
        self.leases[key] = lease::from_lease(&lease);
        lease
    }

    fn delete(&mut self, key: usize, version: &Version) {
        let current = self.current(key, version);
        if unless_changed_or_gone(current).unwrap().is_some() {
            self.leases[key] = None;
        }
    }

    /// The API server's answer to a write that is bound to a version.
    fn current(&self, key: usize, version: &Version) -> Result<(), ApiError> {
        let blind = self.sabotage == Some(Sabotage::NoVersions);
        match &self.leases[key] {
            None => Err(refused(404)),
            Some(stored) if blind || stored.version == *version => Ok(()),
            Some(_) => Err(refused(409)),
        }
    }

    fn find(&self, claim: &Claim) -> Found {
        match self.job(&claim.uid) {
            Job::Failing if self.sabotage == Some(Sabotage::FailedAtOnce) => Found::Finished,
            Job::Active | Job::Failing => Found::Unfinished(Unfinished::default()),
            Job::Finished => Found::Finished,
            Job::Absent | Job::Coming | Job::Orphaned | Job::Gone => Found::Gone,
        }
    }

    fn has_pods(&self, claim: &Claim) -> bool {
        self.sabotage != Some(Sabotage::BlindToPods) && self.runs(&claim.uid)
    }
}

fn index(uid: &str) -> Option<usize> {
    UIDS.iter().position(|known| *known == uid)
}

fn refused(code: u16) -> ApiError {
    let status = Status::failure("", "").with_code(code);
    failed("write the claim")(kube::Error::Api(status.boxed()))
}

fn time(tick: u8) -> Timestamp {
    Timestamp::UNIX_EPOCH + TICK * i32::from(tick)
}
