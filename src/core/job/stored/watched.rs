//! A migration Job as the API server sends it: the fields that are read of it.
//!
//! Tenants write most of a Job, and a forged review may hold one as well. So each list and map is reduced to the needed
//! entries while it is parsed. This module does not interpret the fields.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::End;
use crate::core::job::MIGRATION_LABEL;
use crate::core::job::annotation::Annotation;
use crate::core::job::credentials::{self, Secrets};
use crate::core::job::deployer::KUSTOMIZE_NAME;
use crate::core::job::environment::{EnvVar, Environment};
use crate::core::job::object::{self, Fields};
use crate::core::job::release::{CHART, FLUX_NAME, INSTANCE};
use crate::core::job::running::{Counts, Said};
use crate::core::json::{Text, fold, nullable};

/// The finalizer that Argo CD keeps on a hook until its sync is over.
const ARGOCD_FINALIZER: &str = "argocd.argoproj.io/hook-finalizer";
/// The labels that are kept.
const LABELS: [&str; 5] = [INSTANCE, FLUX_NAME, KUSTOMIZE_NAME, CHART, MIGRATION_LABEL];
/// The most containers, words of a command and field managers that are kept.
const MOST: usize = 256;

/// The parts of a Job that are read from a watch.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Read")]
pub struct WatchedJob {
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
    pub(crate) status: Status,
    /// For kube's watcher, which only needs the version.
    version: ObjectMeta,
}

#[derive(Deserialize)]
struct Read {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

impl From<Read> for WatchedJob {
    fn from(read: Read) -> Self {
        let version = ObjectMeta {
            resource_version: Some(read.metadata.resource_version.clone()),
            ..ObjectMeta::default()
        };
        Self {
            metadata: read.metadata,
            spec: read.spec,
            status: read.status,
            version,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) generate_name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) namespace: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) uid: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) resource_version: String,
    pub(crate) creation_timestamp: Option<Time>,
    pub(crate) deletion_timestamp: Option<Time>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) labels: Kept<&'static str>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) annotations: Kept<Annotation>,
    /// Name of the CronJob that is its controller.
    #[serde(
        rename = "ownerReferences",
        default,
        deserialize_with = "Owner::cron_job"
    )]
    pub(crate) cron_job: Option<String>,
    /// Whether Argo CD's finalizer still holds it.
    #[serde(rename = "finalizers", default, deserialize_with = "is_held")]
    pub(crate) is_held: bool,
    #[serde(default, deserialize_with = "ManagedField::all")]
    pub(crate) managed_fields: Managed,
}

/// A key of labels or annotations that is kept.
pub(crate) trait Wanted: Copy + PartialEq {
    /// `None` for any other key.
    fn of(key: &str) -> Option<Self>;
}

impl Wanted for &'static str {
    fn of(key: &str) -> Option<Self> {
        LABELS.into_iter().find(|label| *label == key)
    }
}

impl Wanted for Annotation {
    fn of(key: &str) -> Option<Self> {
        Self::of_key(key)
    }
}

/// The labels or annotations that are kept. If a key is repeated, the last one counts.
#[derive(Clone, Debug)]
pub(crate) struct Kept<K>(Vec<(K, String)>);

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Wanted> Kept<K> {
    pub(crate) fn get(&self, key: K) -> Option<&str> {
        let found = self.0.iter().find(|(kept, _)| *kept == key);
        found.map(|(_, value)| &**value)
    }
}

impl Kept<&'static str> {
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(kept, _)| *kept == key)
    }
}

impl<'de, K: Wanted> Deserialize<'de> for Kept<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeptVisitor<K>(PhantomData<K>);
        impl<'de, K: Wanted> Visitor<'de> for KeptVisitor<K> {
            type Value = Kept<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut kept = Kept::default();
                while let Some(key) = map.next_key_seed(KeyOf(PhantomData))? {
                    let Some(key) = key else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let value: Option<String> = map.next_value()?;
                    kept.0.retain(|(former, _)| *former != key);
                    kept.0.push((key, value.unwrap_or_default()));
                }
                Ok(kept)
            }
        }
        deserializer.deserialize_map(KeptVisitor(PhantomData))
    }
}

