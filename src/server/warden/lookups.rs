//! The lookups in the cluster that few reviews need: a namespace that no watch has brought yet, and whether a Job that is
//! deleted or changed may still run. Not for claims.

use std::time::Duration;

use strum::{IntoStaticStr, VariantNames};
use tokio::time::Instant;

use super::Warden;
use crate::cluster::api::by;
use crate::cluster::claims::store::Claims;
use crate::core::admit::Heard;
use crate::core::job::running::{self, Progress};
use crate::core::job::{Job, dns};
use crate::core::namespace::NamespaceView;
use crate::host::metrics::{Counters, Registry};

/// How long an unknown namespace may delay a review.
const LOOKUP: Duration = Duration::from_secs(1);

/// The metrics of lookups.
#[derive(Debug)]
pub(crate) struct LookupMetrics {
    namespaces: Counters,
    terminations: Counters,
    pods: Counters,
}

/// State of a namespace according to the API server.
#[derive(Clone, Copy, Debug, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
enum Lookup {
    /// The namespace is not being deleted, so the deletion of the Job is blocked.
    Active,
    /// The namespace is being deleted, so the Job may be deleted too.
    Terminating,
    /// The API server did not return the state, so the Job may be deleted.
    Failed,
}

/// State of a Job according to its pods.
#[derive(Clone, Copy, Debug, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
enum Running {
    /// The Job is running.
    #[strum(serialize = "running")]
    Yes,
    /// The Job is not running, so it may be deleted.
    #[strum(serialize = "idle")]
    No,
    /// The API server did not return the pods, so the Job may be deleted.
    Failed,
}

impl LookupMetrics {
    pub(in crate::server) fn new(registry: &mut Registry) -> Self {
        Self {
            namespaces: registry.results(
                "namespace_lookups",
                "Requests for a namespace that the watch had not delivered yet, by result; \
                 after a failure the labels of the namespace are ignored",
            ),
            terminations: registry.counters(
                "guard_lookups",
                "Requests for the namespace of a Job before its deletion is blocked: active, terminating, or failed; \
                 the deletion is blocked only if the namespace is active",
                "result",
                Lookup::VARIANTS,
            ),
            pods: registry.counters(
                "guard_pod_lookups",
                "Requests for the pods of a Job whose status does not show whether it is running: running, idle, \
                 or failed; a deletion is blocked only if the Job is running",
                "result",
                Running::VARIANTS,
            ),
        }
    }
}

impl Warden {
    /// Reads a new namespace from the API server, or returns why that failed. Then the policy file alone decides the
    /// mode, as without a label.
    pub(super) async fn look_up(
        &self,
        namespace: &str,
        deadline: Instant,
    ) -> Result<NamespaceView, String> {
        if !dns::is_label(namespace) {
            return Err("the review has no valid namespace".to_owned());
        }
        let deadline = deadline.min(Instant::now() + LOOKUP);
        let found = self.namespaces.ask(namespace, deadline).await;
        self.metrics.lookups.namespaces.inc_result(found.is_ok());
        match found {
            Ok(Some(view)) => Ok(view),
            Ok(None) => Err(format!("there is no namespace {namespace}")),
            Err(error) => {
                tracing::warn!(%namespace, %error, "failed to read a namespace, its labels are ignored");
                Err(format!("failed to read namespace {namespace}: {error}"))
            }
        }
    }

    /// Finds out from the pods of a Job whether it is running, if its own status does not show that.
    pub(super) async fn look_at_pods(
        &self,
        job: &Job<'_>,
        claims: &Claims,
        nowhere: Option<&str>,
        deadline: Instant,
    ) -> Heard {
        let found = match nowhere {
            Some(why) => Err(why.to_owned()),
            None => is_running(job, claims, deadline).await,
        };
        self.metrics.lookups.pods.inc(match &found {
            Ok(true) => Running::Yes,
            Ok(false) => Running::No,
            Err(error) => {
                tracing::warn!(%error, "failed to determine whether a migration is running, the request is allowed");
                Running::Failed
            }
        });
        Heard::Pods(found)
    }

    /// Finds out whether a namespace is being deleted.
    pub(super) async fn is_terminating(&self, namespace: &str, deadline: Instant) -> Heard {
        // No API server sends such a name, so no deletion is blocked.
        if !dns::is_label(namespace) {
            return Heard::Nothing;
        }
        let found = self.namespaces.is_terminating(namespace, deadline).await;
        self.metrics.lookups.terminations.inc(match &found {
            Ok(false) => Lookup::Active,
            Ok(true) => Lookup::Terminating,
            Err(error) => {
                tracing::warn!(%namespace, %error, "failed to determine whether a namespace is being deleted, the deletion of its Job is allowed");
                Lookup::Failed
            }
        });
        Heard::Namespace(found)
    }
}

/// Whether a container of the Job is running, according to its pods.
async fn is_running(job: &Job<'_>, claims: &Claims, deadline: Instant) -> Result<bool, String> {
    let (namespace, name, uid) = (job.namespace, job.name.full(), &*job.metadata.uid);
    if !dns::is_label(namespace) || !dns::is_subdomain(name) || !dns::is_subdomain(uid) {
        return Err("the review has no valid metadata.namespace, name or uid".to_owned());
    }
    let job = (namespace, name, uid);
    let pods = by(deadline, claims.pods.of_existing(&claims.jobs, job)).await;
    let pods = pods.map_err(|error| error.to_string())?;
    Ok(running::progress(&pods) == Progress::Running)
}
