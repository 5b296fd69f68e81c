//! Metrics of the guards: the state of the pods and of the namespace of a Job, before its deletion is blocked.

use prometheus_client::registry::Registry;
use strum::{IntoStaticStr, VariantNames};

use super::labels::Counters;

/// State of a namespace according to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Lookup {
    /// The namespace is not being deleted, so the deletion of the Job is blocked.
    Active,
    /// The namespace is being deleted, so the Job may be deleted too.
    Terminating,
    /// The API server did not return the state, so the Job may be deleted.
    Failed,
}

/// State of a Job according to its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Running {
    /// The Job is running.
    #[strum(serialize = "running")]
    Yes,
    /// The Job is not running, so it may be deleted.
    #[strum(serialize = "idle")]
    No,
    /// The API server did not return the pods, so the Job may be deleted.
    Failed,
}

/// The metrics of the guards.
#[derive(Debug)]
pub struct GuardMetrics {
    lookups: Counters,
    pod_lookups: Counters,
}

impl GuardMetrics {
    /// Registers the metrics. All series exist from the start, so that `increase` counts their first event.
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            lookups: Counters::new(
                registry,
                "guard_lookups",
                "Requests for the namespace of a Job before its deletion is blocked: active, terminating, or failed; \
             the deletion is blocked only if the namespace is active",
                "result",
                Lookup::VARIANTS,
            ),
            pod_lookups: Counters::new(
                registry,
                "guard_pod_lookups",
                "Requests for the pods of a Job whose status does not show whether it is running: running, idle, \
             or failed; a deletion is blocked only if the Job is running",
                "result",
                Running::VARIANTS,
            ),
        }
    }

    /// Counts a request for the pods of a Job.
    pub fn pods_looked_at(&self, found: Running) {
        self.pod_lookups.inc(found);
    }

    /// Counts a request for a namespace.
    pub fn looked_up(&self, found: Lookup) {
        self.lookups.inc(found);
    }
}
