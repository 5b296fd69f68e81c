//! The policy in use. It is reloaded when the content of its file changes.
//!
//! An invalid file is logged and counted, and the last valid policy stays in use.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge};

use crate::core::policy::Policy;
use crate::core::policy::adopt::DETECTED;
use crate::core::policy_file::validate::{self, InvalidPolicy};
use crate::host::file_watch::{Contents, Poller, ReadError};
use crate::host::metrics::{Counters, Registry};

/// Why a policy file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file, whose name is given, is not UTF-8.
    #[error("failed to read {0}: it is not UTF-8; save the file as UTF-8")]
    Utf8(String),
    /// The file is not a valid policy.
    #[error(transparent)]
    Invalid(#[from] InvalidPolicy),
}

/// The metrics of the policy file. Clones share the values.
#[derive(Clone, Debug)]
pub struct PolicyMetrics {
    reloads: Counters,
    last_reload: Gauge,
    in_use: PolicyInfo,
    adopted: Family<Name, Counter>,
    /// The entries of the policy in use.
    entries: Arc<Mutex<Vec<String>>>,
}

/// The label with the name of an entry.
type Name = [(&'static str, String); 1];

/// Counts the Jobs that an earlier policy has adopted, as their label says.
const OTHER: &str = "other";

fn labels(name: &str) -> Name {
    [("adopted", name.to_owned())]
}

/// The policy in use, as one series. A family would keep the old hashes, or show none or two hashes during a change.
#[derive(Clone, Debug, Default)]
struct PolicyInfo(Arc<ArcSwapOption<String>>);

impl EncodeMetric for PolicyInfo {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        match &*self.0.load() {
            Some(hash) => encoder.encode_info(&[("hash", hash.as_str())]),
            None => Ok(()),
        }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Info
    }
}

impl PolicyMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reloads: registry.results("policy_reloads", "Reloads of the policy file, by result"),
            last_reload: registry.add(
                "policy_last_reload_successful",
                "1 if the last reload of the policy file succeeded, 0 if it failed",
            ),
            in_use: registry.add("policy", "The policy in use"),
            adopted: registry.add(
                "adopted_jobs",
                "Jobs admitted without a label that the policy adopts, by its entry",
            ),
            entries: Arc::default(),
        };
        for name in [DETECTED, OTHER] {
            drop(metrics.adopted.get_or_create(&labels(name)));
        }
        // The first policy was already loaded: without a valid one the program does not start.
        metrics.last_reload.set(1);
        metrics
    }

    pub(crate) fn reloaded(&self, success: bool) {
        self.reloads.inc_result(success);
        self.last_reload.set(success.into());
    }

    /// Counts a Job that is adopted under this name.
    pub(crate) fn adopted(&self, name: &str) {
        let series = self.adopted.get(&labels(name));
        let series = series.or_else(|| self.adopted.get(&labels(OTHER)));
        if let Some(series) = series {
            series.inc();
        }
    }

    /// Shows the policy in use. Its entries have a series each, and those of the previous one have none any more.
    fn uses(&self, policy: &Policy) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = policy.adopt.entries().iter();
        let now: Vec<_> = now.map(|entry| entry.name.clone()).collect();
        for name in entries
            .iter()
            .filter(|name| !now.contains(name) && *name != OTHER)
        {
            self.adopted.remove(&labels(name));
        }
        for name in &now {
            drop(self.adopted.get_or_create(&labels(name)));
        }
        *entries = now;
        self.in_use(policy.hash.clone());
    }

    /// Sets the hash of the policy in use. The previous one is no longer exported.
    pub fn in_use(&self, hash: String) {
        self.in_use.0.store(Some(Arc::new(hash)));
    }
}

/// The policy in use. Clones share it.
#[derive(Clone, Debug)]
pub struct LivePolicy(Arc<ArcSwap<Policy>>);

/// The file that a policy was loaded from, for [`LivePolicy::keep_fresh`].
#[derive(Debug)]
pub struct PolicyFile {
    name: String,
    poller: Poller,
}

impl LivePolicy {
    /// The built-in policy, which never changes.
    #[must_use]
    pub(crate) fn builtin(metrics: &PolicyMetrics) -> Self {
        Self::new(validate::builtin(), metrics)
    }

