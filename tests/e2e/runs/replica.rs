//! A replica as far as it records runs, in this process: it can be stopped and started at will.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use migration_warden::cluster::events::Events;
use migration_warden::cluster::jobs::Jobs;
use migration_warden::cluster::runs::{LastWords, Pace, Runs, Trouble, last_words};
use migration_warden::config::reload::LivePolicy;
use migration_warden::metrics::Metrics;
use migration_warden::server::admin::Status;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::harness::{Cluster, Space};

/// Tests have no minutes.
pub(super) const PACE: Pace = Pace {
    others: Duration::from_secs(1),
    scan: Duration::from_secs(1),
    lost: Duration::from_secs(2),
};

/// Marks a Job as a migration for the replicas of one namespace.
pub(super) const LABEL: &str = "e2e.migration-warden.io/space";

pub(super) struct Replica {
    // Ends with this.
    _runtime: Runtime,
    _leads: watch::Sender<bool>,
    _dir: TempDir,
    words: LastWords,
    trouble: Trouble,
    metrics: Arc<Metrics>,
}

impl Replica {
    /// One that was elected, under `record.runs` as given.
    pub(super) fn start(space: &Space, runs: &str) -> Self {
        Self::new(space, runs, true, None)
    }

    /// One that was not elected.
    pub(super) fn follow(space: &Space, runs: &str) -> Self {
        Self::new(space, runs, false, None)
    }

    /// One that has this user's rights.
    pub(super) fn with_rights(space: &Space, user: &str, runs: &str) -> Self {
        Self::new(space, runs, true, Some(user))
    }

    fn new(space: &Space, runs: &str, leads: bool, user: Option<&str>) -> Self {
        let dir = TempDir::new().unwrap();
        let policy = dir.path().join("policy.yaml");
        let text = format!(
            "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n\
             match: {{selectors: [{{matchLabels: {{{LABEL}: {}}}}}]}}\nrecord: {{runs: {runs}}}\n",
            space.name()
        );
        fs::write(&policy, text).unwrap();
        let metrics = Arc::new(Metrics::new());
        let (policy, _) = LivePolicy::load(policy, &metrics).unwrap();
        let (words, shown) = last_words(Arc::clone(&metrics));
        let trouble = Trouble::default();
        let (sender, elected) = watch::channel(leads);
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(Cluster::get().client("default", user));
        let sent = Events::send(client.clone(), "e2e".to_owned(), Arc::clone(&metrics));
        let (events, sending) = sent;
        let jobs = Jobs::default();
        let runs = Runs {
            client: client.clone(),
            jobs: jobs.clone(),
            policy: policy.clone(),
            metrics: Arc::clone(&metrics),
            events,
            trouble: trouble.clone(),
            pace: PACE,
        };
        runtime.spawn(sending);
        runtime.spawn(runs.run(shown, elected));
        runtime.spawn(jobs.watch(client, policy, Arc::clone(&metrics)));
        Self {
            _runtime: runtime,
            _leads: sender,
            _dir: dir,
            words,
            trouble,
            metrics,
        }
    }

    /// Shows it a review of a deletion.
    pub(super) fn shown(&self, review: &Value) {
        self.words.take(review.to_string().as_bytes());
    }

    /// What it tells of itself.
    pub(super) fn trouble(&self) -> String {
        match self.trouble.status() {
            Status::Ok(text) | Status::Warning(text) | Status::Failed(text) => text,
        }
    }

    /// The value of this counter of whole things.
    pub(super) fn counted(&self, metric: &str) -> i64 {
        let text = self.metrics.encode();
        let prefix = format!("migration_warden_{metric} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
        value
            .unwrap_or_else(|| panic!("no {metric} in {text}"))
            .parse()
            .unwrap()
    }
}
