//! Tests of what is compared and patched.

use super::*;
use crate::core::policy_file::validate;
use crate::testing::POLICY;
use jiff::SignedDuration;

const ADOPTING: &str = "adopt: [{name: a, match: {names: [a-*]}}]\n";
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

/// What the chart registers for this policy in both configurations, each condition in an entry of its own.
fn installed(policy: &Policy) -> Vec<Entry> {
    let selectors = policy.selectors.as_written();
    let object = "object";
    let always = [
        (
            "validate",
            cel::MIGRATION,
            cel::migration(object, selectors),
        ),
        (
            "detect",
            cel::NOT_A_MIGRATION,
            cel::not_a_migration(object, selectors),
        ),
        (
            "guard",
            webhook_config::GUARDED,
            webhook_config::guarded(selectors),
        ),
        (
            "adopted",
            cel::UNLABELLED,
            cel::unlabelled(object, selectors),
        ),
    ];
    let adoption = policy.adoption_conditions().into_iter().flatten();
    let adoption = adoption.map(|(condition, expression)| (condition, condition, expression));
    let all = always.into_iter().chain(adoption);
    all.map(|(name, condition, expression)| entry(name, condition, &expression))
        .collect()
}

fn told(entries: Option<&[Entry]>, policy: &Policy) -> Option<String> {
    fault(Kind::Mutating, "mw", entries, policy)
}

#[test]
fn what_the_chart_registers_agrees() {
    for policy in [policy(""), policy(LABELLED), policy(ADOPTING)] {
        assert_eq!(told(Some(&installed(&policy)), &policy), None);
    }
    // Without detection, the chart leaves out its entry.
    let policy = policy("");
    assert_eq!(told(Some(&installed(&policy)[..1]), &policy), None);
}

#[test]
fn other_selectors_disagree() {
    let (old, new) = (
        policy("adopt: [{name: a, match: {names: [b-*]}}]\n"),
        policy(&format!("{LABELLED}{ADOPTING}")),
    );
    for (index, Entry { name, .. }) in installed(&new).into_iter().enumerate() {
        let mut entries = installed(&new);
        entries[index] = installed(&old)[index].clone();
        let fault = format!(
            "the entry {name} of the MutatingWebhookConfiguration mw selects other Jobs than the policy in \
             use: change the policy in the chart's values, and upgrade the chart"
        );
        assert_eq!(told(Some(&entries), &new), Some(fault));
    }
}

/// Only the mutating phase adopts.
#[test]
fn what_an_entry_adopts_has_to_be_sent() {
    let (adopting, not) = (policy(ADOPTING), policy(""));
    let entries = installed(&not);
    assert_eq!(
        told(Some(&entries), &adopting).unwrap(),
        "no entry of the MutatingWebhookConfiguration mw has the match condition \"adopted\": install the chart again"
    );
    assert_eq!(
        fault(Kind::Validating, "mw", Some(&entries), &adopting),
        None
    );
    assert!(told(Some(&installed(&adopting)), &not).is_some());
}

#[test]
fn without_detection_only_what_opted_out_is_sent_besides() {
    let (detecting, not) = (policy(""), policy("detection: {maxAction: off}\n"));
    let mut entries = installed(&detecting);
    assert_eq!(told(Some(&entries), &not), None);
    entries[1] = entry("detect", cel::ONLY_OPTED_OUT, &cel::opted_out("object"));
    assert_eq!(told(Some(&entries), &not), None);
    for policy in [
        detecting,
        policy("detection: {maxAction: off}\nadopt: [{name: a, match: {tools: [rails]}}]\n"),
    ] {
        let fault = told(Some(&entries), &policy).unwrap();
        assert!(fault.contains("entry detect"), "{fault}");
    }
}

#[test]
fn nothing_that_asks_for_migrations_is_told() {
    let policy = policy("");
    assert_eq!(
        told(None, &policy).unwrap(),
        "there is no MutatingWebhookConfiguration mw, so no Job is sent; install the chart again"
    );
    assert_eq!(
        told(Some(&installed(&policy)[1..]), &policy).unwrap(),
        "no entry of the MutatingWebhookConfiguration mw has the match condition \"migration\": \
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
