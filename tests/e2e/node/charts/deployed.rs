//! What is done to a chart, as pipelines and people do it, and what is expected of that.

use std::{
    collections::BTreeSet,
    process::{Child, Stdio},
    sync::Mutex,
    time::Duration,
};

use serde_json::Value;

use super::{POLICY, public::Public};
use crate::harness::{Cluster, Helm, Outcome, Space, Warden, Webhooks, api, eventually, within};
use crate::node::migration::Watch;

/// How long anything may take with other charts beside it.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the loser of two deploys is told: that the other's migration runs, or by Helm that a Job is another release's.
const REFUSALS: [&str; 4] = [
    "MW101 concurrent-migration",
    "MW102 deleted-while-running",
    "invalid ownership metadata",
    "already exists",
];

/// A chart in a namespace of its own.
pub(super) struct Deployed<'a> {
    pub(super) chart: &'a Public,
    pub(super) helm: Helm,
    pub(super) space: Space,
    pub(super) watch: &'a Watch,
    pub(super) wrong: &'a Mutex<Vec<String>>,
}

impl Deployed<'_> {
    pub(super) fn expect(&self, what: &str, is: bool, found: impl FnOnce() -> String) {
        if !is {
            let (chart, helm) = (&self.chart.name, self.helm);
            let text = format!("{chart}, {helm:?}: {what}: {}", found());
            eprintln!("{text}");
            self.wrong.lock().unwrap().push(text);
        }
    }

    /// As a pipeline that tries again when it was refused.
    pub(super) fn until_it_succeeds(&self, run: impl Fn() -> Outcome) {
        within(
            PATIENCE,
            &format!("{} to be deployed", self.chart.name),
            || {
                let outcome = run();
                if outcome.code != Some(0) {
                    self.is_refused(&outcome);
                    self.rests();
                }
                (outcome.code == Some(0)).then_some(())
            },
        );
    }

    pub(super) fn is_refused(&self, outcome: &Outcome) {
        let says = |text: &&str| outcome.stderr.contains(*text);
        self.expect("a refusal", REFUSALS.iter().any(says), || {
            outcome.to_string()
        });
    }

    pub(super) fn helm(&self, args: &[&str]) -> Outcome {
        self.space.helm(self.helm, args)
    }

    pub(super) fn deploy(&self, command: &[&str]) -> Outcome {
        self.helm(&[command, &self.chart.arguments(self.helm)].concat())
    }

    /// A second release comes while the first is being installed, and again later.
    pub(super) fn two_releases(&self) {
        let mut first = self.begin("install");
        if self.has_begun(&mut first, &BTreeSet::new()) {
            let job = self.watch.runs(&self.space, &BTreeSet::new());
            let refused = self.space.kubectl(&["delete", "job", &job, "--wait=false"]);
            let is_refused = refused.stderr.contains("MW102 deleted-while-running");
            self.expect("its deletion", is_refused, || refused.to_string());
            let second = self.deploy(&["install", "second"]);
            if second.code != Some(0) {
                self.is_refused(&second);
            }
        }
        let first = first.wait_with_output().unwrap();
        self.expect("the first", first.status.success(), || format!("{first:?}"));
        self.rests();
        let second = self.deploy(&["upgrade", "second", "--install"]);
        if second.code != Some(0) {
            // One object belongs to one release.
            let is_owned = second.stderr.contains("invalid ownership metadata");
            self.expect("the second", is_owned, || second.to_string());
        }
        self.rests();
        let _ = self.helm(&["uninstall", "second"]);
    }

    /// A pipeline is killed while its migration runs, and the next tries again.
    pub(super) fn interrupted(&self) {
        let before = self.watch.jobs(&self.space);
        let mut upgrade = self.begin("upgrade");
        if self.has_begun(&mut upgrade, &before) {
            self.watch.runs(&self.space, &before);
        }
        upgrade.kill().unwrap();
        if !upgrade.wait().unwrap().success() {
            self.recovers();
        }
        self.until_it_succeeds(|| self.deploy(&["upgrade", "first", "--install"]));
        self.rests();
    }

    /// Helm upgrades no release that another upgrade is about.
    pub(super) fn recovers(&self) {
        let rollback = || self.helm(&["rollback", "first", "--timeout", "120s"]);
        let first = rollback();
        // Helm 3 cannot go back to a Job that is no hook and had another name. The release has failed, which will do.
        if first.code != Some(0) && !first.stderr.contains("cannot patch") {
            self.is_refused(&first);
            self.rests();
            self.until_it_succeeds(rollback);
        }
    }

    /// Waits until there is a Job that was not there before, or Helm has ended without one.
    pub(super) fn has_begun(&self, helm: &mut Child, before: &BTreeSet<(String, String)>) -> bool {
        within(PATIENCE, "a migration, or the end", || {
            let ended = helm.try_wait().unwrap().is_some();
            let has_begun = self.watch.jobs(&self.space) != *before;
            (has_begun || ended).then_some(has_begun)
        })
    }

    /// Waits until all Jobs have ended.
    pub(super) fn rests(&self) {
        let has_ended = |job: &Value| {
            let conditions = job["status"]["conditions"].as_array();
            let mut ends = conditions.into_iter().flatten();
            ends.any(|end| end["type"] == "Complete" || end["type"] == "Failed")
        };
        within(PATIENCE, "the migrations to end", || {
            self.space.jobs().iter().all(has_ended).then_some(())
        });
    }

    /// Helm, which is not waited for.
    pub(super) fn begin(&self, verb: &str) -> Child {
        let mut command = Cluster::get().helm(self.helm);
        command.args([verb, "first", "--namespace", self.space.name()]);
        command.args(self.chart.arguments(self.helm));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    pub(super) fn is_gone(&self) {
        let uninstall = ["uninstall", "first", "--timeout", "120s"];
        self.helm(&uninstall).succeeds();
        self.rests();
        let may_stay = self.chart.left_by_helm();
        within(PATIENCE, "only what Helm leaves to be there", || {
            let jobs = self.space.jobs();
            let mut names = jobs
                .iter()
                .map(|job| job["metadata"]["name"].as_str().unwrap());
            names.all(|name| may_stay.contains(&name)).then_some(())
        });
    }

    /// Each Job that ran was adopted by the chart's entry, and has one run, which succeeded.
    pub(super) fn is_recorded(&self) {
        let jobs = self.watch.jobs(&self.space);
        for name in self.chart.names() {
            let is_there = jobs.iter().any(|job| job.0.starts_with(name));
            self.expect(name, is_there, || format!("never ran: {jobs:?}"));
        }
        let runs = eventually("all runs to have ended", || {
            let runs = api::all(api::RUNS, self.space.name());
            let is_over = |run: &Value| run["status"]["outcome"] != "Running";
            (runs.len() >= jobs.len() && runs.iter().all(is_over)).then_some(runs)
        });
        let recorded: BTreeSet<_> = runs
            .iter()
            .filter(|run| run["status"]["outcome"] == "Succeeded")
            .filter(|run| run["spec"]["adopted"] == self.entry())
            .map(|run| &run["spec"]["job"])
            .map(|job| [&job["name"], &job["uid"]].map(|of| of.as_str().unwrap().to_owned()))
            .map(|[name, uid]| (name, uid))
            .collect();
        let is_so = recorded == jobs && runs.len() == jobs.len();
        self.expect("one run each", is_so, || format!("{jobs:?}: {runs:#?}"));
    }

    /// The name of the policy's entry for the chart.
    pub(super) fn entry(&self) -> &'static str {
        let names = POLICY
            .split("- {name: ")
            .map(|entry| entry.split(',').next().unwrap());
        let mut names = names.filter(|name| self.chart.name.starts_with(name.trim()));
        names.find(|name| !name.trim().is_empty()).unwrap()
    }

    pub(super) fn live_through(&self, warden: &Warden) {
        let of_one_database = format!("database: {}}}", self.entry());
        let is_shared = POLICY.contains(&of_one_database);
        let migration: fn(&str) -> &str = if is_shared { |_| "" } else { base };
        self.watch.one_at_a_time(&self.space, migration);
        self.chart.provide(&self.space);
        let _registered = Webhooks::of(warden).guarding().register(&self.space);
        self.two_releases();
        self.interrupted();
        self.is_gone();
        self.is_recorded();
        let both = self.watch.together(&self.space);
        self.expect("active at once", both.is_empty(), || format!("{both:?}"));
    }
}

/// The name that all attempts share.
pub(super) fn base(job: &str) -> &str {
    let stamp = job.trim_start_matches(|c: char| !c.is_ascii_digit());
    let is_stamp = stamp.len() > 13 && stamp.chars().all(|c| c == '-' || c.is_ascii_digit());
    if is_stamp {
        &job[..job.len() - stamp.len()]
    } else {
        job
    }
}
