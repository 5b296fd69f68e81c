//! Service meshes: whether one will inject a sidecar beside a migration.
//!
//! Sources: Istio, "Sidecar injection" (`istio-injection`, `istio.io/rev`, `sidecar.istio.io/inject`); Linkerd,
//! "Automatic proxy injection" (`linkerd.io/inject`). Both can inject a native sidecar, which does not keep the pod
//! running: Istio if a pod's annotation asks for it, Linkerd if its pod or namespace does. Istio's own default
//! (`ENABLE_NATIVE_SIDECARS`, on from 1.27) is a setting of its control plane, which is not visible here.

use crate::core::job::annotation::Annotation;
use crate::core::job::sidecar::Stop;
use crate::core::job::{Job, sidecar};

/// The annotations that ask Linkerd for a native sidecar, the newest first.
pub(crate) const LINKERD_NATIVE: [Annotation; 3] = [
    Annotation::LinkerdNativeSidecar,
    Annotation::LinkerdNativeSidecarBeta,
    Annotation::LinkerdNativeSidecarAlpha,
];

/// A service mesh that adds a sidecar container to pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mesh {
    /// Istio, with ordinary sidecars unless a pod asks otherwise.
    Istio,
    /// Linkerd, with ordinary sidecars unless a pod asks otherwise.
    Linkerd,
    /// Linkerd, with native sidecars unless a pod asks otherwise.
    NativeLinkerd,
}

impl std::fmt::Display for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Istio => "Istio",
            Self::Linkerd | Self::NativeLinkerd => "Linkerd",
        })
    }
}

/// The labels and annotations of namespaces that are read besides [`LINKERD_NATIVE`].
const ISTIO_INJECTION: &str = "istio-injection";
const ISTIO_REVISION: &str = "istio.io/rev";
const LINKERD_INJECT: &str = "linkerd.io/inject";

/// Whether [`of_namespace`] reads this label or annotation.
pub(crate) fn is_key(key: &str) -> bool {
    [ISTIO_INJECTION, ISTIO_REVISION, LINKERD_INJECT].contains(&key)
        || LINKERD_NATIVE.iter().any(|native| native.key() == key)
}

/// The mesh that a namespace injects into its pods, by its labels and annotations.
#[must_use]
pub fn of_namespace<'a>(
    label: impl Fn(&str) -> Option<&'a str>,
    annotation: impl Fn(&str) -> Option<&'a str>,
) -> Option<Mesh> {
    // `istio-injection` wins over a revision.
    let istio = match label(ISTIO_INJECTION) {
        Some(injection) => injection == "enabled",
        None => label(ISTIO_REVISION).is_some(),
    };
    if istio {
        return Some(Mesh::Istio);
    }
    let mut native = LINKERD_NATIVE.iter().map(|key| annotation(key.key()));
    if native.any(|value| value == Some("true")) {
        return Some(Mesh::NativeLinkerd);
    }
    matches!(annotation(LINKERD_INJECT), Some("enabled" | "ingress")).then_some(Mesh::Linkerd)
}

/// The mesh that will inject an ordinary sidecar into the Job's pods, if nothing there stops that sidecar: the mesh the
/// pod asks for, or the namespace's unless the pod declines.
#[must_use]
pub fn injected(job: &Job<'_>) -> Option<Mesh> {
    if istio(job) && !sidecar::is_stopped(job, Stop::Istio) {
        return Some(Mesh::Istio);
    }
    (linkerd(job) && !sidecar::is_stopped(job, Stop::Linkerd)).then_some(Mesh::Linkerd)
}

fn istio(job: &Job<'_>) -> bool {
    let template = &job.spec.template.metadata;
    let native = template.annotations.get(Annotation::IstioNativeSidecar);
    let inject = template
        .labels
        .get("sidecar.istio.io/inject")
        .or_else(|| template.annotations.get(Annotation::IstioInject));
    let inherited = template.labels.get(ISTIO_REVISION).is_some() || job.mesh == Some(Mesh::Istio);
    native != Some("true") && (inject == Some("true") || inherited && inject != Some("false"))
}

fn linkerd(job: &Job<'_>) -> bool {
    let annotations = &job.spec.template.metadata.annotations;
    let mut own = LINKERD_NATIVE
        .iter()
        .filter_map(|key| annotations.get(*key));
    let by_namespace = job.mesh == Some(Mesh::NativeLinkerd);
    let native = own.next().map_or(by_namespace, |value| value == "true");
    let inject = annotations.get(Annotation::LinkerdInject);
    let asked = matches!(inject, Some("enabled" | "ingress"));
    let inherited = job.mesh == Some(Mesh::Linkerd) && inject != Some("disabled");
    !native && (asked || inherited)
}
