//! Converts a policy file to a policy, or reports all its faults.
//!
//! [`super::parse`] reports the first fault of syntax. Without one, all duplicate keys and all faults of types are reported
//! with those of the rules, and without faults of types all faults of meaning. Each has file, line and column.

use std::fmt;

use jiff::SignedDuration;
use serde_json::Value;

use super::{Fault, adopt, parse, rules, sections};
use crate::core::manifest::typed;
use crate::core::policy::adopt::{Adoption, Promises};
use crate::core::policy::claims::Claims;
use crate::core::policy::options::{Length, Options};
use crate::core::policy::rules::RULES;
use crate::core::policy::runs::Runs;
use crate::core::policy::select::Selectors;
use crate::core::policy::tidy_up::Cleanup;
use crate::core::policy::{Action, Policy, WithoutRecord};
use crate::core::policy_file::{MigrationPolicy, Profile};
use crate::core::report::Problem;
use crate::core::text;

/// Hex digits of the digest that names a policy: enough to distinguish all policies of a cluster.
const HASH_DIGITS: usize = 12;

/// How long an exception may last by default: a month, which is enough for most repairs. After that the author has to
/// renew the reason.
const MAX_EXCEPTION: SignedDuration = SignedDuration::from_hours(30 * 24);

/// All faults of a policy file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidPolicy(pub Vec<Problem>);

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The policy without a policy file: the profile `guide`.
#[must_use]
pub fn builtin() -> Policy {
    Policy {
        hash: "builtin".to_owned(),
        // The default selectors are constants that a test compiles.
        selectors: Selectors::new(super::default_selectors()).unwrap_or_default(),
        adopt: Adoption::default(),
        detection: Action::Audit,
        promises: Promises::default(),
        advice: Action::Warn,
        only_audits: false,
        actions: profile_actions(Profile::Guide),
        options: Options::default(),
        namespaces: Vec::new(),
        claims: Claims::default(),
        max_exception: MAX_EXCEPTION,
        without_record: WithoutRecord::Allow,
        runs: Runs::default(),
        tidy_up: Cleanup::default(),
        help: None,
    }
}

/// Reads a policy file. `file` is its name, for messages.
pub fn read(file: &str, text: &str) -> Result<Policy, InvalidPolicy> {
    let invalid = |mut faults: Vec<parse::Fault>| {
        faults.sort_by_key(|(position, _)| (position.line, position.column));
        let at = |(position, message)| Problem::at(file, position, message);
        InvalidPolicy(faults.into_iter().map(at).collect())
    };
    let (document, mut faults) = parse::parse(text).map_err(invalid)?;
    let value = document.value(document.root());
    let (policy, found) = match typed::read_all(value.clone()) {
        Ok(written) => policy_of(written),
        Err(misfits) => {
            let misfits = misfits.into_iter();
            faults.extend(misfits.map(|misfit| parse::misfit(&document, misfit)));
            rules_of(&value)
        }
    };
    let found = found.into_iter();
    faults.extend(found.map(|(at, message)| parse::fault(&document, &at, message)));
    if !faults.is_empty() {
        return Err(invalid(faults));
    }
    let hash = text::sha256(text)[..HASH_DIGITS].to_owned();
    Ok(Policy { hash, ..policy })
}

/// The section `rules` of a file that does not fit its type: its faults are of the same round.
fn rules_of(file: &Value) -> (Policy, Vec<Fault>) {
    let profile = file.get("profile").and_then(|it| typed::read(it).ok());
    let rules = file.get("rules").and_then(|it| typed::read(it).ok());
    let mut policy = Policy {
        actions: profile_actions(profile.unwrap_or_default()),
        ..builtin()
    };
    let faults = rules::apply(&rules.unwrap_or_default(), &mut policy);
    (policy, faults)
}

