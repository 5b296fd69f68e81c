//! Metrics of the guards: the state of the pods and of the namespace of a Job, before its deletion is blocked.

use prometheus_client::metrics::{counter::Counter, family::Family};
use prometheus_client::registry::Registry;

use super::labels::ResultLabels;

/// State of a namespace according to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The namespace is not being deleted, so the deletion of the Job is blocked.
    Active,
    /// The namespace is being deleted, so the Job may be deleted too.
    Terminating,
    /// The API server did not return the state, so the Job may be deleted.
    Failed,
}

impl Lookup {
    const ALL: [Self; 3] = [Self::Active, Self::Terminating, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Terminating => "terminating",
            Self::Failed => "failed",
        }
    }
}

/// State of a Job according to its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// The Job is running.
    Yes,
    /// The Job is not running, so it may be deleted.
    No,
    /// The API server did not return the pods, so the Job may be deleted.
    Failed,
}

impl Running {
    const ALL: [Self; 3] = [Self::Yes, Self::No, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "running",
            Self::No => "idle",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug)]
pub struct GuardMetrics {
    lookups: Family<ResultLabels, Counter>,
    pod_lookups: Family<ResultLabels, Counter>,
}

impl Default for GuardMetrics {
    /// All series start at zero, so that `increase` counts their first event.
    fn default() -> Self {
        let lookups = Family::<ResultLabels, Counter>::default();
        for result in Lookup::ALL.map(Lookup::as_str) {
            drop(lookups.get_or_create(&ResultLabels { result }));
        }
        let pod_lookups = Family::<ResultLabels, Counter>::default();
        for result in Running::ALL.map(Running::as_str) {
            drop(pod_lookups.get_or_create(&ResultLabels { result }));
        }
        Self {
            lookups,
            pod_lookups,
        }
    }
}

impl GuardMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "guard_lookups",
            "Requests for the namespace of a Job before its deletion is blocked: active, terminating, or failed; \
             the deletion is blocked only if the namespace is active",
            self.lookups.clone(),
        );
        registry.register(
            "guard_pod_lookups",
            "Requests for the pods of a Job whose status does not show whether it is running: running, idle, \
             or failed; a deletion is blocked only if the Job is running",
            self.pod_lookups.clone(),
        );
    }

    /// Counts a request for the pods of a Job.
    pub fn pods_looked_at(&self, found: Running) {
        let result = found.as_str();
        let counter = self.pod_lookups.get_or_create(&ResultLabels { result });
        counter.inc();
    }

    /// Counts a request for a namespace.
    pub fn looked_up(&self, found: Lookup) {
        let result = found.as_str();
        self.lookups.get_or_create(&ResultLabels { result }).inc();
    }
}
