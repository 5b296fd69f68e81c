//! Checks the existing Jobs and CronJob templates of a cluster as the webhook would if they were created now.
//!
//! Pages of a LIST in, findings out. A page is dropped after it has been checked, because a cluster may have more Jobs
//! than fit in memory. [`crate::cluster::api::list`] fetches the pages, [`crate::cli::render`] prints.

mod namespaces;

use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::json::{Page, Unreadable};
use crate::core::judge::Migration;
use crate::core::policy::Policy;
use crate::core::policy::select::Selection;
use crate::core::report::{Located, Objects, Report, Sink, UnknownMode};

pub(crate) use namespaces::World;

/// A scan in progress.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    policy: &'a Policy,
    world: World,
    pub report: Report,
}

impl<'a> Scan<'a> {
    /// A scan that has not read anything yet.
    pub(crate) fn new(policy: &'a Policy, world: World) -> Self {
        let namespaces = world.names.clone();
        Self {
            policy,
            world,
            report: Report {
                objects: Some(Objects {
                    namespaces,
                    ..Objects::default()
                }),
                entries: policy.adopt.entries().to_vec(),
                ..Report::default()
            },
        }
    }

    /// Checks one page of Jobs or CronJobs.
    pub(crate) fn page(
        &mut self,
        kind: Kind,
        text: &str,
        found: &mut dyn Sink,
    ) -> Result<(), Unreadable> {
        let page: Page<'_, Object<'_>> = serde_json::from_str(text)?;
        for object in &page.items {
            self.judge(kind, object, found);
        }
        Ok(())
    }

    fn judge(&mut self, kind: Kind, object: &Object<'_>, found: &mut dyn Sink) {
        let job = Job::new(object, kind, "");
        let (policy, report) = (self.policy, &mut self.report);
        let objects = report.objects.get_or_insert_default();
        objects.all += 1;
        objects.cronjobs += usize::from(job.kind == Kind::CronJob);
        // The webhook recognises them by the requesting user. A stored Job does not have that, so its owner is used.
        let known = self.world.view(job.namespace);
        if job.is_made_by_cronjob() {
            objects.made_by_cronjobs += 1;
            found.job(&job, Selection::None, known.mode.as_deref());
            return;
        }
        // Charts do not write the label of an adopted Job, so its next attempt comes without it.
        let selection = policy.select_by_itself(&job);
        found.job(&job, selection, known.mode.as_deref());
        if !report.selects(&job, selection) {
            return;
        }
        let known = known.clone();
        let migration = Migration::new(job, selection, policy, known);
        let (findings, job) = (migration.judge(), &migration.job);
        if let (Some(mode), Some(objects)) = (&migration.unknown_mode, &mut report.objects) {
            objects.unknown_modes.insert(UnknownMode {
                namespace: job.namespace.to_owned(),
                mode: mode.clone(),
            });
        }
        report.count(&findings);
        for finding in findings {
            found.finding(Located {
                source: None,
                kind: job.kind,
                adopted: migration.adopter().map(str::to_owned),
                namespace: job.namespace.to_owned(),
                job: job.name.shown().to_owned(),
                finding,
            });
        }
    }
}

#[cfg(test)]
mod tests;
