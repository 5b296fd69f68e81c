//! Fails a Job that holds a claim and never started, so that the migration that waits for it gets in with its next try.
//!
//! [`crate::core::supersede`] decides. The Job is never deleted: Helm 3 takes a deleted hook for one that succeeded.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::blocker::Blocker;
use super::protocol::Claim;
use super::store::{Claims, Wanted};
use crate::cluster::api::{ApiError, by, failed};
use crate::cluster::jobs;
use crate::core::job::annotation::Annotation;
use crate::core::job::running::{Pod, Progress, Wait};
use crate::core::policy::rules::concurrent_migration::State;
use crate::core::supersede::{DEADLINE, Held, Newer, why};

/// How long the GET and the PATCH may delay the answer.
const LIMIT: Duration = Duration::from_secs(1);
/// Answers after which the Job is as it was, and the next try looks again: it is gone, it has changed, or it may not be
/// changed like that.
const CHANGED: [u16; 3] = [404, 409, 422];

impl Claims {
    /// Fails the holder if it never started, and says so in `blocker`. `pods` are the holder's.
    pub(super) async fn supersede(
        &self,
        wanted: &Wanted<'_>,
        holder: &Claim,
        pods: &[Pod],
        deadline: Instant,
        blocker: &mut Blocker,
    ) {
        let is_asked = matches!(blocker.facts.state, State::Active(Progress::NotStarted(_)));
        let Some(base) = wanted.supersedes.filter(|_| is_asked) else {
            return;
        };
        let newer = Newer {
            namespace: wanted.claimant.namespace,
            base,
            // A forged review may be from the future.
            now: wanted.claimant.created.min(Timestamp::now()),
        };
        let (namespace, job) = (&holder.namespace, &holder.job);
        if !newer.may_supersede(namespace, holder.since) {
            return;
        }
        let deadline = deadline.min(Instant::now() + LIMIT);
        match by(deadline, self.fail(wanted, holder, pods, &newer)).await {
            Ok(Ok((wait, why))) => {
                self.metrics.superseded.inc_result(true);
                tracing::info!(%namespace, %job, %why, "failed a migration that never started");
                blocker.facts.state = State::Superseded(wait);
                // What is done to the holder is logged, whoever was told to wait for it before.
                blocker.first = true;
            }
            Ok(Err(stays)) => {
                tracing::debug!(%namespace, %job, "a migration that has not started stays: {stays}");
            }
            Err(error) if CHANGED.contains(&error.code()) => {
                tracing::debug!(%error, %namespace, %job, "a migration that has not started has changed");
            }
            Err(error) => {
                self.metrics.superseded.inc_result(false);
                tracing::warn!(%error, %namespace, %job, "failed to fail a migration that never started");
            }
        }
    }

    /// Has Kubernetes fail the holder, and returns what kept it from starting, or why it stays.
    async fn fail(
        &self,
        wanted: &Wanted<'_>,
        holder: &Claim,
        pods: &[Pod],
        newer: &Newer<'_>,
    ) -> Result<Result<(Wait, String), &'static str>, ApiError> {
        let Claim {
            namespace,
            job,
            uid,
            ..
        } = holder;
        let _seat = self.seats.take(namespace).await;
        let Some(held) = jobs::find::<Held>(&self.client, namespace, job, uid).await? else {
            return Ok(Err("it is gone"));
        };
        let wait = match held.gives_way(newer, pods) {
            Ok(wait) => wait,
            Err(stays) => return Ok(Err(stays)),
        };
        let claimant = &wanted.claimant;
        // A client that retries gets another name each time.
        let why = why(&wait, claimant.generate_name.unwrap_or(claimant.job));
        let api: Api<Job> = Api::namespaced(self.client.clone(), namespace);
        let patch = Patch::Merge(patch(uid, &held.resource_version, &why));
        let params = PatchParams {
            field_manager: Some("migration-warden".to_owned()),
            ..PatchParams::default()
        };
        let patched = api.patch_metadata(job, &params, &patch).await;
        patched.map_err(failed("patch jobs"))?;
        Ok(Ok((wait, why)))
    }
}

/// The merge patch after which Kubernetes fails the Job. It does nothing if the Job has changed.
fn patch(uid: &str, resource_version: &str, why: &str) -> Value {
    json!({
        "metadata": {
            "uid": uid,
            "resourceVersion": resource_version,
            "annotations": {Annotation::Superseded.key(): why},
        },
        "spec": {"activeDeadlineSeconds": DEADLINE},
    })
}

#[cfg(test)]
mod tests;
