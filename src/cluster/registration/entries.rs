//! The actual and the wanted contents of a webhook configuration. Pure.

use std::fmt::Debug;

use jiff::Timestamp;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation, jsonptr::PointerBuf};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
    WebhookClientConfig,
};
use kube::Resource;
use serde::de::DeserializeOwned;

use crate::core::guard::webhook_config;
use crate::core::pki::rotation;
use crate::core::policy::{Action, Policy, cel};

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
    let selectors = policy.selectors.as_written();
    let migration = cel::migration("object", selectors);
    let rest = cel::not_a_migration("object", selectors);
    let guarded = webhook_config::guarded(selectors);
    let detects = policy.detection != Action::Off;
    let other = entries.iter().find(|entry| {
        let differs = |condition, expected: &str| {
            entry
                .condition(condition)
                .is_some_and(|found| found != expected)
        };
        // An entry that selects more than the policy needs is harmless.
        let misses = detects && entry.condition(cel::ONLY_OPTED_OUT).is_some();
        differs(cel::MIGRATION, &migration)
            || differs(webhook_config::GUARDED, &guarded)
            || detects && differs(cel::NOT_A_MIGRATION, &rest)
            || misses
    });
    if let Some(Entry { name: entry, .. }) = other {
        return Some(format!(
            "the entry {entry} of the {of} selects other Jobs than the policy in use: \
             change the policy in the chart's values, and upgrade the chart"
        ));
    }
    let asked = entries
        .iter()
        .any(|entry| entry.condition(cel::MIGRATION).is_some());
    (!asked).then(|| {
        format!(
            "no entry of the {of} has the match condition \"{}\": install the chart again",
            cel::MIGRATION
        )
    })
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
mod tests {
    use super::*;
    use crate::core::policy_file::validate;
    use crate::testing::POLICY;
    use jiff::SignedDuration;

    const LABELLED: &str = "match: {selectors: [{matchLabels: {a: b}}]}\n";

    fn policy(rest: &str) -> Policy {
        validate::read("p.yaml", &format!("{POLICY}{rest}")).unwrap()
    }

    fn entry(name: &str, condition: &str, expression: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            ca_bundle: Vec::new(),
            conditions: vec![(condition.to_owned(), expression.to_owned())],
        }
    }

    fn installed(policy: &Policy) -> Vec<Entry> {
        let selectors = policy.selectors.as_written();
        let rest = cel::not_a_migration("object", selectors);
        vec![
            entry(
                "validate",
                cel::MIGRATION,
                &cel::migration("object", selectors),
            ),
            entry("detect", cel::NOT_A_MIGRATION, &rest),
            entry(
                "guard",
                webhook_config::GUARDED,
                &webhook_config::guarded(selectors),
            ),
        ]
    }

    fn told(entries: Option<&[Entry]>, policy: &Policy) -> Option<String> {
        fault(Kind::Validating, "mw", entries, policy)
    }

    #[test]
    fn what_the_chart_registers_agrees() {
        for policy in [policy(""), policy(LABELLED)] {
            assert_eq!(told(Some(&installed(&policy)), &policy), None);
            // Without detection, the chart leaves out its entry.
            assert_eq!(told(Some(&installed(&policy)[..1]), &policy), None);
        }
    }

    #[test]
    fn other_selectors_disagree() {
        let (old, new) = (policy(""), policy(LABELLED));
        for (index, name) in ["validate", "detect", "guard"].into_iter().enumerate() {
            let mut entries = installed(&new);
            entries[index] = installed(&old)[index].clone();
            let fault = format!(
                "the entry {name} of the ValidatingWebhookConfiguration mw selects other Jobs than the policy in \
                 use: change the policy in the chart's values, and upgrade the chart"
            );
            assert_eq!(told(Some(&entries), &new), Some(fault));
        }
    }

    #[test]
    fn without_detection_only_what_opted_out_is_sent_besides() {
        let (detecting, not) = (policy(""), policy("detection: {maxAction: off}\n"));
        let mut entries = installed(&detecting);
        assert_eq!(told(Some(&entries), &not), None);
        entries[1] = entry("detect", cel::ONLY_OPTED_OUT, &cel::opted_out("object"));
        assert_eq!(told(Some(&entries), &not), None);
        let fault = told(Some(&entries), &detecting).unwrap();
        assert!(fault.contains("entry detect"), "{fault}");
    }

    #[test]
    fn nothing_that_asks_for_migrations_is_told() {
        let policy = policy("");
        assert_eq!(
            told(None, &policy).unwrap(),
            "there is no ValidatingWebhookConfiguration mw, so no Job is sent; install the chart again"
        );
        assert_eq!(
            told(Some(&installed(&policy)[1..]), &policy).unwrap(),
            "no entry of the ValidatingWebhookConfiguration mw has the match condition \"migration\": \
             install the chart again"
        );
    }

    #[test]
    fn a_bundle_is_written_once_and_keeps_its_predecessor() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let names = ["mw.mw.svc".to_owned()];
        let made = |at| {
            let kept = rotation::Material::default().renewed(&names, at);
            kept.unwrap().unwrap().ca_certs
        };
        let (old, new) = (made(now), made(now));
        let mut entries = vec![entry("validate", "c", "x"), entry("detect", "c", "y")];
        entries[1].ca_bundle = old.clone().into_bytes();
        let patch = trusting(&entries, &new, now).unwrap();
        let told = serde_json::to_value(&patch).unwrap();
        assert_eq!(told[0]["op"], "test");
        assert_eq!(told[0]["path"], "/webhooks/0/name");
        assert_eq!(told[0]["value"], "validate");
        assert_eq!(told[1]["op"], "add");
        assert_eq!(told[1]["path"], "/webhooks/0/clientConfig/caBundle");
        let bundle = |operation: usize| {
            let value = told[operation]["value"].clone();
            let bytes: ByteString = serde_json::from_value(value).unwrap();
            String::from_utf8(bytes.0).unwrap()
        };
        assert_eq!(bundle(1), new);
        assert_eq!(bundle(3), format!("{new}{old}"));
        for (entry, operation) in entries.iter_mut().zip([1, 3]) {
            entry.ca_bundle = bundle(operation).into_bytes();
        }
        assert!(trusting(&entries, &new, now).is_none());
        // Until it expires.
        let later = now + SignedDuration::from_hours(366 * 24);
        let newer = made(later);
        let told = serde_json::to_value(trusting(&entries, &newer, later)).unwrap();
        let bytes: ByteString = serde_json::from_value(told[1]["value"].clone()).unwrap();
        assert_eq!(String::from_utf8(bytes.0).unwrap(), newer);
    }
}
