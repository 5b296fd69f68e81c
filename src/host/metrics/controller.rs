//! The families of what runs beside the reviews: the election and tidy-up.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;

use crate::core::cleanup::Reason;

/// What came of removing a Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tidied {
    /// It is gone.
    Deleted,
    /// It was gone already, or no longer what it was.
    Changed,
    /// The apiserver refused or could not be reached.
    Failed,
    /// It stays, because nothing is to be removed there.
    DryRun,
}

impl Tidied {
    const ALL: [Self; 4] = [Self::Deleted, Self::Changed, Self::Failed, Self::DryRun];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::DryRun => "dry-run",
        }
    }
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

impl Default for Controller {
    /// With all series at zero, so that their first event is an increase.
    fn default() -> Self {
        let controller = Self {
            leader: Gauge::default(),
            tidy_ups: Family::default(),
        };
        for reason in Reason::ALL {
            for result in Tidied::ALL {
                drop(controller.series(reason, result));
            }
        }
        controller
    }
}

impl Controller {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "leader",
            "1 if this replica is the elected one, 0 if not",
            self.leader.clone(),
        );
        registry.register(
            "tidy_ups",
            "Finished Jobs to remove, by reason and result",
            self.tidy_ups.clone(),
        );
    }

    /// Tells whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// Counts a Job to remove, and what came of it.
    pub fn tidied(&self, reason: Reason, result: Tidied) {
        self.series(reason, result).inc();
    }

    fn series(&self, reason: Reason, result: Tidied) -> impl std::ops::Deref<Target = Counter> {
        self.tidy_ups.get_or_create(&TidyLabels {
            reason: reason.as_str(),
            result: result.as_str(),
        })
    }
}
