//! Judges the Jobs and CronJob templates that a cluster already has, as the webhook would judge them if
//! they were created now.
//!
//! Pages of a LIST in, findings out; a page is forgotten when it has been judged, because a cluster may
//! have more Jobs than fit in memory. Fetching the pages is [`crate::cluster::pages`]', printing
//! [`crate::cli::render`]'s.

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

/// A migration, and what is wrong with it.
#[derive(Debug)]
pub struct Judged {
    /// Job or CronJob.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What was found, in the order of the rules.
    pub findings: Vec<Finding>,
}

/// What was seen, in numbers.
#[derive(Debug, Default)]
pub struct Tally {
    /// Jobs looked at.
    pub jobs: usize,
    /// CronJobs looked at.
    pub cronjobs: usize,
    /// Jobs that a CronJob has made, which are judged with it.
    pub made_by_cronjobs: usize,
    /// Those of the two that are migrations, labelled or detected.
    pub migrations: usize,
    /// The findings, by rule.
    pub rules: BTreeMap<&'static str, OfRule>,
    /// Namespaces whose label names no mode.
    pub unknown_modes: BTreeSet<(String, String)>,
}

/// The findings of one rule, in numbers.
#[derive(Debug)]
pub struct OfRule {
    /// The rule.
    pub rule: &'static Rule,
    actions: BTreeMap<Action, usize>,
}

impl OfRule {
    /// Findings with this action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.actions.get(&action).copied().unwrap_or_default()
    }
}

impl Tally {
    /// Findings with this action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.rules.values().map(|rule| rule.count(action)).sum()
    }

    /// All findings.
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

/// A scan under way.
#[derive(Debug)]
pub struct Scan<'a> {
    policy: &'a Policy,
    world: World,
    /// What has been seen so far.
    pub tally: Tally,
}

impl<'a> Scan<'a> {
    /// Nothing has been seen yet.
    #[must_use]
    pub fn new(policy: &'a Policy, world: World) -> Self {
        Self {
            policy,
            world,
            tally: Tally::default(),
        }
    }

    /// Judges one page of Jobs or CronJobs, and returns the migrations with findings.
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
        // The webhook tells them by who sends them. That is not written down, so the owner's word is taken.
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
