//! Converts a policy file to a policy, or reports all its faults.
//!
//! [`super::parse`] reports faults of syntax and types one at a time; faults of meaning are all reported at once. Both
//! have file, line and column.

mod claims;
mod runs;

use std::fmt;

use jiff::SignedDuration;

use crate::core::manifest::FileFault;
use crate::core::policy::claims::Claims;
use crate::core::policy::label_selector::{LabelSelector, misused};
use crate::core::policy::options::{Options, duration};
use crate::core::policy::rule::{Patch, Rule};
use crate::core::policy::rules::{self, RULES};
use crate::core::policy::select::Selectors;
use crate::core::policy::{Action, NamespaceMode, Policy, name_patterns};
use crate::core::policy_file::parse::parse;
use crate::core::policy_file::{Profile, RuleSetting};
use crate::core::text;

/// Hex digits of the digest that names a policy: enough to distinguish all policies of a cluster.
const HASH_DIGITS: usize = 12;

/// How long an exception may last by default: a month, which is enough for most repairs. After that the author has to
/// renew the reason.
const MAX_EXCEPTION: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Longest `help`, in characters: each denial repeats it.
const MAX_HELP: usize = 256;

/// All faults of a policy file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidPolicy(pub Vec<FileFault>);

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(FileFault::to_string).collect();
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
        detection: Action::Audit,
        actions: profile_actions(Profile::Guide),
        options: Options::default(),
        namespaces: Vec::new(),
        claims: Claims::default(),
        max_exception: MAX_EXCEPTION,
        on_record_failure: crate::core::policy::OnFailure::Allow,
        runs: crate::core::policy::runs::Runs::default(),
        tidy_up: crate::core::policy::tidy_up::Cleanup::default(),
        help: None,
    }
}

/// Reads a policy file. `file` is its name, for messages.
pub fn read(file: &str, text: &str) -> Result<Policy, InvalidPolicy> {
    let at = |position, message| FileFault {
        file: file.to_owned(),
        position,
        message,
    };
    let (written, document) = parse(text).map_err(|faults| {
        let faults = faults.into_iter();
        InvalidPolicy(faults.map(|(place, message)| at(place, message)).collect())
    })?;
    let place = |pointer: &str| document.locate(document.root(), pointer).0;
    let mut faults = Vec::new();
    let mut fault = |pointer: &str, message: String| faults.push(at(place(pointer), message));

    let mut policy = builtin();
    policy.hash = hash(text);
    policy.on_record_failure = written.record.on_failure;
    for (pointer, message) in runs::faults(written.record.runs) {
        fault(pointer, message);
    }
    policy.runs = written.record.runs;
    if let Some(message) = written.tidy_up.fault() {
        fault("/tidyUp/ttlSecondsAfterFinished", message);
    }
    policy.tidy_up = written.tidy_up.into();
    if let Some(text) = &written.help {
        match help(text) {
            Ok(help) => policy.help = Some(help),
            Err(message) => fault("/help", message),
        }
    }
    policy.actions = profile_actions(written.profile);
    if let limit @ (Action::Patch | Action::Wait) = written.detection.max_action {
        let limit = limit.as_str();
        let message = format!(
            "detection.maxAction: {limit} is not a limit; write deny, which includes {limit}"
        );
        fault("/detection/maxAction", message);
    }
    policy.detection = written.detection.max_action;
    let mut set = [None::<&str>; RULES.len()];
    for (key, setting) in &written.rules {
        let pointer = format!("/rules/{key}");
        let Some(index) = RULES
            .iter()
            .position(|rule| *key == rule.id || *key == rule.name)
        else {
            fault(&pointer, rules::unknown(key));
            continue;
        };
        if let Some(other) = set[index].replace(key) {
            fault(
                &pointer,
                format!("{key} and {other} are the same rule; keep one of them"),
            );
        }
        let (action, options) = (&mut policy.actions[index], &mut policy.options);
        for (option, message) in apply(RULES[index], setting, action, options) {
            fault(&format!("{pointer}/{option}"), message);
        }
    }
    for (pointer, message) in misread(&written.matching.selectors) {
        fault(&pointer, message);
    }
    let selectors = written
        .matching
        .selectors
        .into_iter()
        .map(Into::into)
        .collect();
    policy.selectors = Selectors::new(selectors).unwrap_or_default();
    for (index, entry) in written.namespaces.iter().enumerate() {
        let pointer = format!("/namespaces/{index}/names");
        if entry.names.is_empty() {
            fault(
                &pointer,
                "names is empty: the entry would match no namespace".to_owned(),
            );
        }
        match name_patterns::compile(&entry.names) {
            Ok(names) => policy.namespaces.push(NamespaceMode {
                names,
                mode: entry.mode,
            }),
            Err(error) => fault(&pointer, error.to_string()),
        }
    }
    for (pointer, message) in claims::faults(&written.claims) {
        fault(&pointer, message);
    }
    policy.claims = written.claims;
    if let Some(text) = &written.exceptions.max_duration {
        match duration(text) {
            Ok(max) => policy.max_exception = max,
            Err(message) => fault("/exceptions/maxDuration", message),
        }
    }
    if faults.is_empty() {
        return Ok(policy);
    }
    faults.sort_by_key(|fault| (fault.position.line, fault.position.column));
    Err(InvalidPolicy(faults))
}

