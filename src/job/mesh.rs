//! Service-mesh sidecars: whether one will be put beside a migration.
//!
//! Sources: Istio, "Sidecar injection" (`istio-injection`, `istio.io/rev`, `sidecar.istio.io/inject`);
//! Linkerd, "Automatic proxy injection" (`linkerd.io/inject`).

use crate::job::Job;
use crate::job::annotation::Annotation;

/// A service mesh that adds a sidecar container to pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mesh {
    /// Istio.
    Istio,
    /// Linkerd.
    Linkerd,
}

impl std::fmt::Display for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Istio => "Istio",
            Self::Linkerd => "Linkerd",
        })
    }
}

/// The mesh that a namespace injects into its pods, told from its labels and annotations.
#[must_use]
pub fn of_namespace<'a>(
    label: impl Fn(&str) -> Option<&'a str>,
    annotation: impl Fn(&str) -> Option<&'a str>,
) -> Option<Mesh> {
    // `istio-injection` wins over a revision.
    let istio = match label("istio-injection") {
        Some(injection) => injection == "enabled",
        None => label("istio.io/rev").is_some(),
    };
    if istio {
        return Some(Mesh::Istio);
    }
    matches!(annotation("linkerd.io/inject"), Some("enabled" | "ingress")).then_some(Mesh::Linkerd)
}

/// The mesh that will put an ordinary sidecar into the Job's pods: one the pod asks for, or the
/// namespace's unless the pod declines.
#[must_use]
pub fn injected(job: &Job<'_>) -> Option<Mesh> {
    let template = &job.spec.template.metadata;
    let istio = template
        .labels
        .get("sidecar.istio.io/inject")
        .or_else(|| template.annotations.get(Annotation::IstioInject));
    let linkerd = template.annotations.get(Annotation::LinkerdInject);
    // A native sidecar is a restartable init container, which does not keep the pod running.
    let native = template.annotations.get(Annotation::LinkerdNativeSidecar);
    let revision = template.labels.get("istio.io/rev").is_some();
    if istio == Some("true")
        || (revision && istio != Some("false"))
        || (job.mesh == Some(Mesh::Istio) && istio != Some("false"))
    {
        return Some(Mesh::Istio);
    }
    let asked = matches!(linkerd, Some("enabled" | "ingress"));
    let inherited = job.mesh == Some(Mesh::Linkerd) && linkerd != Some("disabled");
    ((asked || inherited) && native != Some("true")).then_some(Mesh::Linkerd)
}
