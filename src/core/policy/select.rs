//! Which Jobs are migrations: those that a selector of the policy matches, and those that detection recognises.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{ParseExpressionError, Selector, SelectorExt};

use crate::core::job::tool::{self, Detection};
use crate::core::job::{Job, Kind, MIGRATION_LABEL};
use crate::core::json::Map;
use crate::core::policy::Action;

/// Why a Job is evaluated, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Selection {
    /// A selector of the policy matches.
    Labelled,
    /// No label, but it looks like a migration.
    Detected(Detection),
    /// Labelled `migration-warden.io/migration: "false"`.
    OptedOut,
    /// Not recognised as a migration, so not evaluated.
    None,
}

impl Selection {
    /// The word for it in decisions.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The selectors of a policy; a Job that any of them matches is a migration Job.
#[derive(Clone, Debug, Default)]
pub struct Selectors {
    /// As given, for callers that write them out again.
    written: Vec<LabelSelector>,
    parsed: Vec<Selector>,
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
        let parsed = parsed.collect::<Result<_, _>>()?;
        Ok(Self {
            written: selectors,
            parsed,
            keys,
        })
    }

    /// The selectors as they were given.
    #[must_use]
    pub(crate) fn as_written(&self) -> &[LabelSelector] {
        &self.written
    }

    /// The selectors in the form of a watch's parameter.
    #[must_use]
    pub fn parsed(&self) -> &[Selector] {
        &self.parsed
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

    /// Whether `job` is a migration, and why. Detection is skipped if `detection` is `off`.
    #[must_use]
    pub fn select(&self, job: &Job<'_>, detection: Action) -> Selection {
        // A chart labels either the CronJob itself or its Job template.
        let own = (job.kind == Kind::CronJob).then_some(&job.metadata.labels);
        let mut labels = [Some(job.labels), own].into_iter().flatten();
        let has_opted_out = |labels: &Map<'_>| labels.get(MIGRATION_LABEL) == Some("false");
        if labels.clone().any(has_opted_out) {
            return Selection::OptedOut;
        }
        if labels.any(|labels| self.match_labels(labels)) {
            return Selection::Labelled;
        }
        if detection == Action::Off {
            return Selection::None;
        }
        tool::detect(job).map_or(Selection::None, Selection::Detected)
    }
}