/// Reads a key without a copy of it.
struct KeyOf<K>(PhantomData<K>);

impl<'de, K: Wanted> DeserializeSeed<'de> for KeyOf<K> {
    type Value = Option<K>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<K>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<K: Wanted> Visitor<'_> for KeyOf<K> {
    type Value = Option<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<K>, E> {
        Ok(K::of(key))
    }
}

#[derive(Deserialize)]
struct Owner {
    #[serde(default, deserialize_with = "nullable")]
    kind: String,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    controller: bool,
}

impl Owner {
    fn cron_job<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
        fold(deserializer, |found: &mut Option<String>, owner: Self| {
            if found.is_none() && owner.controller && owner.kind == "CronJob" {
                *found = Some(owner.name);
            }
        })
    }
}

fn is_held<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    fold(deserializer, |is_held: &mut bool, finalizer: String| {
        *is_held |= finalizer == ARGOCD_FINALIZER;
    })
}

/// The facts from `managedFields`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Managed {
    managers: Vec<String>,
    has_fields: bool,
    has_a_stamp: bool,
}

impl Managed {
    /// The field managers that set fields, except those of the status.
    pub(crate) fn managers(&self) -> impl Iterator<Item = &str> + Clone {
        self.managers.iter().map(String::as_str)
    }

    /// Whether a client may have set a stamp: fields that webhooks set have no field manager. If no fields are listed
    /// at all, a client has wiped them.
    pub(crate) fn may_have_a_stamp(&self) -> bool {
        self.has_a_stamp || !self.has_fields
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManagedField {
    manager: Option<String>,
    subresource: Option<String>,
    fields_v1: Option<Fields>,
}

impl ManagedField {
    fn all<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Managed, D::Error> {
        fold(deserializer, |all: &mut Managed, field: Self| {
            if let Some(fields) = field.fields_v1 {
                all.has_fields = true;
                all.has_a_stamp |= fields.hold_a_stamp();
            }
            if field.subresource.is_none() && all.managers.len() < MOST {
                all.managers.extend(field.manager);
            }
        })
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    pub(crate) active_deadline_seconds: Option<i64>,
    pub(crate) managed_by: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) suspend: bool,
    #[serde(default)]
    pub(crate) template: Template,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Template {
    #[serde(default)]
    pub(crate) metadata: TemplateMeta,
    #[serde(default)]
    pub(crate) spec: PodSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct TemplateMeta {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) labels: Kept<&'static str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSpec {
    #[serde(default, deserialize_with = "first")]
    pub(crate) init_containers: Vec<Container>,
    #[serde(default, deserialize_with = "first")]
    pub(crate) containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Container {
    #[serde(default)]
    pub(crate) image: String,
    #[serde(default, deserialize_with = "first")]
    pub(crate) command: Vec<String>,
    #[serde(default, deserialize_with = "first")]
    pub(crate) args: Vec<String>,
    /// The variables that may hold a password.
    #[serde(default, deserialize_with = "Variable::suspects")]
    env: Vec<Variable>,
}

#[derive(Clone, Debug, Deserialize)]
struct Variable {
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    value: String,
}

impl Variable {
    fn suspects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Self>, D::Error> {
        fold(deserializer, |suspects: &mut Vec<Self>, next: Self| {
            let is_suspect =
                credentials::is_key(&next.name) || credentials::may_hold_any(&next.value);
            if is_suspect && suspects.len() < MOST {
                suspects.push(next);
            }
        })
    }
}

impl Container {
    /// The parts of it that may hold a password.
    fn suspect(&self) -> object::Container<'_> {
        fn texts(words: &[String]) -> Vec<Text<'_>> {
            words.iter().map(|word| text(word)).collect()
        }
        let env = self.env.iter().enumerate().map(|(index, variable)| {
            let (name, value) = (text(&variable.name), text(&variable.value));
            (index, EnvVar { name, value })
        });
        object::Container {
            command: texts(&self.command),
            args: texts(&self.args),
            env: Environment(env.collect()),
            ..object::Container::default()
        }
    }
}

fn text(text: &str) -> Text<'_> {
    Text(Cow::Borrowed(text))
}

/// Parses the beginning of a list and skips the rest.
fn first<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    fold(deserializer, |list: &mut Vec<T>, next| {
        if list.len() < MOST {
            list.push(next);
        }
    })
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) start_time: Option<Time>,
    active: Option<i64>,
    ready: Option<i64>,
    terminating: Option<i64>,
    succeeded: Option<i64>,
    failed: Option<i64>,
    #[serde(default, deserialize_with = "Condition::last")]
    conditions: Conditions,
}

