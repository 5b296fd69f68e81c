//! Which Jobs are migrations: those that a selector of the policy matches, those that it adopts, and those that detection
//! recognises.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Expression, ParseExpressionError, Selector, SelectorExt};

use crate::core::job::tool::{self, Detection};
use crate::core::job::{ADOPTED_LABEL, Job, Kind, MIGRATION_LABEL};
use crate::core::json::Map;
use crate::core::policy::adopt::{DETECTED, Promise};
use crate::core::policy::{Action, Policy};

/// Why a Job is evaluated, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Selection {
    /// A selector of the policy matches.
    Labelled,
    /// No selector matches it, but the policy adopts it.
    Adopted(Adopter),
    /// No label, but it looks like a migration.
    Detected(Detection),
    /// Labelled `migration-warden.io/migration: "false"`.
    OptedOut,
    /// Not recognised as a migration, so not evaluated.
    None,
}

impl Selection {
    /// Whether it is a migration: what is only detected is not.
    #[must_use]
    pub(crate) fn is_migration(self) -> bool {
        matches!(self, Self::Labelled | Self::Adopted(_))
    }

    /// The word for it in decisions.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What adopts a Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopter {
    /// The entry at this place in the policy's `adopt`.
    Entry(usize),
    /// Detection, because the Job has the shape of the guide's.
    Detection,
    /// Its label alone: the policy has no such entry, or no entry that matches the new Job.
    Former,
}

/// The selectors of a policy; a Job that any of them matches is a migration Job.
#[derive(Clone, Debug, Default)]
pub struct Selectors {
    /// As given, for callers that write them out again.
    written: Vec<LabelSelector>,
    parsed: Vec<Selector>,
    /// Also those that match adopted Jobs, by the label that they get.
    stored: Vec<Selector>,
    /// The label keys that the selectors use. No other label can change the answer.
    keys: BTreeSet<String>,
}

impl Selectors {
    /// Fails on an operator that Kubernetes does not know, or values that it does not allow.
    pub fn new(selectors: Vec<LabelSelector>) -> Result<Self, ParseExpressionError> {
        let keys = selectors.iter().flat_map(|selector| {
            let labels = selector.match_labels.iter().flat_map(BTreeMap::keys);
            let expressions = selector.match_expressions.iter().flatten();
            labels.chain(expressions.map(|expression| &expression.key))
        });
        let keys = keys.cloned().collect();
        let parsed = selectors.iter().cloned().map(Selector::try_from);
        let parsed = parsed.collect::<Result<Vec<Selector>, _>>()?;
        let adopted = Expression::Exists(ADOPTED_LABEL.to_owned()).into();
        Ok(Self {
            written: selectors,
            stored: parsed.iter().cloned().chain([adopted]).collect(),
            parsed,
            keys,
        })
    }

    /// The selectors as they were given.
    #[must_use]
    pub(crate) fn as_written(&self) -> &[LabelSelector] {
        &self.written
    }

    /// The selectors that find all existing migration Jobs, in the form of a LIST's parameter. The last one finds those
    /// that were adopted.
    #[must_use]
    pub fn of_stored(&self) -> &[Selector] {
        &self.stored
    }

    /// Whether any selector matches these labels.
    #[must_use]
    pub(crate) fn match_labels(&self, labels: &Map<'_>) -> bool {
        let keys = self.keys.iter();
        let asked: BTreeMap<String, String> = keys
            .filter_map(|key| Some((key.clone(), labels.get(key)?.to_owned())))
            .collect();
        self.parsed.iter().any(|selector| selector.matches(&asked))
    }

    /// What the labels of `job` say: it is a migration, has opted out, or `None` if they say nothing.
    fn by_label(&self, job: &Job<'_>) -> Option<Selection> {
        // A chart labels either the CronJob itself or its Job template.
        let own = (job.kind == Kind::CronJob).then_some(&job.metadata.labels);
        let mut labels = [Some(job.labels), own].into_iter().flatten();
        let has_opted_out = |labels: &Map<'_>| labels.get(MIGRATION_LABEL) == Some("false");
        if labels.clone().any(has_opted_out) {
            return Some(Selection::OptedOut);
        }
        let is_labelled = labels.any(|labels| self.match_labels(labels));
        is_labelled.then_some(Selection::Labelled)
    }
}

impl Policy {
    /// Whether `job` is a migration when it is created, and why.
    #[must_use]
    pub fn select(&self, job: &Job<'_>) -> Selection {
        match self.select_by_itself(job) {
            // Any client can write the label, so it does not choose the entry whose limit counts.
            Selection::Detected(_) | Selection::None
                if job.kind == Kind::Job && job.adopted_as().is_some() =>
            {
                Selection::Adopted(Adopter::Former)
            }
            found => found,
        }
    }

