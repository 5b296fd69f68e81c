use super::*;
use crate::core::policy::testing::policy;

/// `name: actions: rules` of each policy and its binding.
fn outline(text: &str, actions: &[ValidationAction]) -> Vec<String> {
    let settings = Settings {
        actions: actions.to_vec(),
        ..Settings::default()
    };
    let manifests = manifests(&policy(text), &settings);
    let (pairs, rest) = manifests.as_chunks();
    assert!(rest.is_empty());
    let outline = |[policy, binding]: &[Value; 2]| {
        let name = policy["metadata"]["name"].as_str().unwrap();
        let names = [&binding["metadata"]["name"], &binding["spec"]["policyName"]];
        assert_eq!(names, [name; 2]);
        let validations = policy["spec"]["validations"].as_array().unwrap().iter();
        let ids: Vec<_> = validations
            .map(|validation| &validation["message"].as_str().unwrap()[2..5])
            .collect();
        format!(
            "{name}: {}: {}",
            binding["spec"]["validationActions"],
            ids.join(" ")
        )
    };
    pairs.iter().map(outline).collect()
}

#[test]
fn a_rule_is_never_held_more_strictly_than_by_the_webhook() {
    use ValidationAction::{Audit, Deny, Warn};
    let warned = "005 006 007 008 009 012 014 016 017 018";
    for (actions, denied, warns) in [
        (
            &[Deny, Audit][..],
            r#"["Deny","Audit"]"#,
            r#"["Warn","Audit"]"#,
        ),
        (&[Warn], r#"["Warn"]"#, r#"["Warn"]"#),
    ] {
        let expected = [
            format!("migration-warden: {denied}: 001 002 003 004 013 015 024"),
            format!("migration-warden-warn: {warns}: {warned}"),
            r#"migration-warden-audit: ["Audit"]: 011 021 023"#.to_owned(),
        ];
        assert_eq!(outline("", actions), expected);
    }
    // A rule with `patch` is denied if the Job was not patched.
    let few = "profile: audit\nrules: {restarting-pod: patch, untimestamped-name: off}\n";
    let audited = "002 003 005 006 007 008 009 011 012 013 014 015 016 017 018 021 023 024";
    let expected = [
        r#"migration-warden: ["Deny"]: 004"#.to_owned(),
        format!(r#"migration-warden-audit: ["Audit"]: {audited}"#),
    ];
    assert_eq!(outline(few, &[Deny]), expected);
}

#[test]
fn judges_jobs_of_the_entries_whose_rules_are_enforced() {
    let condition = |text: &str| {
        let manifests = manifests(&policy(text), &Settings::default());
        let condition = &manifests[0]["spec"]["matchConditions"][1]["expression"];
        condition.as_str().unwrap().to_owned()
    };
    let audited = "adopt: [{name: a, match: {names: [a]}}]\n";
    assert_eq!(condition(audited), condition(""));
    let enforced = "adopt: [{name: a, match: {names: [a]}}, {name: b, rules: enforce, match: {tools: [rails]}}]\n";
    let label = "object.metadata.?labels[?'migration-warden.io/adopted'].optMap(v, v in ['b']).orValue(false)";
    let migration = condition("");
    let labelled = migration.strip_suffix(')').unwrap();
    assert_eq!(condition(enforced), format!("{labelled} || {label})"));
}

#[test]
fn holds_what_it_uses_and_no_more() {
    for (only, names) in [
        ("restarting-pod", &["mode"][..]),
        ("stale-timestamp", &["mode", "names", "stamp", "time"]),
        (
            "unknown-hook-event",
            &["mode", "managers", "runsHooks", "hook"],
        ),
    ] {
        let mut policy = policy("");
        let action = |is_it| if is_it { Action::Deny } else { Action::Off };
        policy.actions = RULES.map(|rule| action(rule.name == only));
        let manifests = manifests(&policy, &Settings::default());
        assert_eq!(manifests.len(), 2);
        let variables = manifests[0]["spec"]["variables"].as_array().unwrap().iter();
        let found: Vec<_> = variables.map(|v| v["name"].as_str().unwrap()).collect();
        assert_eq!(found, names);
    }
}

#[test]
fn a_message_says_what_to_write_instead() {
    let only = policy("profile: audit\nrules: {parallel-migration: deny}\n");
    let manifests = manifests(&only, &Settings::default());
    assert_eq!(
        manifests[0]["spec"]["validations"][0],
        json!({
            "expression": "variables.mode in ['warn', 'audit', 'off'] || (object.spec.?parallelism.orValue(1) <= 1)",
            "message": "MW008 parallel-migration: several pods run at once; write parallelism: 1",
            "reason": "Forbidden",
        })
    );
}

#[test]
fn the_label_wins_over_the_policy_and_its_first_entry_over_the_others() {
    let written =
        "namespaces:\n  - {names: [sandbox-*, x], mode: audit}\n  - {names: ['*'], mode: warn}\n";
    let label = "namespaceObject.metadata.?labels[?'migration-warden.io/mode']\
                 .optMap(v, v in ['warn', 'audit', 'off'] ? v : 'enforce')";
    let entries = r"request.namespace.matches('^sandbox\\-.*$') || request.namespace.matches('^x$') ? 'audit' : request.namespace.matches('^.*$') ? 'warn' : 'enforce'";
    assert_eq!(
        mode(&policy(written)),
        format!("{label}.orValue({entries})")
    );
}

#[test]
fn the_same_policy_gives_the_same_text_and_yaml_that_means_it() {
    let made = manifests(&policy("profile: strict\n"), &Settings::default());
    let text = crate::core::generate::yaml(&made).unwrap();
    assert_eq!(text, crate::core::generate::yaml(&made).unwrap());
    let read: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    assert_eq!(read, made);
}
