//! Exceptions: which findings in a Job an exception covers, and whether it is honoured now.
//!
//! Pure. [`resource`] has the object, [`mod@file`] reads a file of exceptions, and [`crate::cluster::exceptions`] watches
//! those of the cluster.

pub(crate) mod file;
pub mod resource;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::core::exception::resource::{JobSelector, MigrationException, WHICH_JOBS};
use crate::core::job::{Job, Kind};
use crate::core::policy::finding::{ExceptionRef, Finding};
use crate::core::policy::label_selector::{self, LabelSelector};
use crate::core::policy::rule::Rule;
use crate::core::policy::rules;
use crate::core::policy::select::Selectors;
use crate::core::policy::{Action, name_patterns};

/// An exception, ready for use.
#[derive(Clone, Debug)]
pub struct Exception {
    pub(crate) reference: Arc<ExceptionRef>,
    /// When it was created; for one from a file, the time it was read.
    pub created: Timestamp,
    rules: Vec<&'static Rule>,
    labels: Option<Selectors>,
    names: Option<Vec<String>>,
}

/// Why an exception cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unusable {
    /// JSON Pointer to the wrong value.
    pub pointer: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Whether an exception is honoured. The words are the reasons of its condition.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr)]
pub(crate) enum Standing {
    Honoured,
    Expired,
    /// It lasts longer than the policy allows; the value is the limit.
    TooLong(SignedDuration),
}

impl Exception {
    /// Reads an object. Without a creation time, it counts as created `now`. An unknown rule, as from a newer version,
    /// is skipped: this version does not check it.
    pub fn new(object: &MigrationException, now: Timestamp) -> Result<Self, Unusable> {
        let spec = &object.spec;
        let selector = &spec.selector;
        let created = object.creation_timestamp().map_or(now, |time| time.0);
        let labels = labels(selector)?;
        let names = Some(selector.names.clone()).filter(|names| !names.is_empty());
        if labels.is_none() && names.is_none() {
            return Err(Unusable::at("/spec/selector", WHICH_JOBS));
        }
        Ok(Self {
            reference: Arc::new(ExceptionRef {
                namespace: object.namespace().unwrap_or_default(),
                name: object.name_any(),
                uid: object.uid().unwrap_or_default(),
                expires_at: spec.expires_at,
            }),
            created,
            rules: spec.rules.iter().filter_map(|r| rules::find(r)).collect(),
            labels,
            names,
        })
    }

    /// Whether it is honoured now, if exceptions may last at most `max`.
    #[must_use]
    pub(crate) fn standing(&self, now: Timestamp, max: SignedDuration) -> Standing {
        let expires_at = self.reference.expires_at;
        if expires_at <= now {
            Standing::Expired
        } else if expires_at.duration_since(self.created) > max {
            Standing::TooLong(max)
        } else {
            Standing::Honoured
        }
    }

    pub(crate) fn is_honoured(&self, now: Timestamp, max: SignedDuration) -> bool {
        self.standing(now, max) == Standing::Honoured
    }

    fn covers(&self, job: &Job<'_>, rule: &Rule) -> bool {
        self.rules.iter().any(|known| known.id == rule.id) && self.selects(job)
    }

    fn selects(&self, job: &Job<'_>) -> bool {
        // As for the policy's selectors: a chart labels either the CronJob itself or its Job template.
        let own = (job.kind == Kind::CronJob).then_some(&job.metadata.labels);
        let mut labels = [Some(job.labels), own].into_iter().flatten();
        let labelled = |selectors: &Selectors| labels.any(|map| selectors.match_labels(map));
        let named = |names: &Vec<String>| name_patterns::any(names, job.name.shown());
        self.reference.namespace == job.namespace
            && self.labels.as_ref().is_none_or(labelled)
            && self.names.as_ref().is_none_or(named)
    }
}

impl Standing {
    /// The reason for a condition, in one word.
    pub(crate) fn reason(&self) -> &'static str {
        self.into()
    }

    /// The message for a condition.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Honoured => "the findings that it covers are allowed".to_owned(),
            Self::Expired => "it has expired (spec.expiresAt)".to_owned(),
            Self::TooLong(max) => format!(
                "it expires more than {} after its creation, the longest time that the policy \
                 allows (exceptions.maxDuration); create a new one that expires sooner",
                hours(*max)
            ),
        }
    }
}

/// A duration as policies write it: `720h`. Readers would have to convert `30d` or `720h 0m`.
fn hours(duration: SignedDuration) -> String {
    let (hours, rest) = (duration.as_hours(), duration.as_secs() % 3600);
    if rest == 0 {
        format!("{hours}h")
    } else {
        format!("{duration:#}")
    }
}

impl Unusable {
    fn at(pointer: &str, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.to_owned(),
            message: message.into(),
        }
    }
}

/// Applies honoured exceptions to the findings they cover: the action becomes `audit`, whatever the policy and the namespace
/// say, and the finding names the exception. If several cover it, the first by name is used, in `check` as in the
/// webhook.
///
/// Findings that are only audited do not use an exception.
pub fn apply(findings: &mut [Finding], honoured: &[Arc<Exception>], job: &Job<'_>) {
    for finding in findings.iter_mut().filter(|f| f.action > Action::Audit) {
        let covering = honoured.iter().filter(|e| e.covers(job, finding.rule));
        if let Some(exception) = covering.min_by_key(|exception| &exception.reference.name) {
            finding.action = Action::Audit;
            finding.exception = Some(Arc::clone(&exception.reference));
        }
    }
}

/// One use of an exception: a Job that it admitted.
#[derive(Clone, Debug)]
pub struct Use {
    pub(crate) exception: Arc<ExceptionRef>,
    /// Ids of the rules that it exempts the Job from.
    pub rules: Vec<&'static str>,
    /// Name of the Job.
    pub job: String,
    pub(crate) at: Timestamp,
}

/// The uses recorded in findings, one for each exception.
#[must_use]
pub(crate) fn uses(findings: &[Finding], job: &str, at: Timestamp) -> Vec<Use> {
    let mut found: BTreeMap<&str, Use> = BTreeMap::new();
    for finding in findings {
        let Some(exception) = &finding.exception else {
            continue;
        };
        let entry = found.entry(&exception.name).or_insert_with(|| Use {
            exception: Arc::clone(exception),
            rules: Vec::new(),
            job: job.to_owned(),
            at,
        });
        if !entry.rules.contains(&finding.rule.id) {
            entry.rules.push(finding.rule.id);
        }
    }
    found.into_values().collect()
}

fn labels(selector: &JobSelector) -> Result<Option<Selectors>, Unusable> {
    if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
        return Ok(None);
    }
    let written = LabelSelector {
        match_labels: selector.match_labels.clone(),
        match_expressions: selector.match_expressions.clone(),
    };
    let unusable =
        |at: &str, message: String| Unusable::at(&format!("/spec/selector{at}"), message);
    if let Some((at, message)) = label_selector::faults(&written).into_iter().next() {
        return Err(unusable(at.as_str(), message));
    }
    match Selectors::new(vec![written.into()]) {
        Ok(selectors) => Ok(Some(selectors)),
        Err(error) => Err(unusable("/matchExpressions", error.to_string())),
    }
}

#[cfg(test)]
mod tests;
