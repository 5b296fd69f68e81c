//! The annotations that are read here, and their values in one object.
//!
//! An object may carry a megabyte of others; they are skipped. This module does not interpret values.

use serde::{Deserialize, Deserializer};

use crate::core::json::{Text, entries};
use crate::core::typos::typos;

/// Most typos in a key that is still recognised.
const MAX_TYPOS: usize = 3;
/// Most unknown keys that are kept.
const MAX_UNKNOWN: usize = 64;

macro_rules! annotations {
    ($($(#[doc = $doc:literal])* $name:ident = $key:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Annotation {
            $($(#[doc = $doc])* $name,)+
        }

        impl Annotation {
            pub(crate) const fn key(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)+
                }
            }

            fn of_key(key: &str) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

annotations! {
    Hook = "helm.sh/hook",
    DeletePolicy = "helm.sh/hook-delete-policy",
    HookOutputLogPolicy = "helm.sh/hook-output-log-policy",
    HookWeight = "helm.sh/hook-weight",
    ArgoCdHook = "argocd.argoproj.io/hook",
    ArgoCdDeletePolicy = "argocd.argoproj.io/hook-delete-policy",
    /// By this Argo CD tracks its objects: `APP:batch/Job:NAMESPACE/NAME`.
    ArgoCdTrackingId = "argocd.argoproj.io/tracking-id",
    /// Ours: the rules whose findings were patched here, by id.
    Patched = "migration-warden.io/patched",
    LastApplied = "kubectl.kubernetes.io/last-applied-configuration",
    /// Kubernetes' own: a person created the Job from a CronJob.
    StartedByHand = "cronjob.kubernetes.io/instantiate",
    /// The database that is migrated, where several releases share one.
    Database = "migration-warden.io/database",
    AllowDelete = "migration-warden.io/allow-delete",
    /// Ours: the id of the decision that admitted the Job.
    Decision = "migration-warden.io/decision",
    RequestedBy = "migration-warden.io/requested-by",
    /// Ours: why the Job never started, and which newer attempt it was failed for.
    Superseded = "migration-warden.io/superseded",
    Exceptions = "migration-warden.io/exceptions",
    SafeToEvict = "cluster-autoscaler.kubernetes.io/safe-to-evict",
    DoNotDisrupt = "karpenter.sh/do-not-disrupt",
    IstioInject = "sidecar.istio.io/inject",
    LinkerdInject = "linkerd.io/inject",
    IstioNativeSidecar = "sidecar.istio.io/nativeSidecar",
    LinkerdNativeSidecar = "config.linkerd.io/proxy-enable-native-sidecar",
    /// The previous name of [`Self::LinkerdNativeSidecar`].
    LinkerdNativeSidecarBeta = "config.beta.linkerd.io/proxy-enable-native-sidecar",
    /// The first name of [`Self::LinkerdNativeSidecar`].
    LinkerdNativeSidecarAlpha = "config.alpha.linkerd.io/proxy-enable-native-sidecar",
}

/// The annotations of one object that are read here.
///
/// As in Go's decoder, a `null` value reads as the empty string, and the last one of a repeated key counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations<'a> {
    is_map: bool,
    entries: Vec<(Annotation, Text<'a>)>,
    /// The keys that no program knows and that may be meant as those of a hook.
    unknown: Vec<Text<'a>>,
}

impl Annotations<'_> {
    pub(crate) fn get(&self, annotation: Annotation) -> Option<&str> {
        let mut entries = self.entries.iter().rev();
        let (_, value) = entries.find(|(found, _)| *found == annotation)?;
        Some(value)
    }

    /// The key that was probably meant as the key of `annotation`.
    pub(crate) fn misspelt(&self, annotation: Annotation) -> Option<&str> {
        let typos = |key: &&Text<'_>| typos(key, annotation.key(), MAX_TYPOS);
        let near = self
            .unknown
            .iter()
            .filter_map(|key| Some((typos(&key)?, key)));
        near.min_by_key(|(typos, _)| *typos).map(|(_, key)| &**key)
    }

    /// Whether the object has a map of annotations, even an empty one, so that one can be added. False if the map is
    /// missing or `null`.
    pub(crate) fn is_map(&self) -> bool {
        self.is_map
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Annotations<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = entries(deserializer, |key| match Annotation::of_key(&key) {
            Some(known) => Some(Ok(known)),
            None => (key.starts_with("helm") || key.contains("hook")).then_some(Err(key)),
        })?;
        let mut read = Self {
            is_map: entries.is_some(),
            ..Self::default()
        };
        for (key, value) in entries.into_iter().flatten() {
            match key {
                Ok(known) => read.entries.push((known, value)),
                Err(unknown) if read.unknown.len() < MAX_UNKNOWN => read.unknown.push(unknown),
                Err(_) => {}
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_asked_for_and_nothing_else() {
        let read = serde_json::from_str::<Annotations<'_>>;
        let found = read(
            r#"{"x": "\"", "z": [1], "helm.sh/hook": "a", "y": null, "helm.sh\/hook-weight": null, "helm.sh/hook": "b"}"#,
        )
        .unwrap();
        assert_eq!(found.get(Annotation::Hook), Some("b"));
        assert_eq!(found.get(Annotation::HookWeight), Some(""));
        assert_eq!(found.get(Annotation::DeletePolicy), None);
        assert!(found.is_map() && !Annotations::default().is_map());
        for wrong in [r#"{"helm.sh/hook": true}"#, "[]", r#"{"x": "#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
