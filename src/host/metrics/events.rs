//! Metrics of Kubernetes Events.

use strum::{IntoStaticStr, VariantNames};

/// Result of sending an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Delivery {
    /// The API server stored it.
    Sent,
    /// The API server denied it or did not answer.
    Failed,
    /// It was not sent, because there were too many Events.
    Dropped,
}
