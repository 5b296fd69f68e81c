//! Metrics of the controller: election and tidy-up.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;

use strum::{IntoStaticStr, VariantNames};

use super::labels::registered;
use crate::core::cleanup::Reason;

/// Result of removing a finished Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum CleanupResult {
    /// The Job was deleted.
    Deleted,
    /// The Job did not exist any more, or had changed.
    Changed,
    /// The API server denied the request or could not be reached.
    Failed,
    /// The Job was kept, because tidy-up is a dry run there.
    DryRun,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TidyLabels {
    reason: &'static str,
    result: &'static str,
}

/// The metrics of the controller.
#[derive(Debug)]
pub struct Controller {
    leader: Gauge,
    tidy_ups: Family<TidyLabels, Counter>,
}

impl Controller {
    /// Registers the metrics. All series exist from the start, so that `increase` counts their first event.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            leader: registered(
                registry,
                "leader",
                "1 if this replica is the elected one, 0 if not",
            ),
            tidy_ups: registered(
                registry,
                "tidy_ups",
                "Finished Jobs to remove, by reason and result",
            ),
        };
        for &reason in Reason::VARIANTS {
            for &result in CleanupResult::VARIANTS {
                let labels = TidyLabels { reason, result };
                drop(metrics.tidy_ups.get_or_create(&labels));
            }
        }
        metrics
    }

    /// Sets whether this replica is the elected one.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// Counts a Job to remove, by the reason to remove it and the result.
    pub fn removed(&self, reason: Reason, result: CleanupResult) {
        let labels = TidyLabels {
            reason: reason.into(),
            result: result.into(),
        };
        self.tidy_ups.get_or_create(&labels).inc();
    }
}
