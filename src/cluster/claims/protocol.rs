//! The claim protocol: from what has been observed to the next step. Pure; [`super::store`] carries
//! the steps out, and the model checker runs this very code.
//!
//! What has to hold: of one key never two Jobs are active at once. A Job is active from the moment it
//! is stored until it has finished, and where it was deleted before, until its last pod has ended.
//! A Job that was let in is named by the claim until it is no longer active, because a claim is given
//! up only when its holder cannot run (any more):
//!
//! - it has finished: its own condition says so, and that waits for its pods;
//! - or it is gone, no pod of it still runs, and its create cannot commit any more. That it cannot is
//!   known when it has been seen to exist, or [`EXPIRY`] after the apiserver began to create it.
//!
//! Every write is bound to the resourceVersion it was decided on, so what was true of the claim then
//! is true of it when the write takes effect. Jobs that hold no claim, made while nobody asked, are
//! found by a consistent LIST; the first of them gets the claim.
//!
//! What this rests on, besides the apiserver's own consistency:
//!
//! - a create commits within [`COMMIT`] of its `creationTimestamp`, or never;
//! - the clocks of two apiservers differ by no more than [`SKEW`]. A replica's clock is never asked:
//!   "now" is the `creationTimestamp` of the Job that asks;
//! - nobody else writes our Leases;
//! - a Job that holds no claim was stored before the LIST began;
//! - the Job controller makes no pod for a Job that is gone, and a pod that is gone or has ended runs
//!   no more. On a node that has lost its network that is not so once its pods are deleted by force.

mod take;

use jiff::{SignedDuration, Timestamp};

pub use take::Take;

/// How long after its `creationTimestamp` a create may still commit: the apiserver's limit for a
/// request (34 s), etcd's for one it has already been handed (7 s), and the second that a
/// `creationTimestamp` is rounded down by.
pub const COMMIT: SignedDuration = SignedDuration::from_secs(34 + 7 + 1);
/// How far apart the clocks of two apiservers may be.
pub const SKEW: SignedDuration = SignedDuration::from_secs(3);
/// How long a claim holds whose Job has not been seen.
pub const EXPIRY: SignedDuration = SignedDuration::from_secs(45);
const _: () = assert!(EXPIRY.as_secs() >= COMMIT.as_secs() + SKEW.as_secs());

/// What a claim says: which Job may run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Namespace of the Job.
    pub namespace: String,
    /// Its name.
    pub job: String,
    /// Its uid.
    pub uid: String,
    /// Its `creationTimestamp`: the apiserver's clock when the create began.
    pub since: Timestamp,
    /// Who created it; empty where that is not known.
    pub user: String,
    /// Whether it has been seen to exist.
    pub seen: bool,
    /// How often it has been written over; so a write that changes nothing else counts as one.
    pub transitions: i32,
    /// Who has been told to wait for it.
    pub waiters: Vec<String>,
}

/// Which state of a Lease: what a write is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// uid of the Lease.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// A claim as it was read or written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// What it says.
    pub claim: Claim,
    /// Which state of it.
    pub version: Version,
}

/// An active Job of the key, as the LIST found it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listed {
    /// What a claim would say of it.
    pub claim: Claim,
    /// Its pods are not to be started.
    pub suspended: bool,
}

/// What a consistent GET says of the Job with a certain uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// It exists and has not finished.
    Unfinished {
        /// Its pods are not to be started.
        suspended: bool,
    },
    /// It has finished.
    Finished,
    /// There is none, or one with another uid.
    Gone,
}

/// Why the holder of a claim is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It exists and has not finished.
    Active {
        /// Its pods are not to be started.
        suspended: bool,
    },
    /// It is gone, and a pod of it still runs.
    Deleted,
    /// It is not there, and may still come.
    NotYetThere,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Create the claim.
    Create(Claim),
    /// Read the claim.
    Look,
    /// Read the Job that this names.
    FindJob(Claim),
    /// List the pods of the Job that this names.
    FindPods(Claim),
    /// Write the claim over the one with this version.
    Replace(Version, Claim),
    /// Nothing.
    Done(Outcome),
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The claim was created or replaced.
    Written(Stored),
    /// There is one, or there is none of that version: another was faster.
    Lost,
    /// The claim, if there is one.
    Looked(Option<Stored>),
    /// The Job.
    Job(Found),
    /// Whether a pod still runs.
    Pods(bool),
}

/// What came of it all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The claim is ours.
    Held {
        /// The holder that could not run any more.
        taken_over: Option<Claim>,
    },
    /// Another's Job is in the way.
    Waiting {
        /// The Job, and the claim that names it where there is one.
        holder: Claim,
        /// The claim's version.
        version: Option<Version>,
        /// Why it is in the way.
        standing: Standing,
    },
    /// Others were faster each time.
    Contended,
}

impl Claim {
    /// This one, to be written over `lease`.
    fn over(&self, lease: &Stored) -> Self {
        Self {
            transitions: lease.claim.transitions.saturating_add(1),
            ..self.clone()
        }
    }

    /// Whether the create of its Job may still commit at `now`.
    pub(super) fn may_commit(&self, now: Timestamp) -> bool {
        !self.seen && now.duration_since(self.since) <= EXPIRY
    }

    /// Whether it is from a time that no clock may show yet at `now`, which must be now indeed and not when
    /// a review was sent.
    pub(super) fn is_of_the_future(&self, now: Timestamp) -> bool {
        self.since.duration_since(now) > EXPIRY
    }

    /// Why its Job is in the way, if it is. `live` is whether a pod of it runs, which matters only
    /// when it is gone. `now` must have been read before the Job was.
    pub(super) fn standing(&self, found: Found, live: bool, now: Timestamp) -> Option<Standing> {
        match found {
            Found::Unfinished { suspended } => Some(Standing::Active { suspended }),
            Found::Finished => None,
            Found::Gone if live => Some(Standing::Deleted),
            Found::Gone => self.may_commit(now).then_some(Standing::NotYetThere),
        }
    }
}
