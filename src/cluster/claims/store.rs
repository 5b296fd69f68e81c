//! Takes a claim: carries out the protocol's steps against the API server.
//!
//! The usual case takes three steps: read the claim, list the active Jobs, and create the claim if the namespace has
//! room for it. Everything ends before the review's deadline.

mod room;

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, timeout_at};

use super::blocker::Blocker;
use super::crowd::{Begun, Turn};
use super::error::ClaimError;
use super::lease;
use super::lists::{Lists, first};
use super::logged::Logged;
use super::looks::Looks;
use super::metrics::ClaimMetrics;
use super::protocol::{Claim, Conclusion, Reply, Standing, Step, Take, Version};
pub use super::wanted::{Claimant, Wanted};
use crate::cluster::adoption::record::Record;
use crate::cluster::api::patient::prompt;
use crate::cluster::api::seats::Seats;
use crate::cluster::api::{ApiError, by, failed, unless_changed, unless_changed_or_gone};
use crate::cluster::jobs::Jobs;
use crate::cluster::pods::Pods;
use crate::core::policy::Policy;

/// Jobs of one namespace whose pods are listed at once for the guards.
const PODS_SHARE: usize = 1;

/// Jobs that are failed at once, in all and of one namespace.
const FAILING: usize = 4;
const FAILING_SHARE: usize = 1;

/// The answer to a request for a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The Job has the claim and may run; in a dry run, it could.
    Held {
        /// The previous holder, if it could not run any more, as `NAMESPACE/JOB`.
        taken_over: Option<String>,
    },
    /// Another migration is still running, or may be.
    Waiting(Blocker),
}

/// The claims of a cluster, each of which is a Lease. Clones share the limits on requests.
#[derive(Clone)]
pub struct Claims {
    pub(super) client: Client,
    pub(super) leases: Api<Lease>,
    lists: Lists,
    pub(super) looks: Looks,
    /// For those who fail a Job.
    pub(super) seats: Arc<Seats>,
    /// For the guards and the alerts.
    pub pods: Pods,
    /// The Jobs that a watch has seen.
    pub jobs: Jobs,
    /// Whether all active Jobs that the policy adopts have their label.
    pub(crate) adoption: Record,
    begun: Begun,
    logged: Arc<Logged>,
    pub(super) metrics: ClaimMetrics,
}

impl Claims {
    /// Claims in the client's own namespace. A Job that is in `jobs` counts as seen.
    #[must_use]
    pub fn new(client: Client, jobs: Jobs, metrics: ClaimMetrics) -> Self {
        let pods = Pods::new(client.clone(), PODS_SHARE);
        let looks = Looks::new(client.clone());
        let client = prompt(client);
        Self {
            leases: Api::default_namespaced(client.clone()),
            lists: Lists::new(client.clone()),
            looks,
            seats: Arc::new(Seats::new(FAILING, FAILING_SHARE)),
            pods,
            jobs,
            adoption: Record::default(),
            client,
            begun: Begun::default(),
            logged: Arc::default(),
            metrics,
        }
    }

    /// Takes the claim, or returns the migration to wait for, before the deadline.
    pub async fn take(&self, wanted: &Wanted<'_>, deadline: Instant) -> Result<Taken, ClaimError> {
        let asked = Instant::now();
        let taken = self.attempt(wanted, deadline).await;
        self.metrics.asked(&taken, asked.elapsed());
        taken
    }

    async fn attempt(&self, wanted: &Wanted<'_>, deadline: Instant) -> Result<Taken, ClaimError> {
        let outcome = by(deadline, self.decide(wanted)).await?;
        let (holder, lease, standing) = match outcome {
            Conclusion::Held { taken_over } => {
                let taken_over =
                    taken_over.map(|claim| format!("{}/{}", claim.namespace, claim.job));
                return Ok(Taken::Held { taken_over });
            }
            Conclusion::Contended => {
                return Err(ApiError::Contended("write the claim".to_owned()).into());
            }
            Conclusion::Waiting {
                holder,
                lease,
                standing,
            } => (holder, lease, standing),
        };
        // The rest is only for the message, so it is left out if it takes too long.
        let now = wanted.claimant.created;
        let pods = async { self.looks.pods(&holder).await.ok() };
        let mark = self.mark_holder(wanted, &holder, lease, standing);
        let looked = timeout_at(deadline, async { tokio::join!(pods, mark) }).await;
        let pods = looked.ok().and_then(|(pods, ())| pods);
        let pods = pods.as_ref().map(|pods| pods.as_slice());
        let first = self.logged.is_first(
            &holder.uid,
            &wanted.claimant,
            wanted.dry_run,
            std::time::Instant::now(),
        );
        let mut blocker = Blocker::new(&holder, standing, pods, now, first);
        if let Some(pods) = pods {
            self.supersede(wanted, &holder, pods, deadline, &mut blocker)
                .await;
        }
        Ok(Taken::Waiting(blocker))
    }

