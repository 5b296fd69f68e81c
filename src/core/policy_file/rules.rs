//! The section `rules` of the policy file: for each rule an action, or a map with an action and the rule's options.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use strum::VariantArray;

use super::Fault;
use crate::core::manifest::typed;
use crate::core::policy::options::{AnyOption, Length, Options};
use crate::core::policy::rule::{Patch, Rule};
use crate::core::policy::rules::unlabelled_migration::UNLABELLED_MIGRATION;
use crate::core::policy::rules::{self, RULES};
use crate::core::policy::word::Word;
use crate::core::policy::{Action, Policy};
use crate::core::text;

/// Applies the section to a policy with the profile's actions, and returns the faults.
pub(super) fn apply(written: &BTreeMap<String, Value>, policy: &mut Policy) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut set = [None::<&str>; RULES.len()];
    for (key, setting) in written {
        let pointer = format!("/rules/{key}");
        let is = |rule: &&Rule| rule.id == key || rule.name == key;
        let Some(index) = RULES.iter().position(is) else {
            faults.push((pointer, rules::unknown(key)));
            continue;
        };
        if let Some(other) = set[index].replace(key) {
            let message = format!("{key} and {other} are the same rule; keep one of them");
            faults.push((pointer.clone(), message));
        }
        let rule = RULES[index];
        let below = |(key, why): (&str, String)| (format!("{pointer}/{key}"), why);
        let (written, at) = match setting {
            Value::Object(map) => {
                faults.extend(
                    set_options(rule, map, &mut policy.options)
                        .into_iter()
                        .map(below),
                );
                let action = map.get("action").filter(|action| !action.is_null());
                (action, format!("{pointer}/action"))
            }
            setting => (Some(setting), pointer.clone()),
        };
        match written.map(|written| action_of(rule, written)).transpose() {
            Ok(action) => {
                policy.actions[index] = action.unwrap_or(policy.actions[index]);
                faults.extend(useless(rule, policy, policy.actions[index]).map(below));
            }
            Err(message) => faults.push((at, message)),
        }
    }
    faults
}

/// The action of the rule `unlabelled-migration` for an adopted Job: a warning, unless the policy sets another.
pub(super) fn advice(written: &BTreeMap<String, Value>, policy: &Policy) -> Action {
    let rule = &UNLABELLED_MIGRATION;
    let index = RULES.iter().position(|other| other.id == rule.id);
    let action = index.map_or(Action::Off, |index| policy.actions[index]);
    let is_set = written.contains_key(rule.id) || written.contains_key(rule.name);
    if is_set || policy.only_audits {
        action
    } else {
        Action::Warn
    }
}

/// The action, which the rule has to be able to take.
fn action_of(rule: &Rule, written: &Value) -> Result<Action, String> {
    let Rule { id, name, .. } = rule;
    let action = typed::read(written).map(|Word(action)| action);
    match (action, rule.patch) {
        (Ok(action), _) if can(rule, action) => Ok(action),
        (Ok(Action::Patch), Patch::Refused(reason)) => {
            Err(format!("{id} {name} cannot be patched: {reason}"))
        }
        (Ok(Action::Wait), _) => Err(format!(
            "{id} {name} cannot wait: a retry would have the same finding"
        )),
        (Ok(_) | Err(_), _) => {
            let words: Vec<_> = actions(rule).map(Action::as_str).collect();
            Err(typed::not_one_of(Some(written), &words))
        }
    }
}

/// Whether the rule can take this action.
fn can(rule: &Rule, action: Action) -> bool {
    match action {
        Action::Patch => rule.patch == Patch::Possible,
        Action::Wait => rule.guide == Action::Wait,
        Action::Deny | Action::Warn | Action::Audit | Action::Off => true,
    }
}

/// The actions that the rule can take.
fn actions(rule: &Rule) -> impl Iterator<Item = Action> {
    let all = Action::VARIANTS.iter().copied();
    all.filter(|action| can(rule, *action))
}

/// The switches that are on and have no effect with this action, each with what to write instead.
fn useless(
    rule: &Rule,
    policy: &Policy,
    action: Action,
) -> impl Iterator<Item = (&'static str, String)> {
    let switches = rule.options.iter().filter_map(|option| match option {
        AnyOption::Switch(switch) => Some(*switch),
        AnyOption::Duration(_) => None,
    });
    switches.filter_map(move |switch| {
        let needs = switch.needs.filter(|needs| *needs != action)?;
        let (key, needs, action) = (switch.key, needs.as_str(), action.as_str());
        let why = format!(
            "{key}: true has no effect with the action {action}; write action: {needs} beside it, or leave {key} out"
        );
        policy.options.is_on(switch).then_some((key, why))
    })
}

/// Sets the options in a map, and returns what is wrong with them, by key.
fn set_options<'m>(
    rule: &Rule,
    map: &'m Map<String, Value>,
    options: &mut Options,
) -> Vec<(&'m str, String)> {
    let written = map.iter().filter(|(key, _)| *key != "action");
    let faults = written.filter_map(|(key, value)| {
        let result = match rule.options.iter().find(|option| option.key() == key) {
            Some(option) => set(*option, value, options),
            None => Err(unknown(rule, key)),
        };
        Some((key.as_str(), result.err()?))
    });
    faults.collect()
}

fn set(option: AnyOption, value: &Value, options: &mut Options) -> Result<(), String> {
    match option {
        AnyOption::Switch(switch) => {
            let is_on = read(value)?.map(|is_on| (switch, is_on));
            options.switches.extend(is_on);
        }
        AnyOption::Duration(option) => {
            let length = read(value)?.map(|Length(length)| (option, length));
            options.durations.extend(length);
        }
    }
    Ok(())
}

/// The message for a key that is not an option of the rule.
fn unknown(rule: &Rule, key: &str) -> String {
    let (name, keys) = (rule.name, rule.option_keys());
    let known = keys.iter().copied().chain(["action"]);
    match text::nearest(key, known) {
        Some(nearest) => format!("{name} has no option {key}; did you mean {nearest}?"),
        None if keys.is_empty() => format!("{name} has no option {key}; it takes no options"),
        None => format!("{name} has no option {key}; it takes {}", keys.join(", ")),
    }
}

/// A value; `None` for an empty one.
fn read<T: DeserializeOwned>(value: &Value) -> Result<Option<T>, String> {
    typed::read(value).map_err(|misfit| misfit.message)
}

/// The schema of the section, with a property for each rule, so that an editor can suggest names, actions and options.
pub(super) fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut properties = Map::new();
    for rule in RULES {
        let actions = actions(rule).map(|action| json!(action.as_str()));
        // `false` is `off`, as YAML 1.1 reads it.
        let actions: Vec<_> = actions.chain([json!(false)]).collect();
        let action = json!({"enum": actions});
        let mut keys = Map::from_iter([("action".to_owned(), action.clone())]);
        keys.extend(
            rule.options
                .iter()
                .map(|option| (option.key().to_owned(), option.schema())),
        );
        let setting = json!({
            "description": rule.summary(),
            "anyOf": [action, {"type": "object", "properties": keys, "additionalProperties": false}],
        });
        for key in [rule.id, rule.name] {
            properties.insert(key.to_owned(), setting.clone());
        }
    }
    schemars::json_schema!({"type": "object", "properties": properties, "additionalProperties": false})
}