/// The first condition of each type that ends a Job.
#[derive(Clone, Debug, Default)]
struct Conditions {
    complete: Option<Condition>,
    failed: Option<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    last_transition_time: Option<Time>,
    reason: Option<String>,
    message: Option<String>,
}

impl Condition {
    fn last<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Conditions, D::Error> {
        fold(deserializer, |last: &mut Conditions, condition: Self| {
            let kind = match &*condition.r#type {
                "Complete" => &mut last.complete,
                "Failed" => &mut last.failed,
                _ => return,
            };
            if condition.status == "True" && kind.is_none() {
                *kind = Some(condition);
            }
        })
    }
}

impl WatchedJob {
    /// The passwords that are written into it.
    pub(crate) fn secrets(&self) -> Secrets {
        let pod = &self.spec.template.spec;
        let containers = pod.init_containers.iter().chain(&pod.containers);
        let suspects: Vec<_> = containers.map(Container::suspect).collect();
        let suspects = suspects.iter().enumerate();
        Secrets::of(&credentials::find_in(
            suspects.map(|(index, c)| ("", index, c)),
        ))
    }
}

impl Resource for WatchedJob {
    type DynamicType = ();
    type Scope = <batch::Job as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        batch::Job::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        batch::Job::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        batch::Job::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        batch::Job::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.version
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.version
    }
}

impl Status {
    /// The condition it ended with, and whether it succeeded. Only the final conditions count: before them pods may
    /// still be running.
    fn last(&self) -> Option<(&Condition, bool)> {
        let Conditions { complete, failed } = &self.conditions;
        let good = complete.as_ref().map(|condition| (condition, true));
        good.or_else(|| Some((failed.as_ref()?, false)))
    }

    /// Whether it has succeeded or failed.
    pub(crate) fn has_ended(&self) -> bool {
        self.last().is_some()
    }

    pub(super) fn said(&self, managed_by: Option<&str>) -> Said {
        if self.last().is_some() {
            return Said::Idle;
        }
        let counts = Counts {
            active: self.active.unwrap_or_default(),
            ready: self.ready,
            terminating: self.terminating.unwrap_or_default(),
        };
        counts.say(managed_by)
    }

    pub(super) fn has_tried(&self) -> bool {
        [self.succeeded, self.failed]
            .iter()
            .flatten()
            .any(|n| *n > 0)
    }

    pub(super) fn end(&self) -> Option<End> {
        let (condition, succeeded) = self.last()?;
        // The API server always sets a time. A Job without one counts as not ended, so that it is left alone.
        let at = condition.last_transition_time.as_ref()?.0;
        Some(End { at, succeeded })
    }

    /// Reason and message of the condition it ended with.
    pub(crate) fn last_words(&self) -> (Option<&str>, Option<&str>) {
        let last = self.last().map(|(condition, _)| condition);
        (
            last.and_then(|condition| condition.reason.as_deref()),
            last.and_then(|condition| condition.message.as_deref()),
        )
    }
}
