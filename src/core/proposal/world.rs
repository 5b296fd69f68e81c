//! The existing Jobs by namespace, and what matches some of them and no other. Not for what an entry then says:
//! [`super::candidate`] writes it.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::Candidate;
use super::pattern::Pattern;
use super::{Migration, Proposed, Seen};
use crate::core::policy::adopt::Entry;

/// The Jobs by namespace.
pub(super) struct World<'a>(pub(super) BTreeMap<&'a str, Vec<&'a Seen>>);

impl<'a> World<'a> {
    /// All Jobs of these namespaces. A manifest without a namespace may be for any.
    fn jobs(&self, namespaces: &BTreeSet<&'a str>) -> impl Iterator<Item = &'a Seen> {
        let is_any = namespaces.contains("");
        let here = move |name: &str| is_any || name.is_empty() || namespaces.contains(name);
        let index = self.0.iter().filter(move |(name, _)| here(name));
        index.flat_map(|(_, jobs)| jobs.iter().copied())
    }

    /// What matches these Jobs of one chart, and no other: together if their names suffice, and each alone if not.
    pub(super) fn candidates(&self, targets: &[&'a Seen]) -> Vec<Candidate<'a>> {
        let mut common = Candidate::of(targets);
        let (mut vague, mut alone) = (Vec::new(), Vec::new());
        for (pattern, jobs) in self.patterns(targets, &common.namespaces) {
            let is_other = |seen: &&Seen| seen.migration.is_none() && pattern.matches(&seen.name);
            let others: Vec<_> = self.jobs(&common.namespaces).filter(is_other).collect();
            if others.is_empty() && !jobs.iter().any(|job| job.is_named_vaguely()) {
                common.names.insert(pattern);
            } else {
                vague.push((pattern, jobs));
            }
        }
        for (pattern, jobs) in vague {
            alone.extend(self.narrowed(pattern, &jobs));
        }
        let common = Some(common).filter(|common| !common.names.is_empty());
        common.into_iter().chain(alone).collect()
    }

    /// The patterns for the names of these Jobs, each with its Jobs: those of any release, if there are several and no
    /// other Job has such a name.
    fn patterns(
        &self,
        targets: &[&'a Seen],
        namespaces: &BTreeSet<&'a str>,
    ) -> BTreeMap<Pattern, Vec<&'a Seen>> {
        let mut any: BTreeMap<Pattern, Vec<&'a Seen>> = BTreeMap::new();
        for &seen in targets {
            let of_any = seen.migration.as_ref().and_then(Migration::of_any_release);
            if let Some(pattern) = of_any {
                any.entry(pattern).or_default().push(seen);
            }
        }
        any.retain(|pattern, jobs| {
            let releases = jobs.iter().filter_map(|job| job.migration.as_ref());
            let releases: BTreeSet<_> = releases.map(|of| &of.release).collect();
            let matched = self
                .jobs(namespaces)
                .filter(|seen| pattern.matches(&seen.name));
            releases.len() > 1 && matched.count() == jobs.len()
        });
        let mut patterns = any.clone();
        for &seen in targets {
            let Some(migration) = &seen.migration else {
                continue;
            };
            if !any.keys().any(|pattern| pattern.matches(&seen.name)) {
                let jobs = patterns.entry(migration.pattern.clone()).or_default();
                jobs.push(seen);
            }
        }
        patterns
    }

    /// What matches these Jobs beside their names, which do not suffice; if nothing does, their exact names.
    fn narrowed(&self, pattern: Pattern, jobs: &[&'a Seen]) -> Vec<Candidate<'a>> {
        let mut candidate = Candidate::of(jobs);
        candidate.names.insert(pattern);
        let others: Vec<_> = self.others(&candidate).collect();
        let options = [
            candidate.with_hooks(jobs, &others),
            candidate.with_component(jobs),
            candidate.with_images(jobs, &others),
        ];
        let mut options = options.into_iter().flatten();
        let found = options.find(|option| self.others(option).next().is_none());
        if let Some(found) = found {
            return vec![found];
        }
        if others.is_empty() {
            return vec![candidate];
        }
        let mut alone: BTreeMap<&str, Candidate<'a>> = BTreeMap::new();
        for &job in jobs {
            let of = alone.entry(&job.namespace);
            let of = of.or_insert_with(|| Candidate::of(&[job]));
            of.names.insert(Pattern::exact(&job.name));
        }
        let exact = alone.into_values();
        exact
            .filter(|of| self.others(of).next().is_none())
            .collect()
    }

    /// The Jobs that this matches, though they are not migrations.
    fn others<'c>(&self, candidate: &'c Candidate<'a>) -> impl Iterator<Item = &'a Seen> {
        let jobs = self.jobs(&candidate.namespaces);
        let others = jobs.filter(|seen| seen.migration.is_none() && candidate.matches(seen));
        others.collect::<Vec<_>>().into_iter()
    }

    pub(super) fn proposed(&self, entry: Entry, candidate: &Candidate<'a>) -> Proposed<'a> {
        let jobs = self.jobs(&candidate.namespaces);
        let (jobs, mut others): (Vec<_>, Vec<_>) = jobs.partition(|seen| candidate.matches(seen));
        others.retain(|seen| seen.migration.is_none());
        Proposed {
            entry,
            jobs,
            others,
        }
    }
}
