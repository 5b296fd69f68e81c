//! The labels of metrics. All values are constants of this program, never values that callers choose.

use prometheus_client::metrics::{counter::Counter, family::Family};
use prometheus_client::registry::{Metric, Registry};
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
    pub(super) fn new(
        registry: &mut Registry,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[&'static str],
    ) -> Self {
        let family: Family<Label, Counter> = registered(registry, name, help);
        for &value in values {
            drop(family.get_or_create(&[(label, value)]));
        }
        Self { label, family }
    }

    /// Counters of successes and failures.
    pub(super) fn of_results(registry: &mut Registry, name: &str, help: &str) -> Self {
        Self::new(registry, name, help, "result", &["success", "failure"])
    }

    pub(super) fn inc(&self, value: impl Into<&'static str>) {
        let labels = [(self.label, value.into())];
        self.family.get_or_create(&labels).inc();
    }

    pub(super) fn inc_result(&self, success: bool) {
        self.inc(if success { "success" } else { "failure" });
    }
}

/// A new metric in the registry.
pub(super) fn registered<M: Metric + Clone + Default>(
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> M {
    with(registry, name, help, M::default())
}

/// Registers this metric. The encoder appends `_total` to counters, `_info` to infos, and a full stop to help texts.
pub(super) fn with<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    registry.register(name, help, metric.clone());
    metric
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
