//! Metrics of the listener: requests without a review, and connections.

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use prometheus_client::registry::Registry;
use strum::{IntoStaticStr, VariantNames};

use super::labels::{Counters, registered};

/// Why a request was answered with an HTTP error instead of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Rejection {
    /// 400: not an `AdmissionReview`
    Malformed,
    /// 405: not POST
    Method,
    /// 408: the body did not arrive in time
    Timeout,
    /// 413: the body is larger than the limit
    TooLarge,
    /// 415: not `application/json`
    ContentType,
    /// 500: evaluating the review panicked
    Panic,
    /// 503: too many requests in flight
    Overloaded,
}

/// The metrics of the listener.
#[derive(Debug)]
pub(super) struct ServerMetrics {
    pub(super) rejected: Counters,
    pub(super) in_flight: Gauge,
    pub(super) refused: Counter,
    pub(super) evicted: Counter,
}

impl ServerMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            rejected: Counters::new(
                registry,
                "requests_rejected",
                "Requests answered with an HTTP error instead of a review",
                "reason",
                Rejection::VARIANTS,
            ),
            in_flight: registered(
                registry,
                "requests_in_flight",
                "Requests being answered now",
            ),
            refused: registered(
                registry,
                "connections_refused",
                "New connections that were closed at once, because too many were open and none of those could be closed",
            ),
            evicted: registered(
                registry,
                "connections_evicted",
                "Connections that waited for their client and were closed, because \
             too many were open or request bodies took too much memory",
            ),
        }
    }
}
