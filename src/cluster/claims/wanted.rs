//! What a review asks for: a claim of each key of a Job. Not for how it is taken.

use std::sync::Arc;

use jiff::Timestamp;

use super::error::ClaimError;
use super::key::Key;
use super::protocol::Claim;
use crate::core::policy::Policy;
use crate::core::policy::claims::WithoutClaim;

/// The migration Job that requests a claim, from the validating review.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// Namespace of the Job.
    pub namespace: &'a str,
    /// Name of the Job.
    pub job: &'a str,
    /// The `generateName` that its name was made from, if any.
    pub generate_name: Option<&'a str>,
    /// Uid of the Job, which the validating review has before the object is stored.
    pub uid: &'a str,
    /// Its `creationTimestamp`, from the API server's clock.
    pub created: Timestamp,
    /// The user who creates it.
    pub user: &'a str,
}

/// A request for a claim.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its keys, in the order of [`Key::all_of`].
    pub keys: &'a [Key],
    /// The policy, which determines the keys of other Jobs.
    pub policy: &'a Arc<Policy>,
    /// The Job that is to hold them.
    pub claimant: Claimant<'a>,
    /// Whether it was adopted, so that an active Job with its keys may have no label yet.
    pub is_adopted: bool,
    /// Whether to check only, without taking the claim.
    pub dry_run: bool,
    /// The base name of the Job, if it is refused unless it gets the claim, and an earlier attempt that never started
    /// gives way to it.
    pub supersedes: Option<&'a str>,
}

impl Wanted<'_> {
    /// Whether this claim is about the Job that asks. A forged review may have the uid of another one.
    pub(super) fn is_for(&self, claim: &Claim) -> bool {
        let Claimant {
            namespace,
            job,
            uid,
            ..
        } = self.claimant;
        (&*claim.uid, &*claim.namespace, &*claim.job) == (uid, namespace, job)
    }

    /// Whether the Job is refused for this error, whatever the policy's rules say of it.
    pub(super) fn is_refused_for(&self, error: &ClaimError) -> bool {
        let is_crowded = matches!(error, ClaimError::Crowded(_));
        is_crowded || self.policy.claims.on_failure == WithoutClaim::Deny
    }
}
