//! Checks the existing Jobs and CronJob templates of a cluster as the webhook would if they were created now.
//!
//! Pages of a LIST in, findings out. A page is dropped after it has been checked, because a cluster may have more Jobs
//! than fit in memory. [`crate::cluster::pages`] fetches the pages, [`crate::cli::render`] prints.

mod namespaces;

use std::collections::{BTreeMap, BTreeSet};

use crate::core::exception;
use crate::core::job::object::Object;
use crate::core::job::{Job, Kind, credentials};
use crate::core::json::{Page, Unreadable};
use crate::core::namespace;
use crate::core::policy::finding::Finding;
use crate::core::policy::rule::Rule;
use crate::core::policy::select::Selection;
use crate::core::policy::{Action, Policy, verdict};

pub use namespaces::World;

/// A migration and its findings.
#[derive(Debug)]
pub struct Judged {
    /// Whether it is a Job or a CronJob.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its findings, in the order of the rules.
    pub findings: Vec<Finding>,
}

/// The counts of a scan.
#[derive(Debug, Default)]
pub struct Tally {
    /// Number of Jobs that were read.
    pub jobs: usize,
    /// Number of CronJobs that were read.
    pub cronjobs: usize,
    /// Number of Jobs created by a CronJob, which are checked with their CronJob.
    pub made_by_cronjobs: usize,
    /// Number of Jobs and CronJobs that are migrations, labelled or detected.
    pub migrations: usize,
    /// The findings, by rule.
    pub rules: BTreeMap<&'static str, OfRule>,
    /// Namespaces whose label is not a mode, with that value.
    pub unknown_modes: BTreeSet<(String, String)>,
}

/// The counts for one rule.
#[derive(Debug)]
pub struct OfRule {
    /// The rule that is counted.
    pub rule: &'static Rule,
    actions: BTreeMap<Action, usize>,
}

impl OfRule {
    /// The number of findings with this action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.actions.get(&action).copied().unwrap_or_default()
    }
}

impl Tally {
    /// The number of findings with this action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.rules.values().map(|rule| rule.count(action)).sum()
    }

    /// The number of all findings.
    #[must_use]
    pub fn findings(&self) -> usize {
        let counts = self.rules.values().flat_map(|rule| rule.actions.values());
        counts.sum()
    }

    fn add(&mut self, finding: &Finding) {
        let entry = self.rules.entry(finding.rule.id).or_insert_with(|| OfRule {
            rule: finding.rule,
            actions: BTreeMap::new(),
        });
        *entry.actions.entry(finding.action).or_default() += 1;
    }
}

/// A scan in progress.
#[derive(Debug)]
pub struct Scan<'a> {
    policy: &'a Policy,
    world: World,
    /// The counts so far.
    pub tally: Tally,
}

impl<'a> Scan<'a> {
    /// A scan that has not read anything yet.
    #[must_use]
    pub fn new(policy: &'a Policy, world: World) -> Self {
        Self {
            policy,
            world,
            tally: Tally::default(),
        }
    }

    /// Checks one page of Jobs or CronJobs, and returns the migrations with findings.
    pub fn page(&mut self, kind: Kind, text: &str) -> Result<Vec<Judged>, Unreadable> {
        let page: Page<'_, Object<'_>> = serde_json::from_str(text)?;
        let objects = page.items.iter();
        Ok(objects.filter_map(|o| self.judge(kind, o)).collect())
    }

    fn judge(&mut self, kind: Kind, object: &Object<'_>) -> Option<Judged> {
        let (policy, tally) = (self.policy, &mut self.tally);
        match kind {
            Kind::Job => tally.jobs += 1,
            Kind::CronJob => tally.cronjobs += 1,
        }
        let mut job = Job::new(object, kind, "");
        // The webhook recognises them by the requesting user. A stored Job does not have that, so its owner is used.
        if job.is_made_by_cronjob() {
            tally.made_by_cronjobs += 1;
            return None;
        }
        let selection = policy.selectors.select(&job, policy.detection);
        if !matches!(selection, Selection::Labelled | Selection::Detected(_)) {
            return None;
        }
        tally.migrations += 1;
        let view = self.world.view(job.namespace);
        job.mesh = view.mesh;
        let (mode, unknown_mode) = namespace::mode(view.mode.clone(), policy, job.namespace);
        if let Some(label) = unknown_mode {
            let unknown = (job.namespace.to_owned(), label);
            tally.unknown_modes.insert(unknown);
        }
        let mut findings = policy.evaluate(&job, selection, mode.cap());
        credentials::hide(&job, findings.iter_mut().flat_map(Finding::texts_mut));
        exception::apply(&mut findings, &view.exceptions, &job);
        verdict::settle(&mut findings, job.is_patchable());
        for finding in &findings {
            tally.add(finding);
        }
        (!findings.is_empty()).then(|| Judged {
            kind,
            namespace: job.namespace.to_owned(),
            name: job.name.shown().to_owned(),
            findings,
        })
    }
}

#[cfg(test)]
mod tests;
