//! Proposes entries for the policy's `adopt` from the Jobs of a cluster or of manifests.
//!
//! An entry matches all detected Jobs of a chart and no Job that is not a migration. Nothing is printed here:
//! [`crate::cli::render`] does that. [`pattern`] generalises names.

mod candidate;
mod pattern;

use std::collections::{BTreeMap, BTreeSet};

use crate::core::job::hooks::{ARGOCD_TYPES, EVENTS};
use crate::core::job::name::cut;
use crate::core::job::release::{self, CHART};
use crate::core::job::{Job, Kind, sidecar};
use crate::core::policy::adopt::{DETECTED, Entry, has_hook};
use crate::core::policy::select::{Adopter, Selection};
use crate::core::policy_file::adopt;
use candidate::Candidate;
use pattern::Pattern;

/// Most Jobs that are kept. The memory for them stays below 100 MB.
const MAX_JOBS: usize = 100_000;
/// Longest text that is kept of a Job: that of a Kubernetes name.
const MAX_TEXT: usize = 253;
/// Most images that are kept of a Job.
const MAX_IMAGES: usize = 8;
/// The label that holds chart and version in older charts.
const OLD_CHART: &str = "chart";
/// The label that distinguishes the parts of a release in most charts.
const COMPONENT: &str = "app.kubernetes.io/component";

/// A Job, as far as entries match it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) namespace: String,
    /// That of a Job. The Jobs of a CronJob have its name and `-*`.
    pub(crate) name: String,
    /// What to do with it; `None` if no entry may match it.
    migration: Option<Migration>,
    hooks: Vec<&'static str>,
    component: Option<String>,
    images: Vec<String>,
}

/// A Job to adopt.
#[derive(Debug)]
struct Migration {
    pattern: Pattern,
    chart: Option<String>,
    release: Option<String>,
    /// Whether each attempt has another base name.
    is_renamed: bool,
}

/// A proposed entry.
#[derive(Debug)]
pub(crate) struct Proposed<'a> {
    pub(crate) entry: Entry,
    /// The detected Jobs that it matches.
    pub(crate) jobs: Vec<&'a Seen>,
    /// The other Jobs of its namespaces.
    pub(crate) others: Vec<&'a Seen>,
}

/// The Jobs from which entries are made.
#[derive(Debug, Default)]
pub(crate) struct Proposal {
    seen: Vec<Seen>,
    cron_jobs: BTreeSet<(String, String)>,
    /// Whether there are more Jobs than are kept.
    pub(crate) is_full: bool,
}

impl Proposal {
    pub(crate) fn add(&mut self, job: &Job<'_>, selection: Selection) {
        let is_job = job.kind == Kind::Job && !job.is_owned_by_cronjob();
        let migration = match selection {
            Selection::Detected(_) | Selection::Adopted(Adopter::Detection) if is_job => {
                let (release, source) = release::find(job);
                let release = (source != release::Source::BaseName).then(|| kept(release));
                let mut labels = [CHART, OLD_CHART].into_iter();
                Some(Migration {
                    pattern: Pattern::of(job, release.as_deref()),
                    is_renamed: Pattern::renames(job, release.as_deref()),
                    chart: labels
                        .find_map(|label| job.labels.get(label))
                        .map(|label| kept(chart(label))),
                    release,
                })
            }
            Selection::Labelled | Selection::Adopted(_) => return,
            _ => None,
        };
        let namespace = kept(job.namespace);
        let name = if job.kind == Kind::CronJob || job.is_made_by_cronjob() {
            let name = kept(&format!("{}-*", job.name.base()));
            if !self.cron_jobs.insert((namespace.clone(), name.clone())) {
                return;
            }
            name
        } else {
            kept(job.name.shown())
        };
        if self.seen.len() == MAX_JOBS {
            self.is_full = true;
            return;
        }
        let events = EVENTS.into_iter().chain(ARGOCD_TYPES);
        let images = job.containers().take(MAX_IMAGES);
        self.seen.push(Seen {
            namespace,
            name,
            migration,
            hooks: events.filter(|event| has_hook(job, event)).collect(),
            component: job.labels.get(COMPONENT).map(kept),
            images: images.map(|(_, _, of)| image_pattern(&of.image)).collect(),
        });
    }

