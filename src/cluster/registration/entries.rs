//! The actual and the wanted contents of a webhook configuration. Pure.

use std::fmt::Debug;

use jiff::Timestamp;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation, jsonptr::PointerBuf};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
    WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use serde::de::DeserializeOwned;

use crate::core::guard::webhook_config;
use crate::core::pki::rotation;
use crate::core::policy::{Policy, cel};

/// One of the two configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
pub(super) enum Kind {
    #[strum(serialize = "ValidatingWebhookConfiguration")]
    Validating,
    #[strum(serialize = "MutatingWebhookConfiguration")]
    Mutating,
}

impl Kind {
    /// Its name in Kubernetes.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }
}

/// The parts of one entry that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    name: String,
    ca_bundle: Vec<u8>,
    /// Name and expression of each match condition.
    conditions: Vec<(String, String)>,
}

impl Entry {
    fn new(
        name: String,
        client: WebhookClientConfig,
        conditions: Option<Vec<MatchCondition>>,
    ) -> Self {
        let conditions = conditions.into_iter().flatten();
        Self {
            name,
            ca_bundle: client.ca_bundle.unwrap_or_default().0,
            conditions: conditions.map(|c| (c.name, c.expression)).collect(),
        }
    }

    fn condition(&self, name: &str) -> Option<&str> {
        let mut conditions = self.conditions.iter();
        conditions.find_map(|(found, expression)| (found == name).then_some(&**expression))
    }
}

/// A configuration of either kind.
pub(super) trait Configuration:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static
{
    const KIND: Kind;
    /// Its entries, reduced to the parts that are read.
    fn entries(self) -> Vec<Entry>;
}

impl Configuration for ValidatingWebhookConfiguration {
    const KIND: Kind = Kind::Validating;

    fn entries(self) -> Vec<Entry> {
        let entries = self.webhooks.into_iter().flatten();
        let entries = entries.map(|w| Entry::new(w.name, w.client_config, w.match_conditions));
        entries.collect()
    }
}

impl Configuration for MutatingWebhookConfiguration {
    const KIND: Kind = Kind::Mutating;

    fn entries(self) -> Vec<Entry> {
        let entries = self.webhooks.into_iter().flatten();
        let entries = entries.map(|w| Entry::new(w.name, w.client_config, w.match_conditions));
        entries.collect()
    }
}

/// Why the API server may not send all Jobs that the policy considers migrations; `None` if it does.
pub(super) fn fault(
    kind: Kind,
    name: &str,
    entries: Option<&[Entry]>,
    policy: &Policy,
) -> Option<String> {
    let of = format!("{} {name}", kind.name());
    let Some(entries) = entries else {
        return Some(format!(
            "there is no {of}, so no Job is sent; install the chart again"
        ));
    };
    let expected = expected(policy);
    // Without detection only what opted out is sent besides, and no entry of `adopt` with tools finds a Job.
    let detects = policy.needs_detection();
    let other = entries.iter().find(|entry| {
        let differs = |(condition, expected): &(&str, Option<String>)| {
            let found = entry.condition(condition);
            found.is_some() && found != expected.as_deref()
        };
        // An entry that selects more than the policy needs is harmless.
        let of_the_rest = |condition: &str| condition == cel::NOT_A_MIGRATION;
        let mut expected = expected.iter();
        expected.any(|of| differs(of) && (detects || !of_the_rest(of.0)))
            || detects && entry.condition(cel::ONLY_OPTED_OUT).is_some()
    });
    if let Some(Entry { name: entry, .. }) = other {
        return Some(format!(
            "the entry {entry} of the {of} selects other Jobs than the policy in use: \
             change the policy in the chart's values, and upgrade the chart"
        ));
    }
    let is_absent = |wanted: &&str| {
        let mut entries = entries.iter();
        !entries.any(|entry| entry.condition(wanted).is_some())
    };
    let adopts = kind == Kind::Mutating && policy.adoption_conditions().is_some();
    let mut needed = [cel::MIGRATION]
        .into_iter()
        .chain(adopts.then_some(cel::ADOPTED));
    let missing = needed.find(is_absent)?;
    Some(format!(
        "no entry of the {of} has the match condition \"{missing}\": install the chart again"
    ))
}

/// The conditions that depend on the policy, each with its expression; `None` if the policy needs none.
fn expected(policy: &Policy) -> [(&'static str, Option<String>); 6] {
    let selectors = policy.selectors.as_written();
    let (adopted, not_adopted) = policy
        .adoption_conditions()
        .map(|[(_, adopted), (_, not)]| (adopted, not))
        .unzip();
    let of =
        |expression: fn(&str, &[LabelSelector]) -> String| Some(expression("object", selectors));
    [
        (cel::MIGRATION, of(cel::migration)),
        (cel::NOT_A_MIGRATION, of(cel::not_a_migration)),
        (cel::UNLABELLED, of(cel::unlabelled)),
        (
            webhook_config::GUARDED,
            Some(webhook_config::guarded(selectors)),
        ),
        (cel::ADOPTED, adopted),
        (cel::NOT_ADOPTED, not_adopted),
    ]
}

/// The patch with which every entry trusts the CAs in `bundle`; `None` if all do.
pub(super) fn trusting(entries: &[Entry], bundle: &str, now: Timestamp) -> Option<Patch> {
    let mut operations = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let Some(wanted) = rotation::trusting(bundle, &entry.ca_bundle, now) else {
            continue;
        };
        let index = index.to_string();
        let at = |field: &[&str]| {
            PointerBuf::from_tokens(
                ["webhooks", &index]
                    .into_iter()
                    .chain(field.iter().copied()),
            )
        };
        // The entry at this index may have changed.
        operations.push(PatchOperation::Test(TestOperation {
            path: at(&["name"]),
            value: entry.name.clone().into(),
        }));
        operations.push(PatchOperation::Add(AddOperation {
            path: at(&["clientConfig", "caBundle"]),
            value: serde_json::to_value(ByteString(wanted.into_bytes())).ok()?,
        }));
    }
    (!operations.is_empty()).then_some(Patch(operations))
}

#[cfg(test)]
mod tests;
