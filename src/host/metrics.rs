//! The registry of all metrics of the process. Each metric is declared, documented and counted in the file of what it
//! counts; `server::metrics` lists these parts.
//!
//! No label holds the name of a Job, a namespace or a user, or another value that callers choose. So the number of
//! series has a fixed bound.

use prometheus_client::encoding::text;
use prometheus_client::metrics::{counter::Counter, family::Family, info::Info};
use prometheus_client::registry::{self, Metric};

/// Content type of the text that [`Registry::encode`] returns.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One label and its value.
pub(crate) type Label = [(&'static str, &'static str); 1];

/// The metrics of one process.
#[derive(Debug)]
pub(crate) struct Registry(registry::Registry);

impl Registry {
    pub(crate) fn new() -> Self {
        let mut registry = registry::Registry::with_prefix("migration_warden");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running version", version);
        Self(registry)
    }

    /// A new metric.
    pub(crate) fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.add_this(name, help, M::default())
    }

    /// Adds this metric. The encoder appends `_total` to counters, `_info` to infos, and a full stop to help texts.
    pub(crate) fn add_this<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    /// Counters for these values of a label. They exist from the start, because `increase` ignores the first value of a
    /// counter that did not exist before.
    pub(crate) fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[&'static str],
    ) -> Counters {
        let family: Family<Label, Counter> = self.add(name, help);
        for &value in values {
            drop(family.get_or_create(&[(label, value)]));
        }
        Counters { label, family }
    }

    /// Counters of successes and failures.
    pub(crate) fn results(&mut self, name: &str, help: &str) -> Counters {
        self.counters(name, help, "result", &["success", "failure"])
    }

    /// All metrics as `OpenMetrics` text, to be sent as [`CONTENT_TYPE`].
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail. So an error means that one family cannot be encoded, and the others are
        // still useful.
        if let Err(error) = text::encode(&mut text, &self.0) {
            tracing::error!(%error, "failed to encode the metrics");
        }
        text
    }

    /// Fails unless the text has these lines, given without the prefix of their names.
    #[cfg(test)]
    pub(crate) fn assert_has(&self, lines: &[&str]) {
        let text = self.encode();
        for line in lines {
            let line = format!("migration_warden_{line}");
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}

/// Counters that differ in one label. Clones share the values.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    label: &'static str,
    family: Family<Label, Counter>,
}

impl Counters {
    pub(crate) fn inc(&self, value: impl Into<&'static str>) {
        let labels = [(self.label, value.into())];
        self.family.get_or_create(&labels).inc();
    }

    pub(crate) fn inc_result(&self, success: bool) {
        self.inc(if success { "success" } else { "failure" });
    }
}
