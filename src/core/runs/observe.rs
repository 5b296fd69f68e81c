//! Derives the run of a Job. Pure: from the stored Job and its pods.

use super::facts::Facts;
use super::pods::PodFacts;
use super::resource::{JobReference, MigrationRunSpec, MigrationRunStatus, ReleaseReference};
use super::{Ending, Known, clean};
use crate::core::job::release::Source;
use crate::core::job::stored::StoredJob;
use crate::core::supersede::SUPERSEDED;
use crate::core::text;

/// The facts for its run; `pods` is `None` if its pods could not be read. The attempt is not known here.
pub(crate) fn observe(job: &StoredJob, facts: &Facts, pods: Option<&PodFacts>) -> Known {
    let spec = MigrationRunSpec {
        job: JobReference {
            name: job.name.clone(),
            uid: job.uid.clone(),
        },
        release: ReleaseReference {
            name: clean(&job.release, text::NAME),
            source: source(job.release_source).to_owned(),
        },
        migration: job.base.clone(),
        chart: facts.chart.clone(),
        tool: facts.tool.map(str::to_owned),
        images: facts.images.clone(),
        deployer: facts.deployer,
        requested_by: facts.requested_by.clone(),
        decision: facts.decision.clone(),
        exceptions: facts.exceptions.clone(),
        adopted: job.adopted.clone(),
        reviewed: facts.is_reviewed(),
        attempt: 0,
    };
    let mut asked = pods.cloned().unwrap_or_default();
    let said = [&mut asked.reason, &mut asked.message];
    let said = said.into_iter().flatten().chain(&mut asked.image_ids);
    said.for_each(|text| facts.secrets.hide_in_others(text));
    let mut status = MigrationRunStatus {
        admitted_at: Some(job.created),
        started_at: asked.started_at,
        image_ids: asked.image_ids,
        ..MigrationRunStatus::default()
    };
    if let Some(ending) = Ending::of(job, facts) {
        status.outcome = ending.outcome;
        status.finished_at = Some(ending.at);
        status.exit_code = asked.exit_code;
        // The Job says why its pod did not start, and the pod is deleted.
        let has_started = asked.started_at.is_some() || asked.exit_code.is_some();
        if ending.reason.as_deref() == Some(SUPERSEDED) && !has_started {
            (status.reason, status.message) = (ending.reason, ending.message);
        } else {
            status.reason = asked.reason.or(ending.reason);
            status.message = asked.message.or(ending.message);
        }
    }
    let known = Known { spec, status };
    // Normalised, as if it were joined with another.
    known.join(&known)
}

/// The word for it in a run.
const fn source(source: Source) -> &'static str {
    match source {
        Source::InstanceLabel => "instance-label",
        Source::Flux => "flux",
        Source::ArgoCd => "argo-cd",
        Source::BaseName => "base-name",
    }
}
