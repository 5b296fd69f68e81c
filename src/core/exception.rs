//! Exceptions: which findings in a Job one covers, now and under the policy at hand.
//!
//! Pure. The object is [`resource`]'s, a file of them [`file`]'s; the cluster's are brought by
//! [`crate::cluster::exceptions`].

pub mod file;
pub mod resource;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use regex::RegexSet;

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
    /// Which one it is.
    pub reference: Arc<ExceptionRef>,
    /// When it was made; in a file, now.
    pub created: Timestamp,
    rules: Vec<&'static Rule>,
    labels: Option<Selectors>,
    names: Option<RegexSet>,
}

/// Why an exception cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unusable {
    /// JSON Pointer to what is wrong.
    pub pointer: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Whether an exception is honoured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Honoured,
    /// Its time is over.
    Expired,
    /// It lasts longer than the policy allows, which is this long.
    TooLong(SignedDuration),
}

impl Exception {
    /// Reads an object. One that names no creation time is made now. A rule that is not known, as one
    /// of a newer version is, cannot be broken here, and is passed over.
    pub fn new(object: &MigrationException, now: Timestamp) -> Result<Self, Unusable> {
        let spec = &object.spec;
        let selector = &spec.selector;
        let created = object.creation_timestamp().map_or(now, |time| time.0);
        let (labels, names) = (labels(selector)?, names(&selector.names)?);
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
            rules: spec
                .rules
                .iter()
                .filter_map(|rule| rules::find(rule))
                .collect(),
            labels,
            names,
        })
    }

    /// Whether it is honoured now, where exceptions may last `max`.
    #[must_use]
    pub fn standing(&self, now: Timestamp, max: SignedDuration) -> Standing {
        let expires_at = self.reference.expires_at;
        if expires_at <= now {
            Standing::Expired
        } else if expires_at.duration_since(self.created) > max {
            Standing::TooLong(max)
        } else {
            Standing::Honoured
        }
    }

    /// Whether this Job may break this rule.
    #[must_use]
    pub fn covers(&self, job: &Job<'_>, rule: &Rule) -> bool {
        self.rules.iter().any(|known| known.id == rule.id) && self.selects(job)
    }

    fn selects(&self, job: &Job<'_>) -> bool {
        // As for the policy's selectors: a chart marks a CronJob on itself or on what it makes.
        let own = (job.kind == Kind::CronJob).then_some(&job.metadata.labels);
        let labelled = |selectors: &Selectors| {
            [Some(job.labels), own]
                .into_iter()
                .flatten()
                .any(|labels| selectors.match_labels(labels))
        };
        self.reference.namespace == job.namespace
            && self.labels.as_ref().is_none_or(labelled)
            && self
                .names
                .as_ref()
                .is_none_or(|names| names.is_match(job.name.shown()))
    }
}

impl Standing {
    /// Why it is not honoured, in a word that a condition may have for its reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Honoured => "Honoured",
            Self::Expired => "Expired",
            Self::TooLong(_) => "TooLong",
        }
    }

    /// The same in words.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Honoured => "what it covers is let through".to_owned(),
            Self::Expired => "its time is over (spec.expiresAt)".to_owned(),
            Self::TooLong(max) => format!(
                "it expires more than {} after it was made, which is the most that the policy \
                 allows (exceptions.maxDuration); make a new one that expires sooner",
                hours(*max)
            ),
        }
    }
}

/// A duration as policies write it: `720h`, not the `30d` or `720h 0m` that people have to convert.
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

/// Those that are honoured now, where exceptions may last `max`.
#[must_use]
pub fn honoured(
    mut exceptions: Vec<Arc<Exception>>,
    now: Timestamp,
    max: SignedDuration,
) -> Vec<Arc<Exception>> {
    exceptions.retain(|exception| exception.standing(now, max) == Standing::Honoured);
    exceptions
}

/// Lets through what an exception covers: the action of such a finding becomes `audit`, whatever the
/// policy and the namespace say, and the finding names the exception. Where several cover it, it is
/// the first by name, in `check` as in the webhook.
///
/// Findings that only the decision would have told of need no exception, and get none.
pub fn apply(findings: &mut [Finding], honoured: &[Arc<Exception>], job: &Job<'_>) {
    for finding in findings.iter_mut().filter(|f| f.action > Action::Audit) {
        let covering = honoured.iter().filter(|e| e.covers(job, finding.rule));
        if let Some(exception) = covering.min_by_key(|exception| &exception.reference.name) {
            finding.action = Action::Audit;
            finding.exception = Some(Arc::clone(&exception.reference));
        }
    }
}

/// That an exception let something through.
#[derive(Clone, Debug)]
pub struct Use {
    /// The exception.
    pub exception: Arc<ExceptionRef>,
    /// Ids of the rules that were broken.
    pub rules: Vec<&'static str>,
    /// Name of the Job.
    pub job: String,
}

/// The uses that findings tell of, one for each exception.
#[must_use]
pub fn uses(findings: &[Finding], job: &str) -> Vec<Use> {
    let mut found: BTreeMap<&str, Use> = BTreeMap::new();
    for finding in findings {
        let Some(exception) = &finding.exception else {
            continue;
        };
        let entry = found.entry(&exception.name).or_insert_with(|| Use {
            exception: Arc::clone(exception),
            rules: Vec::new(),
            job: job.to_owned(),
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
    let at = "/spec/selector/matchExpressions";
    if let Some(message) = selector
        .match_expressions
        .iter()
        .find_map(label_selector::misused)
    {
        return Err(Unusable::at(at, message));
    }
    let written = LabelSelector {
        match_labels: selector.match_labels.clone(),
        match_expressions: selector.match_expressions.clone(),
    };
    let selectors = Selectors::new(vec![written.into()]);
    selectors
        .map(Some)
        .map_err(|error| Unusable::at(at, error.to_string()))
}

fn names(patterns: &[String]) -> Result<Option<RegexSet>, Unusable> {
    if patterns.is_empty() {
        return Ok(None);
    }
    name_patterns::compile(patterns)
        .map(Some)
        .map_err(|error| Unusable::at("/spec/selector/names", error.to_string()))
}

#[cfg(test)]
mod tests;
