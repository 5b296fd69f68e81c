//! Which release a migration belongs to.
//!
//! Helm does not record the release on hooks (`setMetadataVisitor` runs over the release's manifest only), so it is
//! read from labels and annotations that charts and deployers write.

use std::borrow::Cow;

use serde::Serialize;

use crate::core::job::Job;
use crate::core::job::annotation::Annotation;

/// The release a migration belongs to. Its name is untrusted: annotations are free text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: Cow<'a, str>,
    pub(crate) source: Source,
}

/// Where a release's name was found, most reliable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The label `app.kubernetes.io/instance` of the Job or of its pod template.
    InstanceLabel,
    /// The label that Flux adds to the objects of its Helm releases.
    Flux,
    /// The annotation with which Argo CD tracks its objects.
    ArgoCd,
    /// Nothing but the Job's own name.
    BaseName,
}

/// The label that names a release in most charts.
pub(crate) const INSTANCE: &str = "app.kubernetes.io/instance";
/// The label that holds chart and version in most charts.
pub const CHART: &str = "helm.sh/chart";
/// The label Flux adds to objects of its releases.
pub(crate) const FLUX_NAME: &str = "helm.toolkit.fluxcd.io/name";

impl<'a> Release<'a> {
    /// The release of a Job, from the most reliable sign that it has.
    #[must_use]
    pub fn of(job: &Job<'a>) -> Self {
        let (name, source) = find(job);
        Self {
            namespace: job.namespace,
            name: Cow::Borrowed(name),
            source,
        }
    }
}

/// The release's name and its source, without copying it.
#[must_use]
pub fn find<'a>(job: &Job<'a>) -> (&'a str, Source) {
    let template = &job.spec.template.metadata.labels;
    let tracking = job.annotations.get(Annotation::ArgoCdTrackingId);
    let names = [
        (job.labels.get(INSTANCE), Source::InstanceLabel),
        (template.get(INSTANCE), Source::InstanceLabel),
        (job.labels.get(FLUX_NAME), Source::Flux),
        (tracking.and_then(|id| id.split(':').next()), Source::ArgoCd),
    ];
    let mut names = names
        .into_iter()
        .filter_map(|(name, source)| Some((name?, source)));
    let found = names.find(|(name, _)| !name.is_empty());
    found.unwrap_or((job.name.base(), Source::BaseName))
}