fn policy_of(written: MigrationPolicy) -> (Policy, Vec<Fault>) {
    let mut policy = Policy {
        actions: profile_actions(written.profile),
        detection: written.detection.max_action,
        promises: written.detection.promises,
        only_audits: written.profile == Profile::Audit,
        without_record: written.record.on_failure,
        runs: written.record.runs,
        ..builtin()
    };
    let mut faults = rules::apply(&written.rules, &mut policy);
    policy.advice = rules::advice(&written.rules, &policy);
    faults.extend(adopt::faults(&written.adopt));
    policy.adopt = Adoption(written.adopt);
    faults.extend(sections::runs(policy.runs));
    faults.extend(sections::selectors(&written.matching.selectors));
    faults.extend(sections::claims(&written.claims));
    policy.claims = written.claims;
    let mut fault = |pointer: &str, message: String| faults.push((pointer.to_owned(), message));
    if let Some(message) = written.tidy_up.fault() {
        fault("/tidyUp/ttlSecondsAfterFinished", message);
    }
    policy.tidy_up = written.tidy_up.into();
    match written.help.as_deref().map(sections::help).transpose() {
        Ok(help) => policy.help = help,
        Err(message) => fault("/help", message),
    }
    if let limit @ (Action::Patch | Action::Wait) = policy.detection {
        let limit = limit.as_str();
        let message = format!(
            "detection.maxAction: {limit} is not a limit; write deny, which includes {limit}"
        );
        fault("/detection/maxAction", message);
    }
    let selectors = written.matching.selectors.into_iter().map(Into::into);
    policy.selectors = Selectors::new(selectors.collect()).unwrap_or_default();
    let (modes, found) = sections::namespaces(&written.namespaces);
    policy.namespaces = modes;
    faults.extend(found);
    let max_exception = written.exceptions.max_duration;
    policy.max_exception = max_exception.map_or(MAX_EXCEPTION, |Length(length)| length);
    (policy, faults)
}

