//! What a proposed entry would match, and what can narrow it.

use std::collections::{BTreeMap, BTreeSet};

use super::pattern::{Pattern, of_namespaces};
use super::{COMPONENT, Seen};
use crate::core::policy::Mode;
use crate::core::policy::adopt::{Entry, Match, Promises};

#[derive(Clone, Debug, Default)]
pub(super) struct Candidate<'a> {
    /// Those of its Jobs; an empty name if that of a manifest is not known.
    pub(super) namespaces: BTreeSet<&'a str>,
    pub(super) names: BTreeSet<Pattern>,
    hooks: BTreeSet<&'static str>,
    component: Option<&'a str>,
    images: BTreeSet<&'a str>,
}

impl<'a> Candidate<'a> {
    /// For these Jobs, and still without names.
    pub(super) fn of(jobs: &[&'a Seen]) -> Self {
        Self {
            namespaces: jobs.iter().map(|job| &*job.namespace).collect(),
            ..Self::default()
        }
    }

    /// Whether it matches this Job of its namespaces.
    pub(super) fn matches(&self, seen: &Seen) -> bool {
        let has_image = || seen.images.iter().any(|of| self.images.contains(&**of));
        self.names.iter().any(|name| name.matches(&seen.name))
            && (self.hooks.is_empty() || seen.hooks.iter().any(|of| self.hooks.contains(of)))
            && self
                .component
                .is_none_or(|of| seen.component.as_deref() == Some(of))
            && (self.images.is_empty() || has_image())
    }

    /// With the hooks that all these Jobs have and no other one.
    pub(super) fn with_hooks(&self, jobs: &[&'a Seen], others: &[&Seen]) -> Option<Self> {
        let mut hooks: BTreeSet<_> = jobs.first()?.hooks.iter().copied().collect();
        hooks.retain(|hook| {
            let has = |seen: &&Seen| seen.hooks.contains(hook);
            jobs.iter().all(has) && !others.iter().any(has)
        });
        let found = !hooks.is_empty();
        found.then(|| Self {
            hooks,
            ..self.clone()
        })
    }

    /// With the component that all these Jobs have.
    pub(super) fn with_component(&self, jobs: &[&'a Seen]) -> Option<Self> {
        let component = Some(jobs.first()?.component.as_deref()?);
        let is_common = jobs.iter().all(|job| job.component.as_deref() == component);
        is_common.then(|| Self {
            component,
            ..self.clone()
        })
    }

    /// With the images that these Jobs have and no other one, those that say what they are for first. Each Job has to
    /// have one.
    pub(super) fn with_images(&self, jobs: &[&'a Seen], others: &[&Seen]) -> Option<Self> {
        let taken = others.iter().flat_map(|seen| &seen.images);
        let taken: BTreeSet<&str> = taken.map(String::as_str).collect();
        let images = jobs.iter().flat_map(|job| &job.images).map(String::as_str);
        let images: BTreeSet<&str> = images.filter(|image| !taken.contains(image)).collect();
        let telling = images.iter().copied();
        let telling: BTreeSet<&str> = telling.filter(|image| image.contains("migrat")).collect();
        let mut options = [telling, images].into_iter();
        let images = options.find(|images| {
            let has = |job: &&Seen| job.images.iter().any(|image| images.contains(&**image));
            jobs.iter().all(has)
        })?;
        Some(Self {
            images,
            ..self.clone()
        })
    }

    pub(super) fn entry(&self, name: String, known: &BTreeSet<String>) -> Entry {
        let texts = |patterns: Vec<Pattern>| patterns.iter().map(Pattern::to_string).collect();
        let namespaces = if self.namespaces.contains("") {
            Vec::new()
        } else {
            texts(of_namespaces(&self.namespaces, known))
        };
        let component = self
            .component
            .map(|of| (COMPONENT.to_owned(), of.to_owned()));
        Entry {
            name,
            matching: Match {
                namespaces,
                names: texts(self.names.iter().cloned().collect()),
                images: self.images.iter().map(|&image| image.to_owned()).collect(),
                tools: Vec::new(),
                hooks: self.hooks.iter().map(|&hook| hook.to_owned()).collect(),
                labels: component.into_iter().collect::<BTreeMap<_, _>>(),
            },
            rules: Mode::Audit,
            promises: Promises::default(),
            database: None,
        }
    }
}
