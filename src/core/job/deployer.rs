//! Which deployer keeps a Job as desired state, by what the object shows.
//!
//! Any tool may write a hook annotation, but only a deployer that reads it runs the Job as a hook. The rules decide
//! what hooks must look like.

use serde::Serialize;

use crate::core::job::annotation::{Annotation, Annotations};
use crate::core::job::release::FLUX_NAME;
use crate::core::job::{Job, Kind};

/// The label that Flux's kustomize-controller adds to everything it applies.
pub(crate) const KUSTOMIZE_NAME: &str = "kustomize.toolkit.fluxcd.io/name";
pub(crate) const KUSTOMIZE_CONTROLLER: &str = "kustomize-controller";
const HELM_CONTROLLER: &str = "helm-controller";
/// Prefix of Argo CD's field managers: `argocd-controller`, `argocd-application-controller`.
pub(crate) const ARGOCD: &str = "argocd";
/// Prefix of kubectl's field managers: `kubectl-create`, `kubectl-client-side-apply`, `kubectl`.
pub(crate) const KUBECTL: &str = "kubectl";
/// Commands of kubectl that only change a Job created by another deployer: its field manager is `kubectl-edit`.
const CHANGES: [&str; 7] = [
    "annotate", "edit", "label", "patch", "rollout", "scale", "set",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Deployer {
    /// Helm, or a program that embeds it: the default without a sign of another deployer.
    Helm,
    /// Flux's helm-controller, which embeds Helm.
    HelmController,
    /// Argo CD, which runs its own hooks and those of Helm.
    ArgoCd,
    /// Flux's kustomize-controller, which does not run hooks.
    KustomizeController,
    /// kubectl, which does not run hooks.
    Kubectl,
}

impl Deployer {
    /// Recognises the deployer. The arguments say which labels and annotations the object has, and which field managers
    /// sent it.
    ///
    /// Programs that embed Helm use field managers of their own, so a Job counts as Helm's unless there is a positive
    /// sign of another deployer. `app.kubernetes.io/managed-by` is not such a sign: charts write it.
    pub(crate) fn of<'m>(
        label: impl Fn(&str) -> bool,
        annotation: impl Fn(Annotation) -> bool,
        managers: impl Iterator<Item = &'m str> + Clone,
    ) -> Self {
        let managers = managers.filter(|manager| !manager.is_empty());
        let sent = |by: &dyn Fn(&str) -> bool| managers.clone().any(by);
        if label(KUSTOMIZE_NAME) || sent(&|manager| manager == KUSTOMIZE_CONTROLLER) {
            return Self::KustomizeController;
        }
        let is_kubectl = |manager: &str| {
            let command = manager.strip_prefix(KUBECTL);
            command.is_some_and(|name| !CHANGES.contains(&name.trim_start_matches('-')))
        };
        if sent(&is_kubectl) {
            return Self::Kubectl;
        }
        if annotation(Annotation::ArgoCdTrackingId) || sent(&|manager| manager.starts_with(ARGOCD))
        {
            return Self::ArgoCd;
        }
        let is_argocds = annotation(Annotation::ArgoCdHook) && !annotation(Annotation::Hook);
        // Argo CD's engine also writes this annotation, with the field manager of the program that embeds it.
        let is_applied = annotation(Annotation::LastApplied) && !(is_argocds && sent(&|_| true));
        if annotation(Annotation::StartedByHand) || is_applied {
            return Self::Kubectl;
        }
        if is_argocds && !sent(&|manager| manager.starts_with("helm")) {
            return Self::ArgoCd;
        }
        if label(FLUX_NAME) || sent(&|manager| manager == HELM_CONTROLLER) {
            return Self::HelmController;
        }
        Self::Helm
    }

    /// Whether it reads hook annotations and runs hooks.
    pub(crate) fn runs_hooks(self) -> bool {
        !matches!(self, Self::KustomizeController | Self::Kubectl)
    }

    /// Whether Argo CD runs the object as a hook: it has Argo CD's own annotation, or Helm's, which Argo CD also
    /// honours in objects it deploys (`IsHook` in `argoproj/gitops-engine: pkg/sync/hook/hook.go`, 0.7.3).
    pub(crate) fn is_argocd_hook(self, annotations: &Annotations<'_>) -> bool {
        let has = |annotation| annotations.get(annotation).is_some();
        has(Annotation::ArgoCdHook) || self == Self::ArgoCd && has(Annotation::Hook)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Helm => "Helm",
            Self::HelmController => "Flux's helm-controller",
            Self::ArgoCd => "Argo CD",
            Self::KustomizeController => "Flux's kustomize-controller",
            Self::Kubectl => "kubectl",
        }
    }
}