    async fn decide(&self, wanted: &Wanted<'_>) -> Result<Conclusion, ClaimError> {
        let claimant = &wanted.claimant;
        let me = Claim {
            namespace: claimant.namespace.to_owned(),
            job: claimant.job.to_owned(),
            uid: claimant.uid.to_owned(),
            since: claimant.created,
            user: claimant.user.to_owned(),
            ..Claim::default()
        };
        let mut take = Take::new(me, wanted.keys.len(), wanted.dry_run);
        let decided = self.run(wanted, &mut take).await;
        if let Err(error) = &decided
            && wanted.is_refused_for(error)
        {
            // Otherwise the first one of two would hold its key until it expires.
            for (key, stored) in wanted.keys.iter().zip(take.written()) {
                if let Some(stored) = stored {
                    let _ = self.release(key.lease_name(), &stored.version).await;
                }
            }
        }
        decided
    }

    async fn run(&self, wanted: &Wanted<'_>, take: &mut Take) -> Result<Conclusion, ClaimError> {
        let mut turns: Vec<Option<Turn>> = wanted.keys.iter().map(|_| None).collect();
        let mut is_unsure = false;
        loop {
            let step = take.step();
            if let Step::Done(outcome) = step {
                let is_held = matches!(outcome, Conclusion::Held { .. });
                // A write without an answer may still arrive.
                if is_held || !is_unsure {
                    turns
                        .into_iter()
                        .flatten()
                        .for_each(|turn| turn.over(is_held));
                }
                return Ok(outcome);
            }
            let is_write = match &step {
                Step::Create(_, claim) | Step::Replace(_, _, claim) => {
                    self.make_room(wanted, claim, &mut turns).await?;
                    true
                }
                _ => false,
            };
            let reply = match self.carry_out(wanted, step).await {
                // Once, the attempt starts over, which is safe whether or not the write took or takes effect.
                Err(ClaimError::Api(error)) if is_write && !is_unsure && error.is_passing() => {
                    is_unsure = true;
                    Reply::Lost
                }
                reply => reply?,
            };
            take.on(reply);
        }
    }

    async fn carry_out(&self, wanted: &Wanted<'_>, step: Step) -> Result<Reply, ClaimError> {
        let key = |place: usize| &wanted.keys[place];
        let name = |place: usize| key(place).lease_name();
        match step {
            Step::Look(place) => {
                let lease = self.leases.get_opt(name(place)).await;
                let lease = lease.map_err(failed("get leases"))?;
                let read = lease.map(|lease| read(name(place), &lease)).transpose()?;
                Ok(Reply::Looked(read))
            }
            Step::FindJob(claim) => Ok(Reply::Job(self.looks.job(&claim).await?)),
            Step::FindPods(claim) => Ok(Reply::Pods(self.looks.is_live(&claim).await?)),
            // A finished attempt has no further step.
            Step::List | Step::Done(_) => {
                let all = wanted.is_adopted && !self.are_labelled(wanted.policy).await;
                let lists = self.lists.active(wanted.keys, wanted.policy, all).await?;
                Ok(Reply::Listed(first(&lists, wanted, &self.looks).await?))
            }
            Step::Create(place, claim) => {
                let text = key(place).to_string();
                let lease = lease::to_lease(name(place), &text, &claim, None);
                let created = self.leases.create(&PostParams::default(), &lease).await;
                written(name(place), true, created.map_err(failed("create leases")))
            }
            Step::Replace(place, version, claim) => {
                let text = key(place).to_string();
                let lease = lease::to_lease(name(place), &text, &claim, Some(&version));
                let params = PostParams::default();
                let replaced = self.leases.replace(name(place), &params, &lease).await;
                written(
                    name(place),
                    false,
                    replaced.map_err(failed("update leases")),
                )
            }
            Step::Delete(place, version) => {
                self.release(name(place), &version).await?;
                Ok(Reply::Deleted)
            }
        }
    }

    /// Whether the label finds all active Jobs that this policy adopts, as far as is known.
    async fn are_labelled(&self, policy: &Arc<Policy>) -> bool {
        self.adoption.is_done(policy).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "failed to read whether all adopted Jobs have their label");
            false
        })
    }

    /// Marks the holder as seen on its claim. Once marked, the claim can be taken over as soon as the Job is gone.
    async fn mark_holder(
        &self,
        wanted: &Wanted<'_>,
        holder: &Claim,
        lease: Option<(usize, Version)>,
        standing: Standing,
    ) {
        let is_new = !holder.seen && standing != Standing::NotYetThere;
        if let Some((place, version)) = lease.filter(|_| is_new && !wanted.dry_run) {
            // If it fails, the next migration that waits, or the elected replica, does it.
            let name = wanted.keys[place].lease_name();
            let _ = self.mark_seen(name, &version).await;
        }
    }
}

/// What the answer to a write of a claim says. On a replace 404 means the Lease, on a create the namespace.
pub(super) fn written(
    name: &str,
    is_create: bool,
    answer: Result<Lease, ApiError>,
) -> Result<Reply, ClaimError> {
    let written = if is_create {
        unless_changed(answer)
    } else {
        unless_changed_or_gone(answer)
    };
    match written? {
        Some(lease) => Ok(Reply::Written(read(name, &lease)?)),
        None => Ok(Reply::Lost),
    }
}

pub(super) fn read(name: &str, lease: &Lease) -> Result<super::protocol::Stored, ClaimError> {
    lease::from_lease(lease).ok_or_else(|| ClaimError::Unreadable(name.to_owned()))
}

#[cfg(test)]
mod tests;
