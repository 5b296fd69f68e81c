//! The metric of tidy-up.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family};
use strum::{IntoStaticStr, VariantNames};

use crate::core::cleanup::Reason;
use crate::host::metrics::Registry;

/// Counts the finished Jobs to remove. Clones share the values.
#[derive(Clone, Debug)]
pub struct CleanupMetrics(Family<RemovalLabels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RemovalLabels {
    reason: &'static str,
    result: &'static str,
}

/// Result of removing a finished Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum CleanupResult {
    /// The Job was deleted.
    Deleted,
    /// The Job did not exist any more, or had changed.
    Changed,
    /// The API server denied the request or could not be reached.
    Failed,
    /// The Job was kept, because tidy-up is a dry run there.
    DryRun,
}

impl CleanupMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let help = "Finished Jobs to remove, by reason and result";
        let family: Family<RemovalLabels, Counter> = registry.add("tidy_ups", help);
        for &reason in Reason::VARIANTS {
            for &result in CleanupResult::VARIANTS {
                drop(family.get_or_create(&RemovalLabels { reason, result }));
            }
        }
        Self(family)
    }

    pub(super) fn removed(&self, reason: Reason, result: CleanupResult) {
        let labels = RemovalLabels {
            reason: reason.into(),
            result: result.into(),
        };
        self.0.get_or_create(&labels).inc();
    }
}
