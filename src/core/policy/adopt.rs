//! The policy's section `adopt`: unlabelled Jobs that get the promises of migration Jobs.
//!
//! Plain values, as in the policy file. Patterns are compared text by text, which costs the same for any text; one
//! automaton for all of them would not. [`super::adopt_cel`] writes the same for the API server. Not for labelled Jobs:
//! those are [`super::select`]'s.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::word::{or_off, word};
use super::{Mode, name_patterns};
use crate::core::job::annotation::Annotation;
use crate::core::job::tool::Detection;
use crate::core::job::{Job, hooks};

/// The name under which detection adopts Jobs. No entry may have it.
pub(crate) const DETECTED: &str = "detected";

/// What an adopted Job gets. A migration Job with a label gets all.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Promise {
    /// It runs one at a time.
    Claims,
    /// It is not deleted while it runs, and its stamps stay.
    Guards,
    /// It gets a run.
    Record,
    /// It is removed once it is not needed any more, if its name has a timestamp.
    TidyUp,
}

/// The promises that are kept for some Jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Promises(pub(crate) Vec<Promise>);

impl Promises {
    pub(crate) fn has(&self, promise: Promise) -> bool {
        self.0.contains(&promise)
    }
}

impl Default for Promises {
    /// All of them.
    fn default() -> Self {
        Self(<Promise as strum::VariantArray>::VARIANTS.to_vec())
    }
}

/// Unlabelled Jobs that get the promises of migration Jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Entry {
    /// The name of the entry, which stands on each Job that it adopts, in decisions, runs and metrics. A DNS label,
    /// unique, and not `detected`.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"), extend("not" = {"const": "detected"}))]
    pub name: String,
    /// Which Jobs it adopts.
    #[serde(rename = "match")]
    pub matching: Match,
    /// The mode for the findings of rules in these Jobs: a limit for every action.
    #[serde(default = "audit", deserialize_with = "word")]
    #[schemars(schema_with = "or_off::<Mode>")]
    pub rules: Mode,
    /// What these Jobs get.
    #[serde(default)]
    pub promises: Promises,
    /// The database that they migrate, unless the annotation `migration-warden.io/database` names one.
    #[schemars(length(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

const fn audit() -> Mode {
    Mode::Audit
}

/// The Jobs that an entry adopts: all that is set must match. A list matches if one of its values does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1))]
pub(crate) struct Match {
    /// Names of namespaces. `*` matches any characters, here and below.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), inner(regex(pattern = "^[a-z0-9*-]+$")))]
    pub namespaces: Vec<String>,
    /// Names of Jobs. A Job without a name is matched by its `generateName`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), inner(regex(pattern = "^[a-z0-9.*-]+$")))]
    pub names: Vec<String>,
    /// Images of any container, as the Job has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), inner(regex(pattern = "^[A-Za-z0-9._/:@*-]+$")))]
    pub images: Vec<String>,
    /// Migration tools, as `explain MW022` lists them. The API server cannot evaluate them, so a Job of such an entry
    /// is admitted without a review if no replica answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub tools: Vec<String>,
    /// Hook events of Helm, such as `pre-upgrade`, or hook types of Argo CD, such as `PreSync`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub hooks: Vec<String>,
    /// Labels, all of which the Job must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("minProperties" = 1))]
    pub labels: BTreeMap<String, String>,
}

impl Match {
    /// The lists that are not empty, by their keys in the policy file.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        let lists = [
            ("namespaces", &*self.namespaces),
            ("names", &self.names),
            ("images", &self.images),
            ("tools", &self.tools),
            ("hooks", &self.hooks),
        ];
        lists.into_iter().filter(|(_, values)| !values.is_empty())
    }
}

/// The entries, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adoption(pub(crate) Vec<Entry>);

impl Adoption {
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|entry| entry.name == name)
    }

    /// The entries that match this Job, of which the first wins. `detect` tells what it was recognised by, and is called
    /// at most once. What excludes most Jobs is compared first.
    pub(crate) fn matching<'a>(
        &'a self,
        job: &'a Job<'_>,
        detect: impl Fn() -> Option<Detection> + 'a,
    ) -> impl Iterator<Item = usize> + 'a {
        let mut tool = None;
        let entries = self.0.iter().enumerate();
        let found = entries.filter(move |(_, Entry { matching, .. })| {
            let Match {
                namespaces,
                names,
                images,
                tools,
                hooks,
                labels,
            } = matching;
            let mut texts = job.containers().map(|(_, _, of)| &*of.image);
            is_like(namespaces, job.namespace)
                && is_like(names, job.name.shown())
                && has_labels(job, labels)
                && (hooks.is_empty() || hooks.iter().any(|event| has_hook(job, event)))
                && (images.is_empty() || texts.any(|image| is_like(images, image)))
                && (tools.is_empty() || is_one_of(*tool.get_or_insert_with(&detect), tools))
        });
        found.map(|(index, _)| index)
    }
}

/// Whether one of the patterns matches, or there is none.
fn is_like(patterns: &[String], text: &str) -> bool {
    patterns.is_empty() || name_patterns::any(patterns, text)
}

fn has_labels(job: &Job<'_>, labels: &BTreeMap<String, String>) -> bool {
    let mut labels = labels.iter();
    labels.all(|(key, value)| job.labels.get(key) == Some(value))
}

/// Whether the Job is a hook of this event of Helm or of this type of Argo CD.
pub(crate) fn has_hook(job: &Job<'_>, event: &str) -> bool {
    let helm = job.annotations.get(Annotation::Hook);
    helm.is_some_and(|value| hooks::elements(value).any(|found| found == *event))
        || hooks::argocd_has(job.annotations.get(Annotation::ArgoCdHook), event)
}

fn is_one_of(detection: Option<Detection>, tools: &[String]) -> bool {
    let Some(Detection::Command(found) | Detection::Image(found)) = detection else {
        return false;
    };
    tools.iter().any(|tool| tool.eq_ignore_ascii_case(found))
}

#[cfg(test)]
mod tests;
