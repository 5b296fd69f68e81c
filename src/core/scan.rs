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
        Self {
            policy,
            world,
            report: Report {
                objects: Some(Objects::default()),
                ..Report::default()
            },
        }
    }

    /// Checks one page of Jobs or CronJobs.
    pub(crate) fn page(
        &mut self,
        kind: Kind,
        text: &str,
        found: Sink<'_>,
    ) -> Result<(), Unreadable> {
        let page: Page<'_, Object<'_>> = serde_json::from_str(text)?;
        for object in &page.items {
            self.judge(kind, object, &mut *found);
        }
        Ok(())
    }

    fn judge(&mut self, kind: Kind, object: &Object<'_>, found: Sink<'_>) {
        let job = Job::new(object, kind, "");
        let (policy, report) = (self.policy, &mut self.report);
        let objects = report.objects.get_or_insert_default();
        objects.all += 1;
        objects.cronjobs += usize::from(job.kind == Kind::CronJob);
        // The webhook recognises them by the requesting user. A stored Job does not have that, so its owner is used.
        if job.is_made_by_cronjob() {
            objects.made_by_cronjobs += 1;
            return;
        }
        let selection = policy.select(&job);
        if !report.selects(&job, selection) {
            return;
        }
        let known = self.world.view(job.namespace).clone();
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
            found(Located {
                source: None,
                kind: job.kind,
                namespace: job.namespace.to_owned(),
                job: job.name.shown().to_owned(),
                finding,
            });
        }
    }
}

#[cfg(test)]
mod tests;
