//! A replica as far as it records runs, in this process: it can be stopped and started at will.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use migration_warden::cluster::events::Events;
use migration_warden::cluster::jobs::Jobs;
use migration_warden::cluster::runs::{LastWords, Pace, Runs, Trouble, last_words};
use migration_warden::core::job::object::Object;
use migration_warden::core::job::{Job, Kind};
use migration_warden::host::health::Status;
use migration_warden::host::policy_watch::LivePolicy;
use migration_warden::server::metrics::Metrics;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::harness::{Cluster, Proxy, Space};

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
    runtime: Runtime,
    _leads: watch::Sender<bool>,
    _dir: TempDir,
    words: LastWords,
    trouble: Trouble,
    metrics: Arc<Metrics>,
}

impl Replica {
    /// One that was elected, under `record.runs` as given.
    pub(super) fn start(space: &Space, runs: &str) -> Self {
        Self::with_rights_of(space, None, runs, true)
    }

    /// One that was elected, by way of this proxy.
    pub(super) fn through(space: &Space, proxy: &Proxy) -> Self {
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(Cluster::get().client_through(proxy, "default"));
        Self::new(space, "{}", true, runtime, client)
    }

    /// One that was not elected.
    pub(super) fn follow(space: &Space, runs: &str) -> Self {
        Self::with_rights_of(space, None, runs, false)
    }

    /// One that has this user's rights.
    pub(super) fn with_rights(space: &Space, user: &str, runs: &str) -> Self {
        Self::with_rights_of(space, Some(user), runs, true)
    }

    fn with_rights_of(space: &Space, user: Option<&str>, runs: &str, leads: bool) -> Self {
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(Cluster::get().client("default", user));
        Self::new(space, runs, leads, runtime, client)
    }

    fn new(space: &Space, runs: &str, leads: bool, runtime: Runtime, client: Client) -> Self {
        let dir = TempDir::new().unwrap();
        let policy = dir.path().join("policy.yaml");
        let text = format!(
            "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n\
             match: {{selectors: [{{matchLabels: {{{LABEL}: {}}}}}]}}\nrecord: {{runs: {runs}}}\n",
            space.name()
        );
        fs::write(&policy, text).unwrap();
        let metrics = Arc::new(Metrics::new());
        let (policy, _) = LivePolicy::load(policy, &metrics.policy).unwrap();
        let trouble = Trouble::default();
        let (sender, elected) = watch::channel(leads);
        let entered = runtime.enter();
        let sent = Events::send(client.clone(), "e2e".to_owned(), metrics.events.clone());
        let (events, sending) = sent;
        let jobs = Jobs::default();
        let (words, shown) = last_words(jobs.clone(), client.clone(), metrics.runs.clone());
        let runs = Runs {
            client: client.clone(),
            jobs: jobs.clone(),
            policy: policy.clone(),
            metrics: metrics.runs.clone(),
            events,
            trouble: trouble.clone(),
            installation: None,
            pace: PACE,
        };
        runtime.spawn(sending);
        runtime.spawn(runs.run(shown, elected.into()));
        runtime.spawn(jobs.watch(client, policy, metrics.watches.clone()));
        drop(entered);
        Self {
            runtime,
            _leads: sender,
            _dir: dir,
            words,
            trouble,
            metrics,
        }
    }

    /// Shows it a review of a deletion.
    pub(super) fn shown(&self, review: &Value) {
        let deadline = Instant::now() + Duration::from_secs(1);
        let namespace = review["request"]["namespace"].as_str().unwrap();
        let object = Object::deserialize(&review["request"]["oldObject"]).unwrap();
        let job = Job::new(&object, Kind::Job, namespace);
        self.runtime.block_on(self.words.leave(&job, deadline));
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
