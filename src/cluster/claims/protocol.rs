//! The claim protocol: decides the next step from observations. Pure; [`super::store`] carries the steps out, and the
//! model checker runs this same code.
//!
//! The invariant: two Jobs with the same key are never active at once. A Job is active from the moment it is stored
//! until it has finished, or if it is deleted before that, until its last pod has ended. The claim names an admitted
//! Job until it is no longer active, because a claim is given up only if its holder cannot run (any more):
//!
//! - it has finished: it has the condition, which Kubernetes sets after its pods have ended;
//! - or it is being deleted, and none of its pods is running;
//! - or it is gone, none of its pods is running, and its create cannot commit any more. The last part is certain once
//!   the Job has been seen, or [`EXPIRY`] after the API server began to create it.
//!
//! An attempt reads the claim of each key and looks whether its holder can run. Only then it lists the active Jobs, and
//! writes the claims at last, in the order of their names. So who has to wait needs no LIST, and nothing is left behind
//! if a LIST fails.
//!
//! Every write is bound to what was read at first: to the resourceVersion of the claim, or to its absence. So no other
//! Job was admitted with a claim of that key in between, and the LIST, which was consistent and came later, has shown
//! all that were created without one. The first of those gets the claim, so that its pods keep the key if it is deleted.
//!
//! A Job with two keys that loses the second claim gives the first one back at once. If its replica dies in between, the
//! first one expires.
//!
//! Assumptions, besides the API server's own consistency:
//!
//! - a create commits within [`COMMIT`] of its `creationTimestamp`, or never;
//! - the clocks of two API servers differ by at most [`SKEW`]. A replica's clock is never used: "now" is the
//!   `creationTimestamp` of the requesting Job;
//! - no other program writes our Leases;
//! - a Job without a claim was stored before the LIST began;
//! - the Job controller does not create pods for a Job that is gone or being deleted, and a pod that is gone or has
//!   ended does not run. This fails on a node that has lost its network, once its pods are deleted by force.

mod take;

use jiff::{SignedDuration, Timestamp};

pub(crate) use take::Take;

use crate::core::job::attempts::Unfinished;

/// How long after its `creationTimestamp` a create may still commit: the API server's limit for a request (34 s),
/// etcd's limit for a write it has received (7 s), and the second by which a `creationTimestamp` is rounded down.
pub(crate) const COMMIT: SignedDuration = SignedDuration::from_secs(34 + 7 + 1);
/// How far apart the clocks of two API servers may be.
pub(crate) const SKEW: SignedDuration = SignedDuration::from_secs(3);
/// How long a claim holds if its Job has not been seen.
pub const EXPIRY: SignedDuration = SignedDuration::from_secs(45);
const _: () = assert!(EXPIRY.as_secs() >= COMMIT.as_secs() + SKEW.as_secs());

/// The content of a claim: the Job that may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) namespace: String,
    pub(crate) job: String,
    pub(crate) uid: String,
    /// Its `creationTimestamp`: the API server's clock when the create began.
    pub(crate) since: Timestamp,
    /// The user who created it; empty if unknown.
    pub(crate) user: String,
    /// Whether it has been seen to exist.
    pub(crate) seen: bool,
    /// How often the claim has been overwritten, so that every write changes it.
    pub(crate) transitions: i32,
}

/// One state of a Lease, to which a write is bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) uid: String,
    pub(crate) resource_version: String,
}

/// A claim as it was read or written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    pub(crate) claim: Claim,
    /// The state of the Lease it was read from.
    pub(crate) version: Version,
}

/// An active Job of the key, from the LIST. If it is being deleted, one of its pods is running.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Listed {
    /// The claim that would name it.
    pub(crate) claim: Claim,
    pub(crate) job: Unfinished,
    /// Which keys of the Job that asks it has, too.
    pub(crate) keys: Vec<usize>,
}

/// The result of a consistent GET of the Job with a certain uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Found {
    /// It exists and has not finished. If it is being deleted, one of its pods is running.
    Unfinished(Unfinished),
    /// It exists, and none of its pods runs or follows.
    Finished,
    /// It does not exist, or has another uid.
    Gone,
}

/// Why the holder of a claim blocks other migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    /// It exists and has not finished.
    Active(Unfinished),
    /// It is gone, and one of its pods is still running.
    Deleted,
    /// It does not exist, but may still be created.
    NotYetThere,
}

/// What an attempt does next. A key is named by its place among the Job's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Read the claim of this key.
    Look(usize),
    FindJob(Claim),
    FindPods(Claim),
    /// List the active Jobs that share a key with this one; the first other one is enough.
    List,
    /// Create the claim of this key.
    Create(usize, Claim),
    /// Overwrite the claim of this key, if it still has this version.
    Replace(usize, Version, Claim),
    /// Delete the claim of this key, if it still has this version.
    Delete(usize, Version),
    /// Do nothing more: this is the outcome.
    Done(Conclusion),
}

/// The reply to a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    /// The claim that was read, if it exists.
    Looked(Option<Stored>),
    /// The state of the Job that was read.
    Job(Found),
    /// Whether a pod is still running.
    Pods(bool),
    Listed(Option<Listed>),
    /// The claim was created or replaced.
    Written(Stored),
    /// The claim exists already, is gone, or has another version: another replica was faster.
    Lost,
    Deleted,
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Conclusion {
    /// This Job has the claims of all its keys.
    Held {
        /// A previous holder, if one could not run any more.
        taken_over: Option<Claim>,
    },
    /// Another Job is still running, or may be.
    Waiting {
        /// That Job, and the claim that names it if there is one.
        holder: Claim,
        /// The key and the version of that claim.
        lease: Option<(usize, Version)>,
        /// Why this Job has to wait for it.
        standing: Standing,
    },
    /// Other replicas were faster each time.
    Contended,
}

impl Claim {
    /// This claim, to overwrite `lease`.
    fn over(&self, lease: &Stored) -> Self {
        Self {
            transitions: lease.claim.transitions.saturating_add(1),
            ..self.clone()
        }
    }

    /// Whether both are about the same Job. A forged review may have the uid of another one.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        (&self.uid, &self.namespace, &self.job) == (&other.uid, &other.namespace, &other.job)
    }

    /// Whether the create of its Job may still commit at `now`.
    pub(super) fn may_commit(&self, now: Timestamp) -> bool {
        !self.seen && now.duration_since(self.since) <= EXPIRY
    }

    /// Whether it is from a time that no clock may show yet at `now`. `now` must be the current time, not that of a
    /// review.
    pub(super) fn is_of_the_future(&self, now: Timestamp) -> bool {
        self.since.duration_since(now) > EXPIRY
    }

    /// Why others have to wait for its Job, if they do. `live`: whether one of its pods is running, which matters only
    /// if the Job is gone. `now` must have been read before the Job.
    pub(super) fn standing(&self, found: Found, live: bool, now: Timestamp) -> Option<Standing> {
        match found {
            Found::Unfinished(job) => Some(Standing::Active(job)),
            Found::Finished => None,
            Found::Gone if live => Some(Standing::Deleted),
            Found::Gone => self.may_commit(now).then_some(Standing::NotYetThere),
        }
    }
}
