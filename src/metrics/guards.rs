//! Metrics of the guards: what the apiserver said of a namespace before a deletion in it was refused.

use prometheus_client::metrics::{counter::Counter, family::Family};
use prometheus_client::registry::Registry;

use super::labels::ResultLabels;

/// What is known of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It stays: the deletion is refused.
    Active,
    /// It is being deleted: the Job may go as well.
    Terminating,
    /// The apiserver did not say, so the Job may go.
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

/// The metrics of the guards.
#[derive(Debug)]
pub struct GuardMetrics {
    lookups: Family<ResultLabels, Counter>,
}

impl Default for GuardMetrics {
    /// With all series at zero, so that their first event is an increase.
    fn default() -> Self {
        let lookups = Family::<ResultLabels, Counter>::default();
        for result in Lookup::ALL.map(Lookup::as_str) {
            drop(lookups.get_or_create(&ResultLabels { result }));
        }
        Self { lookups }
    }
}

impl GuardMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "guard_lookups",
            "Namespaces that the apiserver was asked for before a deletion was refused: active, terminating, or failed; only with the first it is refused",
            self.lookups.clone(),
        );
    }

    /// Counts a namespace that was asked for.
    pub fn looked_up(&self, found: Lookup) {
        let result = found.as_str();
        self.lookups.get_or_create(&ResultLabels { result }).inc();
    }
}