    /// The entries, and the detected Jobs for which there is none. `known` are the namespaces of the cluster, if they
    /// could be listed; `before` are the entries that the policy has.
    pub(crate) fn entries(
        &self,
        known: &BTreeSet<String>,
        before: &[Entry],
    ) -> (Vec<Proposed<'_>>, Vec<&Seen>) {
        let mut index: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
        for seen in &self.seen {
            index.entry(&seen.namespace).or_default().push(seen);
        }
        let world = World(index);
        let (mut all, mut proposed) = (before.to_vec(), Vec::new());
        for (title, targets) in self.groups() {
            for candidate in world.candidates(&targets) {
                let mut entry = candidate.entry(unused(&title, &all), known);
                let is_renamed = |job: &&&Seen| {
                    let migration = job.migration.as_ref();
                    migration.is_some_and(|of| of.is_renamed) && candidate.matches(job)
                };
                if targets.iter().any(|job| is_renamed(&job)) {
                    entry.database = Some(entry.name.clone());
                }
                all.push(entry.clone());
                if adopt::faults(&all).is_empty() {
                    proposed.push(world.proposed(entry, &candidate));
                } else {
                    all.pop();
                }
            }
        }
        let jobs = proposed.iter().flat_map(|of| &of.jobs);
        let adopted: BTreeSet<*const Seen> = jobs.map(|job| std::ptr::from_ref(*job)).collect();
        let is_left = |seen: &&Seen| {
            seen.migration.is_some() && !adopted.contains(&std::ptr::from_ref(*seen))
        };
        let left = self.seen.iter().filter(is_left).collect();
        (proposed, left)
    }

    /// The Jobs to adopt, by chart, or by what their names have in common.
    fn groups(&self) -> BTreeMap<String, Vec<&Seen>> {
        let mut groups: BTreeMap<String, Vec<&Seen>> = BTreeMap::new();
        for seen in &self.seen {
            let Some(migration) = &seen.migration else {
                continue;
            };
            let title = migration.chart.clone().unwrap_or_else(|| {
                let any = migration.of_any_release();
                any.unwrap_or(migration.pattern.clone()).stem()
            });
            groups.entry(title).or_default().push(seen);
        }
        groups
    }
}

impl Migration {
    fn of_any_release(&self) -> Option<Pattern> {
        self.pattern.of_any_release(self.release.as_deref()?)
    }
}

impl Seen {
    /// Whether another Job would have such a name: it has no part besides the names of release, chart and namespace.
    fn is_named_vaguely(&self) -> bool {
        let of = |migration: &Migration| {
            let stem = migration.pattern.stem();
            let known = [&migration.release, &migration.chart];
            let is_known = known.into_iter().flatten().any(|name| *name == stem);
            migration.pattern.varies()
                && (!stem.contains('-') || is_known || stem == self.namespace)
        };
        self.migration.as_ref().is_some_and(of)
    }
}

/// The Jobs by namespace.
struct World<'a>(BTreeMap<&'a str, Vec<&'a Seen>>);

impl<'a> World<'a> {
    /// All Jobs of these namespaces. A manifest without a namespace may be for any.
    fn jobs(&self, namespaces: &BTreeSet<&'a str>) -> impl Iterator<Item = &'a Seen> {
        let is_any = namespaces.contains("");
        let here = move |name: &str| is_any || name.is_empty() || namespaces.contains(name);
        let index = self.0.iter().filter(move |(name, _)| here(name));
        index.flat_map(|(_, jobs)| jobs.iter().copied())
    }

    /// What matches these Jobs of one chart, and no other: together if their names suffice, and each alone if not.
    fn candidates(&self, targets: &[&'a Seen]) -> Vec<Candidate<'a>> {
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

    fn proposed(&self, entry: Entry, candidate: &Candidate<'a>) -> Proposed<'a> {
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

/// The name of an entry about this chart or these Jobs that no other entry has.
fn unused(title: &str, entries: &[Entry]) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let plain = title.to_ascii_lowercase();
    let plain = plain.replace(|c| !is_plain(c), "-");
    let plain = cut(plain.trim_matches('-'), 55).trim_end_matches('-');
    let plain = if plain.is_empty() { "migration" } else { plain };
    let is_taken = |name: &str| name == DETECTED || entries.iter().any(|entry| entry.name == name);
    let numbered = (2..).map(|number| format!("{plain}-{number}"));
    let mut names = std::iter::once(plain.to_owned()).chain(numbered);
    names.find(|name| !is_taken(name)).unwrap_or_default()
}

/// The name of a chart, from the label that also has its version.
fn chart(label: &str) -> &str {
    let is_version = |rest: &str| {
        let rest = rest.strip_prefix('v').unwrap_or(rest);
        let major = rest.split('.').next().unwrap_or_default();
        rest.len() > major.len()
            && !major.is_empty()
            && major.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut dashes = label.match_indices('-').map(|(at, _)| at);
    let end = dashes.find(|at| is_version(&label[at + 1..]));
    &label[..end.unwrap_or(label.len())]
}

/// The pattern for an image with any tag or digest.
fn image_pattern(image: &str) -> String {
    let repository = sidecar::repository(image);
    match image[repository.len()..].chars().next() {
        Some(separator) => kept(&format!("{}{separator}*", cut(repository, MAX_TEXT - 2))),
        None => kept(image),
    }
}

fn kept(text: &str) -> String {
    cut(text, MAX_TEXT).to_owned()
}

#[cfg(test)]
mod tests;