    /// The same, whatever its label of an adopted Job says.
    #[must_use]
    pub(crate) fn select_by_itself(&self, job: &Job<'_>) -> Selection {
        if let Some(found) = self.selectors.by_label(job) {
            return found;
        }
        let detection = OnceCell::new();
        let detect = || *detection.get_or_init(|| tool::detect(job));
        if job.kind == Kind::Job
            && let Some(index) = self.adopt.matching(job, detect).next()
        {
            return Selection::Adopted(Adopter::Entry(index));
        }
        let detected = (self.detection != Action::Off).then(detect).flatten();
        if detected.is_some_and(|by| by != Detection::Name) && self.adopts_detected(job) {
            return Selection::Adopted(Adopter::Detection);
        }
        detected.map_or(Selection::None, Selection::Detected)
    }

    /// The names of the entries that match `job`. The first one wins.
    pub(crate) fn entries_of(&self, job: &Job<'_>) -> impl Iterator<Item = &str> {
        let matching = self.adopt.matching(job, || tool::detect(job));
        let matching: Vec<usize> = matching.collect();
        matching
            .into_iter()
            .map(|index| &*self.adopt.entries()[index].name)
    }

    /// Whether the API server must send the Jobs that no selector matches: only the engine finds those that detection
    /// recognises, and those of an entry with tools.
    #[must_use]
    pub(crate) fn needs_detection(&self) -> bool {
        self.detection != Action::Off || self.fail_open().next().is_some()
    }

    /// The names under which only the engine adopts Jobs. While no replica answers, their Jobs are admitted without a
    /// review.
    pub(crate) fn fail_open(&self) -> impl Iterator<Item = &str> {
        let entries = self.adopt.entries().iter();
        let by_tool = entries.filter(|entry| !entry.matching.tools.is_empty());
        let detects = self.detection != Action::Off && !self.promises.0.is_empty();
        let by_tool = by_tool.map(|entry| &*entry.name);
        by_tool.chain(detects.then_some(DETECTED))
    }

    fn adopts_detected(&self, job: &Job<'_>) -> bool {
        job.kind == Kind::Job && !self.promises.0.is_empty() && job.runs_before_the_release()
    }

    /// Whether an existing `job` is a migration, and why. One that was adopted has a label that says so.
    #[must_use]
    pub(crate) fn select_stored(&self, job: &Job<'_>) -> Selection {
        let adopted = || self.stored_as(job).map(Selection::Adopted);
        let found = self.selectors.by_label(job).or_else(adopted);
        found.unwrap_or(Selection::None)
    }

    /// The same, but also for a Job that was created before the policy adopted its like.
    #[must_use]
    pub(crate) fn select_running(&self, job: &Job<'_>) -> Selection {
        match self.select_stored(job) {
            Selection::None if !job.is_made_by_cronjob() => self.select(job),
            found => found,
        }
    }

    /// What adopted an existing Job, as its label says.
    fn stored_as(&self, job: &Job<'_>) -> Option<Adopter> {
        let name = job.adopted_as().filter(|_| job.kind == Kind::Job)?;
        Some(self.adopter_named(name))
    }

    fn adopter_named(&self, name: &str) -> Adopter {
        match self.adopt.named(name) {
            Some(index) => Adopter::Entry(index),
            None if name == DETECTED => Adopter::Detection,
            None => Adopter::Former,
        }
    }

    /// Whether this promise is kept for such a Job.
    #[must_use]
    pub(crate) fn promises(&self, selection: Selection, promise: Promise) -> bool {
        match selection {
            Selection::Labelled => true,
            // Nothing is removed on the word of a label that no entry confirms.
            Selection::Adopted(Adopter::Former) => promise != Promise::TidyUp,
            Selection::Adopted(Adopter::Entry(index)) => {
                self.adopt.entries()[index].promises.has(promise)
            }
            Selection::Adopted(Adopter::Detection) => self.promises.has(promise),
            Selection::Detected(_) | Selection::OptedOut | Selection::None => false,
        }
    }

    /// Whether this promise is kept for an existing migration Job, which was adopted under this name, if it was.
    #[must_use]
    pub(crate) fn keeps(&self, promise: Promise, adopted: Option<&str>) -> bool {
        adopted.is_none_or(|name| {
            let selection = Selection::Adopted(self.adopter_named(name));
            self.promises(selection, promise)
        })
    }

    /// The name under which a Job is adopted, if it is; `None` for a name that only its label has.
    #[must_use]
    pub(crate) fn adopter(&self, selection: Selection) -> Option<&str> {
        match selection {
            Selection::Adopted(Adopter::Entry(index)) => Some(&self.adopt.entries()[index].name),
            Selection::Adopted(Adopter::Detection) => Some(DETECTED),
            _ => None,
        }
    }

    /// The database that the entry names which adopts the Job.
    #[must_use]
    pub(crate) fn database(&self, selection: Selection) -> Option<&str> {
        let Selection::Adopted(Adopter::Entry(index)) = selection else {
            return None;
        };
        self.adopt.entries()[index].database.as_deref()
    }
}
