//! Checks the existing Jobs and CronJob templates of a cluster as the webhook would if they were created now.
//!
//! Pages of a LIST in, findings out. A page is dropped after it has been checked, because a cluster may have more Jobs
//! than fit in memory. [`crate::cluster::pages`] fetches the pages, [`crate::cli::render`] prints.

mod namespaces;

use crate::core::exception;
use crate::core::job::object::Object;
use crate::core::job::{Job, Kind, credentials};
use crate::core::json::{Page, Unreadable};
use crate::core::namespace;
use crate::core::policy::finding::Finding;
use crate::core::policy::{Policy, verdict};
use crate::core::report::{Located, Objects, Report, Sink, UnknownMode};

pub use namespaces::World;

/// A scan in progress.
#[derive(Debug)]
pub struct Scan<'a> {
    policy: &'a Policy,
    world: World,
    /// The report so far.
    pub report: Report,
}

impl<'a> Scan<'a> {
    /// A scan that has not read anything yet.
    #[must_use]
    pub fn new(policy: &'a Policy, world: World) -> Self {
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
    pub fn page(&mut self, kind: Kind, text: &str, found: Sink<'_>) -> Result<(), Unreadable> {
        let page: Page<'_, Object<'_>> = serde_json::from_str(text)?;
        for object in &page.items {
            self.judge(&Job::new(object, kind, ""), &mut *found);
        }
        Ok(())
    }

    fn judge(&mut self, job: &Job<'_>, found: Sink<'_>) {
        let (policy, report) = (self.policy, &mut self.report);
        let objects = report.objects.get_or_insert_default();
        objects.all += 1;
        objects.cronjobs += usize::from(job.kind == Kind::CronJob);
        // The webhook recognises them by the requesting user. A stored Job does not have that, so its owner is used.
        if job.is_made_by_cronjob() {
            objects.made_by_cronjobs += 1;
            return;
        }
        let selection = policy.selectors.select(job, policy.detection);
        if !report.selects(job, selection) {
            return;
        }
        let view = self.world.view(job.namespace);
        let job = Job {
            mesh: view.mesh,
            ..*job
        };
        let (mode, unknown_mode) = namespace::mode(view.mode.clone(), policy, job.namespace);
        if let (Some(mode), Some(objects)) = (unknown_mode, &mut report.objects) {
            objects.unknown_modes.insert(UnknownMode {
                namespace: job.namespace.to_owned(),
                mode,
            });
        }
        let mut findings = policy.evaluate(&job, selection, mode.cap());
        credentials::hide(&job, findings.iter_mut().flat_map(Finding::texts_mut));
        exception::apply(&mut findings, &view.exceptions, &job);
        verdict::settle(&mut findings, job.is_patchable());
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
