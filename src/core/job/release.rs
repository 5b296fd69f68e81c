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
    /// Namespace of the Job.
    pub namespace: &'a str,
    /// Name of the release.
    pub name: Cow<'a, str>,
    /// Where the name was found.
    pub source: Source,
}

/// Where a release's name was found, most reliable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Label `app.kubernetes.io/instance` of the Job or its pod template.
    InstanceLabel,
    /// Flux's label `helm.toolkit.fluxcd.io/name`.
    Flux,
    /// Argo CD's annotation `argocd.argoproj.io/tracking-id`.
    ArgoCd,
    /// Nothing but the Job's own name.
    BaseName,
}

/// The label that names a release in most charts.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The label that holds chart and version in most charts.
pub const CHART: &str = "helm.sh/chart";
/// The label Flux adds to objects of its releases.
pub const FLUX_NAME: &str = "helm.toolkit.fluxcd.io/name";

impl<'a> Release<'a> {
    /// Reads the release of a Job.
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
    let instance = [job.labels.get(INSTANCE), template.get(INSTANCE)];
    let flux = job.labels.get(FLUX_NAME);
    let tracking = job.annotations.get(Annotation::ArgoCdTrackingId);
    choose(instance, flux, tracking, job.name.base())
}

/// The most reliable of the values that may name a release: [`INSTANCE`] of the Job and of its pod template,
/// [`FLUX_NAME`], Argo CD's tracking id, the base name.
#[must_use]
pub fn choose<'a>(
    instance: [Option<&'a str>; 2],
    flux: Option<&'a str>,
    tracking: Option<&'a str>,
    base: &'a str,
) -> (&'a str, Source) {
    let filled = |value: Option<&'a str>| value.filter(|value| !value.is_empty());
    let [own, template] = instance.map(filled);
    if let Some(name) = own.or(template) {
        return (name, Source::InstanceLabel);
    }
    if let Some(name) = filled(flux) {
        return (name, Source::Flux);
    }
    if let Some(name) = filled(tracking.and_then(|id| id.split(':').next())) {
        return (name, Source::ArgoCd);
    }
    (base, Source::BaseName)
}