fn profile_actions(profile: Profile) -> [Action; RULES.len()] {
    RULES.map(|rule| match profile {
        Profile::Guide => rule.guide,
        Profile::Strict => rule.strict,
        Profile::Audit => rule.guide.min(Action::Audit),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::core::policy::Mode;
    use crate::core::policy::claims::{Database, Scope, Supersede, WithoutClaim};
    use crate::core::policy::options::AnyOption;
    use crate::core::policy::runs::RunMode;
    use crate::core::policy::testing::policy;
    use crate::core::policy::tidy_up::TidyMode;
    use crate::testing::{POLICY, table};

    fn action(policy: &Policy, id: &str) -> Action {
        let index = RULES.iter().position(|rule| rule.id == id).unwrap();
        policy.actions[index]
    }

    /// The value of an option, as text.
    fn option(policy: &Policy, id: &str, key: &str) -> String {
        let options = crate::core::policy::rules::find(id).unwrap().options;
        match *options.iter().find(|option| option.key() == key).unwrap() {
            AnyOption::Switch(switch) => policy.options.is_on(switch).to_string(),
            AnyOption::Duration(option) => format!("{:#}", policy.options.duration(option)),
        }
    }

    #[derive(Deserialize)]
    struct Faulty {
        policy: String,
        faults: Vec<String>,
    }

    #[test]
    fn a_fault_has_a_position_and_says_what_to_write() {
        for Faulty { policy, faults } in table::<Vec<Faulty>>("policy_faults") {
            // A part of a file follows the two lines that every file begins with.
            let is_whole = policy.is_empty() || policy.contains("ind: ");
            let text = if is_whole {
                policy
            } else {
                format!("{POLICY}{policy}")
            };
            let found = read("policy.yaml", &text).map(|_| ()).unwrap_err().0;
            let found = found.iter().map(ToString::to_string);
            let found: Vec<_> = found
                .map(|line| line.replacen("policy.yaml:", "", 1))
                .collect();
            assert_eq!(found, faults, "{text}");
        }
        let long = format!("{POLICY}help: {}\n", "x".repeat(257));
        assert_eq!(
            read("policy.yaml", &long).unwrap_err().to_string(),
            "policy.yaml:3:7: help is longer than 256 characters; write a URL with the details"
        );
        let entry = |index| format!("  - {{name: e{index}, match: {{names: [x{index:0>89}]}}}}\n");
        let many: String = (0..101).map(entry).collect();
        assert_eq!(
            read("policy.yaml", &format!("{POLICY}adopt:\n{many}"))
                .unwrap_err()
                .to_string(),
            "policy.yaml:3:1: adopt has 101 entries, more than 100; write several patterns in one entry\n\
             policy.yaml:3:1: the patterns in names of all entries have 9696 characters, more than 6144; write fewer or \
             shorter ones"
        );
    }

    #[test]
    fn the_least_file_is_the_builtin_policy() {
        let (least, builtin) = (policy(""), builtin());
        assert_eq!(least.actions, builtin.actions);
        assert_eq!(least.detection, Action::Audit);
        assert_eq!(least.hash.len(), HASH_DIGITS);
        assert_eq!(
            (least.runs, &least.claims),
            (Runs::default(), &Claims::default())
        );
        assert_eq!(
            (least.claims.key, least.claims.on_failure),
            (Scope::Name, WithoutClaim::Deny)
        );
        assert_eq!(least.claims.supersede, Supersede::NeverStarted);
        assert!(Selectors::new(crate::core::policy_file::default_selectors()).is_ok());
    }

    #[test]
    fn the_designs_example_is_read() {
        let policy = policy(
            r"profile: strict
match:
  selectors:
    - matchLabels: {app.kubernetes.io/component: migration}
rules:
  restarting-pod: patch
  stale-timestamp: {action: warn, maxAge: 12h, maxSkew: 5m}
  MW006: off
  no-deadline: {action: off}
  missing-hook: {argocd: true}
  MW003: {argocd: false}
namespaces:
  - {names: [sandbox-*], mode: audit}
  - {names: [legacy], mode: off}
claims:
  key: release
  databases:
    - {name: orders, namespaces: [shop, billing]}
  onFailure: allow
  supersede: off
record: {onFailure: deny}
",
        );
        let actions = ["MW004", "MW005", "MW006", "MW007", "MW008"].map(|id| action(&policy, id));
        let (patch, warn, off, deny) = (Action::Patch, Action::Warn, Action::Off, Action::Deny);
        assert_eq!(actions, [patch, warn, off, off, deny]);
        for (id, key, value) in [
            ("MW005", "maxAge", "12h"),
            ("MW005", "maxSkew", "5m"),
            ("MW002", "argocd", "true"),
            ("MW003", "argocd", "false"),
        ] {
            assert_eq!(option(&policy, id, key), value, "{id} {key}");
        }
        for (namespace, mode) in [
            ("sandbox-1", Mode::Audit),
            ("my-sandbox-1", Mode::Enforce),
            ("legacy", Mode::Off),
            ("legacy-2", Mode::Enforce),
        ] {
            assert_eq!(policy.mode(namespace), mode, "{namespace}");
        }
        let claims = Claims {
            key: Scope::Release,
            databases: vec![Database {
                name: "orders".to_owned(),
                namespaces: vec!["shop".to_owned(), "billing".to_owned()],
            }],
            on_failure: WithoutClaim::Allow,
            supersede: Supersede::Off,
        };
        assert_eq!(policy.claims, claims);
        assert_eq!(
            (policy.without_record, policy.runs),
            (WithoutRecord::Deny, Runs::default())
        );
    }

    #[test]
    fn the_profile_audit_denies_nothing() {
        let policy = policy("profile: audit\n");
        assert!(policy.actions.iter().all(|&action| action <= Action::Audit));
        assert_eq!(action(&policy, "MW019"), Action::Off);
    }

    #[test]
    fn a_bare_on_or_off_is_a_word() {
        for off in ["off", "'off'", "false"] {
            let policy = policy(&format!(
                "tidyUp: {{mode: {off}}}\nclaims: {{supersede: {off}}}\nrecord: {{runs: {{mode: {off}, keepPerRelease: 5, keepTotal: 200}}}}\n\
                 rules: {{MW004: {off}, MW005: {{action: {off}}}}}\ndetection: {{maxAction: {off}}}\n\
                 namespaces: [{{names: [a], mode: {off}}}]\n"
            ));
            let runs = Runs {
                mode: RunMode::Off,
                keep_per_release: 5,
                keep_total: 200,
            };
            assert_eq!((policy.tidy_up.mode, policy.runs), (TidyMode::Off, runs));
            assert_eq!(policy.claims.supersede, Supersede::Off);
            let off = (Action::Off, Action::Off, Action::Off, Mode::Off);
            let actions = (action(&policy, "MW004"), action(&policy, "MW005"));
            assert_eq!(
                (actions.0, actions.1, policy.detection, policy.mode("a")),
                off
            );
        }
        assert_eq!(
            policy("record: {runs: {mode: on}}\n").runs.mode,
            RunMode::On
        );
    }
}
