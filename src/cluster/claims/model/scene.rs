//! How a world of the model begins, and what may happen in it.

use super::world::Job;

/// Jobs of a world, and their keys.
pub(super) const JOBS: usize = 5;
pub(super) const KEYS: usize = 2;
/// Time enough for the claim of a request at any tick to expire beside the next one.
pub(super) const LAST_TICK: u8 = 3;

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
    /// A Job counts as failed before Kubernetes has stopped its pods.
    FailedAtOnce,
    /// One API server's clock is ahead by more than [`SKEW`](crate::cluster::claims::protocol::SKEW).
    FastClock,
}

/// How a world begins, and what may happen in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    pub(super) requests: usize,
    /// Most steps of time that pass.
    pub(super) ticks: u8,
    /// Most replicas that die.
    pub(super) crashes: u8,
    /// Most writes whose answer does not come.
    pub(super) unanswered: u8,
    /// Whether a sweeper gives claims up.
    pub(super) swept: bool,
    /// The keys of the requests, of the first Job, and of the one that is sent when all is quiet.
    pub(super) keys: [&'static [usize]; JOBS],
    /// The Job before the requests: an active one was created without a review, a finished one has the claim.
    pub(super) first: Job,
    /// Whether a refused request may fail the Job that it has to wait for.
    pub(super) supersedes: bool,
    pub(super) sabotage: Option<Sabotage>,
}

/// Two requests.
pub(super) const TWO: Scene = Scene {
    requests: 2,
    ticks: LAST_TICK,
    crashes: 0,
    unanswered: 0,
    swept: true,
    keys: [NAME; JOBS],
    first: Job::Absent,
    supersedes: false,
    sabotage: None,
};

/// The keys of a Job: its name, its database, or both.
pub(super) const NAME: &[usize] = &[0];
pub(super) const DATABASE: &[usize] = &[1];
pub(super) const BOTH: &[usize] = &[0, 1];