/// The action of each rule in a profile.
#[must_use]
pub fn profile_actions(profile: Profile) -> [Action; RULES.len()] {
    RULES.map(|rule| match profile {
        Profile::Guide => rule.guide,
        Profile::Strict => rule.strict,
        Profile::Audit => rule.guide.min(Action::Audit),
    })
}

/// Applies one setting. Returns the faults, each with its option.
fn apply(
    rule: &Rule,
    setting: &RuleSetting,
    action: &mut Action,
    options: &mut Options,
) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    if let (Some(Action::Patch), Patch::Refused(reason)) = (setting.action, rule.patch) {
        let message = format!("{} {} cannot be patched: {reason}", rule.id, rule.name);
        faults.push(("action", message));
    }
    if setting.action == Some(Action::Wait) && rule.guide != Action::Wait {
        let message = format!(
            "{} {} cannot wait: a retry would have the same finding",
            rule.id, rule.name
        );
        faults.push(("action", message));
    }
    *action = setting.action.unwrap_or(*action);
    for (option, written) in &setting.options {
        let key = option.key();
        let own = rule.options.iter().find(|own| own.key() == key);
        let result = match own {
            Some(own) => options.set(*own, written),
            None if rule.options.is_empty() => Err(format!(
                "{} has no option {key}; it takes no options",
                rule.name
            )),
            None => Err(format!(
                "{} has no option {key}; it takes {}",
                rule.name,
                rule.option_keys().join(", ")
            )),
        };
        faults.extend(result.err().map(|message| (key, message)));
    }
    faults
}

/// The text for the end of each denial, in one line and without credentials.
fn help(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("help is empty; write a URL or a sentence, or leave the key out".to_owned()),
        text if text.chars().count() > MAX_HELP => Err(format!(
            "help is longer than {MAX_HELP} characters; write a URL with the details"
        )),
        text => Ok(text::bounded(text, text.len().max(text::DETAIL)).into_owned()),
    }
}

/// The faults of the selectors, each with the JSON Pointer of its value.
fn misread(selectors: &[LabelSelector]) -> Vec<(String, String)> {
    if selectors.is_empty() {
        let message = "match.selectors is empty: no Job would be a migration";
        return vec![("/match/selectors".to_owned(), message.to_owned())];
    }
    let fault = |selector: &LabelSelector| {
        if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
            return Some("an empty selector matches every Job; name a label".to_owned());
        }
        let misused = selector.match_expressions.iter().find_map(misused);
        misused.or_else(|| {
            let parsed = Selectors::new(vec![selector.clone().into()]);
            parsed.err().map(|error| error.to_string())
        })
    };
    let faults = selectors
        .iter()
        .enumerate()
        .filter_map(|(index, selector)| {
            Some((format!("/match/selectors/{index}"), fault(selector)?))
        });
    faults.collect()
}

fn hash(text: &str) -> String {
    text::sha256(text)[..HASH_DIGITS].to_owned()
}

#[cfg(test)]
mod tests;
