//! Proposes entries for the policy's `adopt` from the Jobs of a cluster or of manifests.
//!
//! An entry matches all detected Jobs of a chart and no Job that is not a migration. Nothing is printed here:
//! [`crate::cli::render`] does that. [`pattern`] generalises names.

mod candidate;
mod pattern;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use crate::core::job::hooks::{ARGOCD_TYPES, EVENTS};
use crate::core::job::name::cut;
use crate::core::job::release::{self, CHART};
use crate::core::job::{Job, Kind, sidecar};
use crate::core::policy::adopt::{DETECTED, Entry, has_hook};
use crate::core::policy::select::{Adopter, Selection};
use crate::core::policy_file::adopt;
use pattern::Pattern;
use world::World;

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
