//! The annotations that are read here, and their values in one object.
//!
//! An object may carry a megabyte of others; they are skipped. This module does not interpret values.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::core::json::{Text, entry};

macro_rules! annotations {
    ($($(#[doc = $doc:literal])+ $name:ident = $key:literal,)+) => {
        /// An annotation that is read here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Annotation {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Annotation {
            /// Its key.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)+
                }
            }

            pub(crate) fn of_key(key: &str) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

annotations! {
    /// Names hook events.
    Hook = "helm.sh/hook",
    /// Says when Helm deletes a hook.
    DeletePolicy = "helm.sh/hook-delete-policy",
    /// Says when Helm prints the log of a hook's pods.
    HookOutputLogPolicy = "helm.sh/hook-output-log-policy",
    /// Orders the hooks of one event.
    HookWeight = "helm.sh/hook-weight",
    /// Argo CD's own hook annotation: names the sync phase.
    ArgoCdHook = "argocd.argoproj.io/hook",
    /// Argo CD's own delete policy for hooks.
    ArgoCdDeletePolicy = "argocd.argoproj.io/hook-delete-policy",
    /// By this Argo CD tracks its objects: `APP:batch/Job:NAMESPACE/NAME`.
    ArgoCdTrackingId = "argocd.argoproj.io/tracking-id",
    /// Ours: the rules whose findings were patched here, by id.
    Patched = "migration-warden.io/patched",
    /// The manifest that `kubectl apply` compares the object with.
    LastApplied = "kubectl.kubernetes.io/last-applied-configuration",
    /// Kubernetes' own: a person created the Job from a CronJob.
    StartedByHand = "cronjob.kubernetes.io/instantiate",
    /// The database that is migrated, where several releases share one.
    Database = "migration-warden.io/database",
    /// Whether the Job may be deleted while its pod runs.
    AllowDelete = "migration-warden.io/allow-delete",
    /// Ours: the id of the decision that admitted the Job.
    Decision = "migration-warden.io/decision",
    /// Ours: the user who requested the Job.
    RequestedBy = "migration-warden.io/requested-by",
    /// Ours: the exceptions that it needed to be admitted.
    Exceptions = "migration-warden.io/exceptions",
    /// Whether the cluster autoscaler may evict the pod.
    SafeToEvict = "cluster-autoscaler.kubernetes.io/safe-to-evict",
    /// Whether Karpenter leaves the pod alone.
    DoNotDisrupt = "karpenter.sh/do-not-disrupt",
    /// Whether Istio injects a sidecar into the pod.
    IstioInject = "sidecar.istio.io/inject",
    /// Whether Linkerd injects a sidecar into the pod.
    LinkerdInject = "linkerd.io/inject",
    /// Whether Istio's sidecar is a restartable init container.
    IstioNativeSidecar = "sidecar.istio.io/nativeSidecar",
    /// Whether Linkerd's sidecar is a restartable init container.
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
pub struct Annotations<'a> {
    is_map: bool,
    entries: Vec<(Annotation, Text<'a>)>,
}

impl Annotations<'_> {
    /// The value of `annotation`, if the object has it.
    #[must_use]
    pub fn get(&self, annotation: Annotation) -> Option<&str> {
        let mut entries = self.entries.iter().rev();
        let (_, value) = entries.find(|(found, _)| *found == annotation)?;
        Some(value)
    }

    /// Whether the object has a map of annotations, even an empty one, so that one can be added. False if the map is
    /// missing or `null`.
    #[must_use]
    pub fn is_map(&self) -> bool {
        self.is_map
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Annotations<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnnotationsVisitor;
        impl<'de> Visitor<'de> for AnnotationsVisitor {
            type Value = Annotations<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    if let Some(annotation) = key {
                        let value: Option<Text<'de>> = map.next_value()?;
                        entry()?;
                        entries.push((annotation, value.unwrap_or_default()));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Annotations {
                    is_map: true,
                    entries,
                })
            }
        }
        deserializer.deserialize_map(AnnotationsVisitor)
    }
}

struct Key(Option<Annotation>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(Annotation::of_key(key)))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
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
