use super::*;
use crate::core::policy_file::validate::{builtin, read};

fn policy(text: &str) -> Policy {
    let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
    read("policy.yaml", &format!("{head}{text}")).unwrap()
}

/// `name: actions: rules` of each policy and its binding.
fn outline(policy: &Policy, actions: &[ValidationAction]) -> Vec<String> {
    let settings = Settings {
        actions: actions.to_vec(),
        ..Settings::default()
    };
    let manifests = manifests(policy, &settings);
    let pairs = manifests.chunks(2).map(|pair| {
        let [policy, binding] = pair else {
            panic!("a policy has a binding")
        };
        let name = policy["metadata"]["name"].as_str().unwrap();
        assert_eq!(binding["metadata"]["name"], name);
        assert_eq!(binding["spec"]["policyName"], name);
        let validations = policy["spec"]["validations"].as_array().unwrap().iter();
        let ids = validations.map(|v| &v["message"].as_str().unwrap()[2..5]);
        let ids: Vec<_> = ids.collect();
        format!(
            "{name}: {}: {}",
            binding["spec"]["validationActions"],
            ids.join(" ")
        )
    });
    pairs.collect()
}

#[test]
fn a_rule_is_never_held_more_strictly_than_by_the_webhook() {
    use ValidationAction::{Audit, Deny, Warn};
    assert_eq!(
        outline(&builtin(), &[Deny, Audit]),
        [
            r#"migration-warden: ["Deny","Audit"]: 001 002 003 004 013 015 024"#,
            r#"migration-warden-warn: ["Warn","Audit"]: 005 006 007 008 009 012 014 016 017 018"#,
            r#"migration-warden-audit: ["Audit"]: 011 021 023"#,
        ]
    );
    assert_eq!(
        outline(&builtin(), &[Warn]),
        [
            r#"migration-warden: ["Warn"]: 001 002 003 004 013 015 024"#,
            r#"migration-warden-warn: ["Warn"]: 005 006 007 008 009 012 014 016 017 018"#,
            r#"migration-warden-audit: ["Audit"]: 011 021 023"#,
        ]
    );
    // A rule with `patch` is denied if the Job was not patched.
    let few = "profile: audit\nrules: {restarting-pod: patch, untimestamped-name: off}\n";
    assert_eq!(
        outline(&policy(few), &[Deny]),
        [
            r#"migration-warden: ["Deny"]: 004"#,
            r#"migration-warden-audit: ["Audit"]: 002 003 005 006 007 008 009 011 012 013 014 015 016 017 018 021 023 024"#,
        ]
    );
}

#[test]
fn holds_what_it_uses_and_no_more() {
    let only = |rules: &str| {
        let rules: Vec<String> = RULES
            .iter()
            .map(|rule| {
                let action = if rules.contains(rule.name) {
                    "deny"
                } else {
                    "off"
                };
                format!("  {}: {action}", rule.name)
            })
            .collect();
        let manifests = manifests(
            &policy(&format!("rules:\n{}\n", rules.join("\n"))),
            &Settings::default(),
        );
        assert_eq!(manifests.len(), 2);
        let variables = manifests[0]["spec"]["variables"]
            .as_array()
            .unwrap()
            .clone();
        let names = variables
            .iter()
            .map(|v| v["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(only("restarting-pod"), ["mode"]);
    assert_eq!(only("stale-timestamp"), ["mode", "names", "stamp", "time"]);
    assert_eq!(
        only("unknown-hook-event"),
        ["mode", "managers", "runsHooks", "hook"]
    );
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
    assert_eq!(
        mode(&policy(written)),
        r"namespaceObject.metadata.?labels[?'migration-warden.io/mode'].optMap(v, v in ['warn', 'audit', 'off'] ? v : 'enforce').orValue(request.namespace.matches('^sandbox\\-.*$') || request.namespace.matches('^x$') ? 'audit' : request.namespace.matches('^.*$') ? 'warn' : 'enforce')"
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
