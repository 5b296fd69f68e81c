//! Tests of valid and invalid policy files, with exact messages.

use super::*;
use crate::core::policy::Mode;

const HEAD: &str = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";

fn faults(rest: &str) -> Vec<String> {
    match read("policy.yaml", &format!("{HEAD}{rest}")) {
        Ok(_) => Vec::new(),
        Err(InvalidPolicy(faults)) => faults.iter().map(FileFault::to_string).collect(),
    }
}

fn action(policy: &Policy, id: &str) -> Action {
    let index = RULES.iter().position(|rule| rule.id == id).unwrap();
    policy.actions[index]
}

#[test]
fn the_least_file_is_the_builtin_policy() {
    let policy = read("policy.yaml", HEAD).unwrap();
    assert_eq!(policy.actions, builtin().actions);
    assert_eq!(policy.detection, Action::Audit);
    assert_eq!(policy.hash.len(), HASH_DIGITS);
}

#[test]
fn the_designs_example_is_read() {
    let text = format!(
        "{HEAD}{}",
        r"profile: strict
match:
  selectors:
    - matchLabels: {app.kubernetes.io/component: migration}
rules:
  restarting-pod: patch
  stale-timestamp: {action: warn, maxAge: 12h, maxSkew: 5m}
  MW006: off
  no-deadline: {action: off}
namespaces:
  - {names: [sandbox-*], mode: audit}
  - {names: [legacy], mode: off}
"
    );
    let policy = read("policy.yaml", &text).unwrap();
    assert_eq!(action(&policy, "MW004"), Action::Patch);
    assert_eq!(action(&policy, "MW005"), Action::Warn);
    assert_eq!(action(&policy, "MW006"), Action::Off);
    assert_eq!(action(&policy, "MW007"), Action::Off);
    assert_eq!(action(&policy, "MW008"), Action::Deny);
    assert_eq!(policy.options.max_age, SignedDuration::from_hours(12));
    assert_eq!(policy.options.max_skew, SignedDuration::from_mins(5));
    assert_eq!(policy.mode("sandbox-1"), Mode::Audit);
    assert_eq!(policy.mode("my-sandbox-1"), Mode::Enforce);
    assert_eq!(policy.mode("legacy"), Mode::Off);
    assert_eq!(policy.mode("legacy-2"), Mode::Enforce);
}

#[test]
fn the_profile_audit_denies_nothing() {
    let policy = read("policy.yaml", &format!("{HEAD}profile: audit\n")).unwrap();
    assert!(policy.actions.iter().all(|&action| action <= Action::Audit));
    assert_eq!(action(&policy, "MW019"), Action::Off);
}

#[test]
fn impossible_settings_are_refused_with_the_reason() {
    assert_eq!(
        faults("rules:\n  missing-hook: patch\n"),
        [
            "policy.yaml:4:17: MW002 missing-hook cannot be patched: Helm reads the rendered chart, not \
          the cluster: a patched hook annotation changes nothing"
        ]
    );
    assert_eq!(
        faults("rules:\n  missing-hook:\n    argocd: true\n    action: patch\n"),
        [
            "policy.yaml:6:13: MW002 missing-hook cannot be patched: Helm reads the rendered chart, not \
          the cluster: a patched hook annotation changes nothing"
        ]
    );
    assert_eq!(
        faults("detection: {maxAction: patch}\n"),
        [
            "policy.yaml:3:24: detection.maxAction: patch is not a limit; write deny, which includes patch"
        ]
    );
}

#[test]
fn all_faults_of_meaning_are_told_at_once() {
    assert_eq!(
        faults(
            "rules:\n  restarting-pods: deny\n  stale-timestamp: {maxAge: soon}\n  short-ttl: {rename: true}\n  \
             MW004: warn\n  restarting-pod: deny\nnamespaces:\n  - {names: [], mode: warn}\nmatch: \
             {selectors: [{}]}\n"
        ),
        [
            "policy.yaml:4:20: there is no rule restarting-pods; did you mean restarting-pod?",
            "policy.yaml:5:29: \"soon\" is not a duration; write one such as 24h or 15m",
            "policy.yaml:6:23: short-ttl has no option rename; it takes no options",
            "policy.yaml:8:19: restarting-pod and MW004 are the same rule; keep one of them",
            "policy.yaml:10:13: names is empty: the entry would match no namespace",
            "policy.yaml:11:21: an empty selector matches every Job; name a label",
        ]
    );
}

#[test]
fn unknown_keys_and_values_have_line_and_column() {
    for (text, place) in [
        ("profil: guide\n", "policy.yaml:3:1: "),
        ("profile: mild\n", "policy.yaml:3:10: "),
        ("rules:\n  restarting-pod: forbid\n", "policy.yaml:4:3: "),
        (
            "rules:\n  stale-timestamp:\n    maxAges: 1h\n",
            "policy.yaml:5:5: ",
        ),
        ("rules: {restarting-pod: on}\n", "policy.yaml:3:9: "),
        (
            "detection: {maxAction: audit, tools: x}\n",
            "policy.yaml:3:31: ",
        ),
        (
            "namespaces: [{names: [x], mode: loud}]\n",
            "policy.yaml:3:33: ",
        ),
        ("record:\n  onFailure: [\n", "policy.yaml:"),
    ] {
        let found = faults(text);
        assert!(
            found.len() == 1 && found[0].starts_with(place),
            "{text}: {found:?}"
        );
    }
    assert!(read("policy.yaml", "").is_err());
    assert!(read("policy.yaml", "apiVersion: v1\nkind: ConfigMap\n").is_err());
}

#[test]
fn options_belong_to_one_rule_each() {
    let text =
        format!("{HEAD}rules: {{missing-hook: {{argocd: true}}, MW003: {{argocd: false}}}}\n");
    let options = read("policy.yaml", &text).unwrap().options;
    assert!(options.argocd_hook && !options.argocd_delete_policy);
}

#[test]
fn values_go_with_their_operator() {
    for (requirement, message) in [
        (
            "{key: a, operator: Exists, values: [b]}",
            "operator Exists takes no values",
        ),
        ("{key: a, operator: NotIn}", "operator NotIn needs values"),
    ] {
        assert_eq!(
            faults(&format!(
                "match: {{selectors: [{{matchExpressions: [{requirement}]}}]}}\n"
            )),
            [format!("policy.yaml:3:21: {message}")]
        );
    }
}

#[test]
fn the_default_selectors_compile() {
    assert!(Selectors::new(crate::core::policy_file::default_selectors()).is_ok());
}
