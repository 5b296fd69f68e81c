//! Tests of valid and invalid policy files, with exact messages.

use super::*;
use crate::core::policy::Mode;
use crate::core::policy::options::AnyOption;

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

fn option(id: &str, key: &str) -> AnyOption {
    let options = rules::find(id).unwrap().options;
    *options.iter().find(|option| option.key() == key).unwrap()
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
    let duration = |key| match option("MW005", key) {
        AnyOption::Duration(option) => policy.options.duration(option),
        AnyOption::Switch(_) => panic!("{key}"),
    };
    assert_eq!(duration("maxAge"), SignedDuration::from_hours(12));
    assert_eq!(duration("maxSkew"), SignedDuration::from_mins(5));
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
fn a_fault_points_at_the_value_and_names_the_nearest_word() {
    for (text, fault) in [
        (
            "profil: guide\n",
            "3:1: there is no key profil; did you mean profile?",
        ),
        (
            "profile: mild\n",
            "3:10: \"mild\" is not one of guide, strict, audit",
        ),
        (
            "rules:\n  restarting-pod: den\n",
            "4:19: \"den\" is not one of off, audit, warn, patch, wait, deny; did you mean deny?",
        ),
        (
            "rules:\n  stale-timestamp:\n    maxAges: 1h\n",
            "5:5: there is no key maxAges; did you mean maxAge?",
        ),
        (
            "rules: {stale-timestamp: {action: warm}}\n",
            "3:35: \"warm\" is not one of off, audit, warn, patch, wait, deny; did you mean warn?",
        ),
        (
            "rules: {restarting-pod: on}\n",
            "3:25: \"on\" is not one of off, audit, warn, patch, wait, deny",
        ),
        (
            "rules: {restarting-pod: 3}\n",
            "3:25: 3 is not deny, patch, warn, audit, off, or a map with action and options",
        ),
        (
            "detection: {maxAction: audit, tools: x}\n",
            "3:31: there is no key tools; the keys here are maxAction",
        ),
        (
            "namespaces: [{names: [x], mode: loud}]\n",
            "3:33: \"loud\" is not one of enforce, warn, audit, off",
        ),
        (
            "namespaces: [{names: [x]}]\n",
            "3:14: the key mode is missing",
        ),
        (
            "namespaces: [{names: [12], mode: off}]\n",
            "3:23: 12 is not a text; put it in quotes",
        ),
        (
            "tidyUp: {keepFailed: -1}\n",
            "3:22: -1 is not an integer from 0 to 65535",
        ),
        (
            "tidyUp: {mode: dry}\n",
            "3:16: \"dry\" is not one of on, dry-run, off; did you mean dry-run?",
        ),
        ("rules:\n", "3:6: an empty value is not a map"),
        (
            "rules: {short-ttl: deny, short-ttl: warn}\n",
            "3:26: the key \"short-ttl\" is written twice in one map",
        ),
        ("record: [\n", "3:9: the [ is not closed: a ] is missing"),
        (
            "---\nprofile: guide\n",
            "4:1: a policy file has one document; delete this one and the --- before it",
        ),
        (
            "help: ''\n",
            "3:7: help is empty; write a URL or a sentence, or leave the key out",
        ),
        (
            &format!("help: {}\n", "x".repeat(257)),
            "3:7: help is longer than 256 characters; write a URL with the details",
        ),
    ] {
        assert_eq!(faults(text), [format!("policy.yaml:{fault}")], "{text}");
    }
    let whole = |text: &str| read("policy.yaml", text).unwrap_err().to_string();
    assert_eq!(
        whole(""),
        "policy.yaml:1:1: the file is empty; begin it with apiVersion: config.migration-warden.io/v1alpha1 and \
         kind: MigrationPolicy"
    );
    assert_eq!(
        whole("kind: MigrationPolicy\n"),
        "policy.yaml:1:1: the key apiVersion is missing"
    );
    assert_eq!(
        whole("apiVersion: v1\nkind: ConfigMap\n"),
        "policy.yaml:1:13: \"v1\" is not config.migration-warden.io/v1alpha1"
    );
}

#[test]
fn a_bare_on_or_off_is_a_word() {
    let text = "tidyUp: {mode: off}\nrecord: {runs: {mode: on}}\nrules: {MW004: off, MW005: {action: off}}\n\
                detection: {maxAction: off}\nnamespaces: [{names: [a], mode: off}]\n";
    let policy = read("policy.yaml", &format!("{HEAD}{text}")).unwrap();
    assert_eq!(
        policy.tidy_up.mode,
        crate::core::policy::tidy_up::TidyMode::Off
    );
    assert_eq!(policy.runs.mode, crate::core::policy::runs::RunMode::On);
    assert_eq!(action(&policy, "MW004"), Action::Off);
    assert_eq!(action(&policy, "MW005"), Action::Off);
    assert_eq!(
        (policy.detection, policy.mode("a")),
        (Action::Off, Mode::Off)
    );
}

#[test]
fn options_belong_to_one_rule_each() {
    let text =
        format!("{HEAD}rules: {{missing-hook: {{argocd: true}}, MW003: {{argocd: false}}}}\n");
    let options = read("policy.yaml", &text).unwrap().options;
    let is_on = |id| match option(id, "argocd") {
        AnyOption::Switch(switch) => options.is_on(switch),
        AnyOption::Duration(_) => panic!("{id}"),
    };
    assert!(is_on("MW002") && !is_on("MW003"));
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
