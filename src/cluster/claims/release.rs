//! Gives up the claims of Jobs that cannot run any more.
//!
//! The elected replica does this: periodically for all claims, and at once for a Job that, according to the watch, has
//! started, finished or been deleted. Every write carries the uid and the resourceVersion it was decided on, so that
//! two replicas at once do no harm.

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::ObjectMeta;

use super::error::ClaimError;
use super::lease::{self, CLAIM, HOLDER_UID};
use super::protocol::{Stored, Version};
use super::store::{Claims, read};
use super::sweep::{Sweep, SweepStep};
use crate::cluster::api::list::List;
use crate::cluster::api::{ApiError, ask, failed, in_time, unless_changed_or_gone};

/// Claims that are checked at once: one slow answer must not delay the others.
const AT_ONCE: usize = 8;

/// What a sweep did with one claim.
#[derive(Debug)]
pub enum Looked {
    /// It is still needed.
    Kept,
    /// It was given up. The value is its holder, as `NAMESPACE/JOB`.
    Released(String),
    /// It could not be checked or given up, and is retried the next time.
    Failed(ClaimError),
}

impl Claims {
    /// Checks all claims, and calls `tell` with each result at once. Fails if they cannot be listed.
    pub async fn sweep(&self, tell: impl FnMut(Looked)) -> Result<(), ClaimError> {
        self.sweep_where(&format!("{CLAIM}=true"), false, tell)
            .await
    }

    /// Checks the claim of the Job with this uid, if there is one. That Job has been seen, so its claim is released as
    /// soon as the Job is gone.
    pub async fn sweep_job(&self, uid: &str, tell: impl FnMut(Looked)) -> Result<(), ClaimError> {
        self.sweep_where(&format!("{CLAIM}=true,{HOLDER_UID}={uid}"), true, tell)
            .await
    }

    async fn sweep_where(
        &self,
        labels: &str,
        seen: bool,
        mut tell: impl FnMut(Looked),
    ) -> Result<(), ClaimError> {
        let params = ListParams::default().labels(labels);
        let own = self.client.default_namespace();
        let mut list = List::of::<Lease>(&self.client, Some(own), params);
        while let Some(page) = in_time(list.next()).await? {
            let leases = list.read::<Lease>(&page)?;
            let mut claims = Vec::new();
            for lease in &leases {
                let name = lease.name_any();
                match read(&name, lease) {
                    Ok(mut stored) => {
                        stored.claim.seen |= seen;
                        claims.push((name, stored));
                    }
                    Err(error) => tell(Looked::Failed(error)),
                }
            }
            // Read before any Job: a Job that is missing afterwards, and whose claim is old enough by this clock, will
            // never be created.
            let now = if claims.iter().all(|(_, stored)| stored.claim.seen) {
                Timestamp::MIN
            } else {
                self.clock().await?
            };
            let looks = claims.into_iter().map(|(name, stored)| async move {
                let holder = format!("{}/{}", stored.claim.namespace, stored.claim.job);
                match in_time(self.settle(&name, stored, now)).await {
                    Ok(true) => Looked::Released(holder),
                    Ok(false) => Looked::Kept,
                    Err(error) => Looked::Failed(error),
                }
            });
            let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
            while let Some(looked) = looks.next().await {
                tell(looked);
            }
        }
        Ok(())
    }

    /// Checks one claim, and returns whether it was given up.
    async fn settle(&self, name: &str, stored: Stored, now: Timestamp) -> Result<bool, ClaimError> {
        let mut sweep = Sweep::new(stored, now);
        loop {
            match sweep.step() {
                SweepStep::FindJob(claim) => {
                    let found = self.looks.job(claim).await?;
                    sweep.on_job(found);
                }
                SweepStep::FindPods(claim) => {
                    let live = self.looks.is_live(claim).await?;
                    sweep.on_pods(live);
                }
                SweepStep::MarkSeen(version) => {
                    self.mark_seen(name, version).await?;
                    return Ok(false);
                }
                SweepStep::Release(version) => return self.release(name, version).await,
                SweepStep::Leave => return Ok(false),
            }
        }
    }

    /// Deletes a claim of this version, and returns whether it was there.
    pub(super) async fn release(&self, name: &str, version: &Version) -> Result<bool, ClaimError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(version.uid.clone()),
                resource_version: Some(version.resource_version.clone()),
            }),
            ..DeleteParams::default()
        };
        let deleted = self.leases.delete(name, &params).await;
        // If it has changed, another replica has taken it over or released it.
        let deleted = unless_changed_or_gone(deleted.map_err(failed("delete leases")))?;
        Ok(deleted.is_some())
    }

    /// Marks the holder of a claim as seen, if the claim is still of this version.
    pub(super) async fn mark_seen(&self, name: &str, version: &Version) -> Result<(), ClaimError> {
        let patch = Patch::Merge(lease::mark_seen(version));
        let params = PatchParams::default();
        let marked = self.leases.patch(name, &params, &patch).await;
        unless_changed_or_gone(marked.map_err(failed("patch leases")))?;
        Ok(())
    }

    /// The API server's clock: the creation time of a Lease in a dry run.
    async fn clock(&self) -> Result<Timestamp, ApiError> {
        let lease = Lease {
            metadata: ObjectMeta {
                generate_name: Some("clock-".to_owned()),
                ..ObjectMeta::default()
            },
            ..Lease::default()
        };
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let created = ask("create leases", self.leases.create(&params, &lease)).await?;
        Ok(created
            .metadata
            .creation_timestamp
            .map_or(Timestamp::MIN, |time| time.0))
    }
}
