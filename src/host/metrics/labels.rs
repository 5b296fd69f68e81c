//! The labels of metrics. All values are constants of this program, never values that callers choose.

use prometheus_client::metrics::{counter::Counter, family::Family};
use prometheus_client::registry::Registry;
use strum::{IntoStaticStr, VariantNames};

/// One label and its value.
pub(super) type Label = [(&'static str, &'static str); 1];

/// Counters that differ in one label.
#[derive(Debug)]
pub(super) struct Counters {
    label: &'static str,
    family: Family<Label, Counter>,
}

impl Counters {
    /// Counters for these values of the label. They exist from the start, because `increase` ignores the first value
    /// of a counter that did not exist before.
    pub(super) fn new(label: &'static str, values: &[&'static str]) -> Self {
        let family = Family::<Label, Counter>::default();
        for &value in values {
            drop(family.get_or_create(&[(label, value)]));
        }
        Self { label, family }
    }

    /// Counters of successes and failures.
    pub(super) fn of_results() -> Self {
        Self::new("result", &["success", "failure"])
    }

    pub(super) fn inc(&self, value: impl Into<&'static str>) {
        let labels = [(self.label, value.into())];
        self.family.get_or_create(&labels).inc();
    }

    pub(super) fn inc_result(&self, success: bool) {
        self.inc(if success { "success" } else { "failure" });
    }

    pub(super) fn register(&self, name: &str, help: &str, registry: &mut Registry) {
        registry.register(name, help, self.family.clone());
    }
}

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

/// Objects that a watch keeps in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Watch {
    /// `MigrationException` objects.
    Exceptions,
    Jobs,
    Namespaces,
}