/// What its deployer does with a Job, and so what may be changed in it.
impl Job<'_> {
    /// Whether its deployer runs it as a hook, which is created once and never applied again. The template of any other
    /// Job is immutable, and a patch would conflict with the next apply.
    #[must_use]
    pub(crate) fn is_patchable(&self) -> bool {
        let is_hook = |annotation| self.annotations.get(annotation).is_some();
        self.kind == Kind::Job
            && self.deployer.runs_hooks()
            && (is_hook(Annotation::Hook) || is_hook(Annotation::ArgoCdHook))
    }

    /// Whether Argo CD runs it as a hook, by either kind of annotation.
    #[must_use]
    pub(crate) fn is_argocd_hook(&self) -> bool {
        self.deployer.is_argocd_hook(self.annotations)
    }

    /// Whether its author uses Argo CD's annotations. A hook with Helm's annotations belongs to a chart, even if Argo
    /// CD deploys it: Argo CD reads those, too.
    #[must_use]
    pub(crate) fn is_in_argocds_words(&self) -> bool {
        let has = |annotation| self.annotations.get(annotation).is_some();
        !has(Annotation::Hook) && (self.deployer == Deployer::ArgoCd || self.is_argocd_hook())
    }

    /// Whether its deployer creates it again after a deletion, because it is not a hook.
    #[must_use]
    pub(crate) fn is_recreated(&self) -> bool {
        match self.deployer {
            Deployer::KustomizeController => true,
            Deployer::ArgoCd | Deployer::HelmController => !self.is_patchable(),
            Deployer::Kubectl => !self.is_started_by_hand(),
            Deployer::Helm => false,
        }
    }

    /// Whether a person created it from a CronJob: `kubectl create job --from=cronjob/NAME`.
    #[must_use]
    pub(crate) fn is_started_by_hand(&self) -> bool {
        self.annotations.get(Annotation::StartedByHand).is_some()
    }

    /// Whether it may be renamed, because it was sent by a plain create. A server-side apply has the name in its URL,
    /// and some tools look for the Job under the name that they wrote.
    #[must_use]
    pub(crate) fn is_renameable(&self) -> bool {
        let fields = &self.metadata.managed_fields;
        !fields.is_empty()
            && fields.iter().all(|field| &*field.operation == "Update")
            && self.annotations.get(Annotation::ArgoCdTrackingId).is_none()
            && self.annotations.get(Annotation::LastApplied).is_none()
    }
}

/// Whether an object that this field manager applies may be applied by Helm.
pub(crate) fn may_embed_helm(manager: &str) -> bool {
    !manager.is_empty()
        && manager != KUSTOMIZE_CONTROLLER
        && !manager.starts_with(KUBECTL)
        && !manager.starts_with(ARGOCD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;

    #[test]
    fn only_a_positive_sign_takes_a_job_from_helm_and_each_is_enough() {
        type Signs = (String, String, Vec<String>, Vec<String>);
        for (expected, label, annotations, managers) in table::<Vec<Signs>>("job/deployers") {
            let found = Deployer::of(
                |key| key == label,
                |key| {
                    annotations
                        .iter()
                        .any(|annotation| *annotation == key.key())
                },
                managers.iter().map(String::as_str),
            );
            let signs = format!("{label:?} {annotations:?} {managers:?}");
            assert_eq!(format!("{found:?}"), expected, "{signs}");
        }
    }
}
