//! A replica as far as it tidies up, in this process: with a grace that tests have the time for.

use std::{
    fs::{self, File},
    sync::Arc,
};

use jiff::SignedDuration;
use migration_warden::cluster::cleanup::Cleanup;
use migration_warden::cluster::jobs::Jobs;
use migration_warden::cluster::leader::Candidate;
use migration_warden::cluster::namespaces::Namespaces;
use migration_warden::host::decision_log::Sink;
use migration_warden::host::policy_watch::LivePolicy;
use migration_warden::server::metrics::Metrics;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::harness::{Cluster, Space};
use crate::published::is_as_published;

/// Nobody waits for these Jobs, and the tests have no ten minutes.
const GRACE: SignedDuration = SignedDuration::from_secs(2);

/// A replica as far as it tidies up, in this process.
pub(crate) struct Replica {
    runtime: Runtime,
    candidate: Option<Candidate>,
    metrics: Arc<Metrics>,
    dir: TempDir,
}

impl Replica {
    /// One that has to do with this namespace alone, under `tidyUp` as given.
    pub(crate) fn of(space: &Space, name: &str, tidy_up: &str) -> Self {
        Self::over(&[space], Vec::new(), name, tidy_up)
    }

    /// One for several namespaces, of which these are left out.
    pub(crate) fn over(
        spaces: &[&Space],
        excluded: Vec<String>,
        name: &str,
        tidy_up: &str,
    ) -> Self {
        Self::made(spaces, excluded, name, tidy_up, None, "allow", None)
    }

    /// One that writes to this output, where one is given, as this user, under `record.onFailure` as given.
    pub(crate) fn made(
        spaces: &[&Space],
        excluded: Vec<String>,
        name: &str,
        tidy_up: &str,
        output: Option<File>,
        on_failure: &str,
        user: Option<&str>,
    ) -> Self {
        let names: Vec<_> = spaces.iter().map(|space| space.name()).collect();
        let dir = TempDir::new().unwrap();
        let policy = dir.path().join("policy.yaml");
        let text = format!(
            "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n\
             tidyUp: {tidy_up}\nrecord: {{onFailure: {on_failure}}}\nnamespaces:\n- {{names: [{}], mode: enforce}}\n\
             - {{names: ['*'], mode: 'off'}}\n",
            names.join(", ")
        );
        fs::write(&policy, text).unwrap();
        let metrics = Arc::new(Metrics::new());
        let (policy, _) = LivePolicy::load(policy, &metrics.policy).unwrap();
        let lines = File::create(dir.path().join("lines")).unwrap();
        let lines = output.unwrap_or(lines);
        let sink = Arc::new(Sink::new(lines.into(), metrics.lost_lines.clone()).unwrap());

        let runtime = Runtime::new().unwrap();
        // Leases are everybody's to write.
        let all = runtime.block_on(Cluster::get().client(names[0], None));
        let client = runtime.block_on(Cluster::get().client(names[0], user));
        let candidate = runtime.block_on(async {
            let (namespaces, _, watching) =
                Namespaces::watch(client.clone(), metrics.watches.clone());
            tokio::spawn(watching);
            let jobs = Jobs::default();
            tokio::spawn(jobs.clone().watch(
                client.clone(),
                policy.clone(),
                metrics.watches.clone(),
            ));
            let lease = "migration-warden".to_owned();
            let candidate = Candidate::stand(all, lease, name, metrics.leader.clone());
            let tidy = Cleanup {
                client,
                jobs,
                namespaces,
                excluded,
                policy,
                sink,
                metrics: metrics.cleanup.clone(),
                replica: name.to_owned(),
                grace: GRACE,
            };
            tokio::spawn(tidy.run(candidate.leads()));
            candidate
        });
        Self {
            runtime,
            candidate: Some(candidate),
            metrics,
            dir,
        }
    }

    pub(crate) fn leads(&self) -> bool {
        let leads = self
            .metrics
            .encode()
            .contains("migration_warden_leader 1\n");
        assert!(self.candidate.is_some() || !leads);
        leads
    }

    /// What it has written down.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.path().join("lines")).unwrap();
        let lines: Vec<_> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        lines.iter().for_each(is_as_published);
        lines
    }

    /// Whether it has counted a removal with this result.
    pub(crate) fn counts(&self, result: &str) -> bool {
        let label = format!("reason=\"earlier-attempt\",result=\"{result}\"}} ");
        let metrics = self.metrics.encode();
        let mut counts = metrics.lines().filter_map(|line| line.split_once(&label));
        counts.any(|(_, count)| count != "0")
    }

    pub(crate) fn resign(&mut self) {
        let candidate = self.candidate.take().unwrap();
        self.runtime.block_on(candidate.resign());
    }
}
