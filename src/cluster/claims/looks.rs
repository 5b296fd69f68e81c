//! Looks at the holders of claims: at the Job, and at its pods. Those who wait for one holder share the answers.

use std::sync::Arc;

use kube::Client;

use super::protocol::{Claim, Found};
use crate::cluster::api::ApiError;
use crate::cluster::api::patient::prompt;
use crate::cluster::api::seats::Seats;
use crate::cluster::api::shared::Questions;
use crate::cluster::jobs;
use crate::cluster::pods::Pods;
use crate::core::job::Job;
use crate::core::job::running::Pod;

/// Concurrent GETs of Jobs, in all and per namespace: a few milliseconds each.
const GETS: usize = 8;
const GETS_SHARE: usize = GETS / 2;
/// Jobs of one namespace whose pods are listed at once. Waiting migrations mostly need the same Job.
const PODS_SHARE: usize = 1;

/// Its seats are its own, so that a crowd that waits delays neither LISTs of Jobs nor reviews of deletions.
#[derive(Clone)]
pub(super) struct Looks {
    client: Client,
    /// By namespace, name and uid.
    jobs: Questions<[String; 3], Found>,
    pods: Pods,
}

impl Looks {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client: prompt(client.clone()),
            jobs: Questions::new(Seats::new(GETS, GETS_SHARE)),
            pods: Pods::new(client, PODS_SHARE),
        }
    }

    /// The state of the Job that a claim names. If it is being deleted, its pods decide, because no others follow.
    pub(super) async fn job(&self, claim: &Claim) -> Result<Found, ApiError> {
        let job = [&claim.namespace, &claim.job, &claim.uid].map(Clone::clone);
        let (client, asked) = (self.client.clone(), job.clone());
        let request = async move {
            let [namespace, name, uid] = asked;
            let found = jobs::find(&client, &namespace, &name, &uid).await?;
            Ok(found.unwrap_or(Found::Gone))
        };
        let found = self.jobs.ask(&claim.namespace, job, request).await?;
        if let Found::Unfinished(job) = found
            && job.is_terminating
            && !self.is_live(claim).await?
        {
            return Ok(Found::Finished);
        }
        Ok(found)
    }

    /// The place of a Job with a running pod among these, which are being deleted. A tenant may have many of them, so one
    /// LIST has the pods of all, and the next ones those of a half each time, until the Job is found.
    pub(super) async fn one_live(
        &self,
        namespace: &str,
        mut uids: &[&str],
    ) -> Result<Option<usize>, ApiError> {
        let mut first = 0;
        if uids.is_empty() || !self.pods.is_any_live(namespace, uids).await? {
            return Ok(None);
        }
        while uids.len() > 1 {
            let (one, other) = uids.split_at(uids.len() / 2);
            if self.pods.is_any_live(namespace, one).await? {
                uids = one;
            } else {
                first += one.len();
                uids = other;
            }
        }
        Ok(Some(first))
    }

    /// Whether a pod of the Job that a claim names is running.
    pub(super) async fn is_live(&self, claim: &Claim) -> Result<bool, ApiError> {
        Ok(self.pods(claim).await?.iter().any(Pod::is_live))
    }

    /// The pods of the Job that a claim names.
    pub(super) async fn pods(&self, claim: &Claim) -> Result<Arc<Vec<Pod>>, ApiError> {
        self.pods.of(&claim.namespace, &claim.uid).await
    }
}

impl From<&Job<'_>> for Found {
    fn from(job: &Job<'_>) -> Self {
        if job.is_finished() {
            Self::Finished
        } else {
            Self::Unfinished(job.into())
        }
    }
}

#[cfg(test)]
mod tests;
