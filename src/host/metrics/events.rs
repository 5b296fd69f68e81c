//! Metrics of Kubernetes Events.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family};
use prometheus_client::registry::Registry;

/// Result of sending an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The API server stored it.
    Sent,
    /// The API server denied it or did not answer.
    Failed,
    /// It was not sent, because there were too many Events.
    Dropped,
}

impl Sent {
    const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::Dropped];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    result: &'static str,
}

#[derive(Debug)]
pub(super) struct EventMetrics(Family<EventLabels, Counter>);

impl Default for EventMetrics {
    fn default() -> Self {
        let metrics = Self(Family::default());
        for result in Sent::ALL {
            metrics.of(result);
        }
        metrics
    }
}

impl EventMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "events",
            "Kubernetes Events about migrations, by whether they were sent",
            self.0.clone(),
        );
    }

    pub(super) fn count(&self, result: Sent) {
        self.of(result).inc();
    }

    fn of(&self, result: Sent) -> Counter {
        let result = result.as_str();
        self.0.get_or_create_owned(&EventLabels { result })
    }
}