    /// Loads a policy file for the first time.
    pub fn load(path: PathBuf, metrics: &PolicyMetrics) -> Result<(Self, PolicyFile), LoadError> {
        let name = path.display().to_string();
        let mut poller = Poller::new(vec![path]);
        // The first poll always returns the contents.
        let policy = read(&name, poller.poll().unwrap_or(Ok(Vec::new())))?;
        Ok((Self::new(policy, metrics), PolicyFile { name, poller }))
    }

    /// The current policy. A reload does not change a policy that was already returned.
    #[must_use]
    pub fn current(&self) -> Arc<Policy> {
        // Not a `Guard`: callers await, and a thread has few of them.
        self.0.load_full()
    }

    /// Reads the file every `period` and uses a new policy if it is valid. Runs until it is dropped.
    pub(crate) async fn keep_fresh(
        self,
        file: PolicyFile,
        period: Duration,
        metrics: PolicyMetrics,
    ) {
        let PolicyFile { name, poller } = file;
        let apply = |contents| match read(&name, contents) {
            Ok(policy) => {
                metrics.reloaded(true);
                let hash = policy.hash.clone();
                self.replace(policy, &metrics);
                tracing::info!(file = %name, policy = %hash, "the policy file was reloaded");
            }
            Err(error) => {
                metrics.reloaded(false);
                let policy = &self.0.load().hash;
                tracing::error!(
                    %error, policy, "failed to reload the policy file, the last valid policy stays in use"
                );
            }
        };
        poller.run(period, apply).await;
    }

    pub(crate) fn replace(&self, policy: Policy, metrics: &PolicyMetrics) {
        metrics.uses(&policy);
        self.0.store(Arc::new(policy));
    }

    pub(crate) fn new(policy: Policy, metrics: &PolicyMetrics) -> Self {
        metrics.uses(&policy);
        Self(Arc::new(ArcSwap::from_pointee(policy)))
    }
}

fn read(name: &str, contents: Result<Contents, ReadError>) -> Result<Policy, LoadError> {
    let bytes = contents?.pop().unwrap_or_default();
    let text = String::from_utf8(bytes).map_err(|_| LoadError::Utf8(name.to_owned()))?;
    Ok(validate::read(name, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_policy_and_the_last_reload_are_shown() {
        let mut registry = Registry::new();
        let metrics = PolicyMetrics::new(&mut registry);
        for (hash, success, shown) in [("aaa", true, "1"), ("bbb", false, "0"), ("ccc", true, "1")]
        {
            metrics.in_use(hash.to_owned());
            metrics.reloaded(success);
            registry.assert_has(&[
                &format!("policy_info{{hash=\"{hash}\"}} 1"),
                &format!("policy_last_reload_successful {shown}"),
            ]);
            assert_eq!(
                registry
                    .encode()
                    .matches("\nmigration_warden_policy_info{")
                    .count(),
                1
            );
        }
        registry.assert_has(&[r#"policy_reloads_total{result="failure"} 1"#]);
    }

    /// A label of a Job is a client's word.
    #[test]
    fn adopted_jobs_are_counted_by_the_entries_of_the_policy_in_use() {
        let mut registry = Registry::new();
        let metrics = PolicyMetrics::new(&mut registry);
        let adopting = |names: &[&str]| {
            let entries = names
                .iter()
                .map(|name| format!("{{name: {name}, match: {{names: [x]}}}}"));
            let entries = entries.collect::<Vec<_>>().join(", ");
            crate::core::policy::testing::policy(&format!("adopt: [{entries}]\n"))
        };
        let live = LivePolicy::new(adopting(&["shop", "other"]), &metrics);
        registry.assert_has(&[r#"adopted_jobs_total{adopted="shop"} 0"#]);
        for name in ["shop", "shop", "detected", "forged"] {
            metrics.adopted(name);
        }
        let shown = [
            r#"adopted_jobs_total{adopted="shop"} 2"#,
            r#"adopted_jobs_total{adopted="detected"} 1"#,
            r#"adopted_jobs_total{adopted="other"} 1"#,
        ];
        registry.assert_has(&shown);
        live.replace(adopting(&["shop", "billing"]), &metrics);
        registry.assert_has(&shown);
        live.replace(adopting(&["billing"]), &metrics);
        // A review that began under the previous policy.
        metrics.adopted("shop");
        registry.assert_has(&[
            r#"adopted_jobs_total{adopted="billing"} 0"#,
            r#"adopted_jobs_total{adopted="other"} 2"#,
        ]);
        assert!(!registry.encode().contains("\"shop\""));
    }
}
