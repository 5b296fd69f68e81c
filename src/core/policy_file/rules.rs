//! The section `rules` of the policy file: for each rule an action, or a map with an action and the rule's options.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Fault;
use crate::core::manifest::typed;
use crate::core::policy::options::{AnyOption, Options, duration};
use crate::core::policy::rule::{Patch, Rule};
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
        let result = match setting {
            Value::Object(map) => {
                let found = set_options(rule, map, &mut policy.options).into_iter();
                faults.extend(found.map(|(key, why)| (format!("{pointer}/{key}"), why)));
                let action = map.get("action").map(|action| action_of(rule, action));
                action.transpose().map(Option::flatten)
            }
            Value::String(_) | Value::Bool(_) => action_of(rule, setting),
            other => Err(format!(
                "{} is not deny, patch, warn, audit, off, or a map with action and options",
                text::bounded(&other.to_string(), text::NAME)
            )),
        };
        match result {
            Ok(Some(action)) => policy.actions[index] = action,
            Ok(None) => {}
            Err(message) => faults.push((format!("{pointer}/action"), message)),
        }
    }
    faults
}

/// The action, which the rule has to be able to take; `None` for an empty value.
fn action_of(rule: &Rule, written: &Value) -> Result<Option<Action>, String> {
    let Some(Word(action)) = read(written)? else {
        return Ok(None);
    };
    let Rule { id, name, .. } = rule;
    match (action, rule.patch) {
        (Action::Patch, Patch::Refused(reason)) => {
            Err(format!("{id} {name} cannot be patched: {reason}"))
        }
        (Action::Wait, _) if rule.guide != Action::Wait => Err(format!(
            "{id} {name} cannot wait: a retry would have the same finding"
        )),
        _ => Ok(Some(action)),
    }
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
            let text: Option<String> = read(value)?;
            let length = text.map(|text| duration(&text)).transpose()?;
            options
                .durations
                .extend(length.map(|length| (option, length)));
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
        // `false` is `off`, as YAML 1.1 reads it.
        let mut actions = vec![
            json!("deny"),
            json!("warn"),
            json!("audit"),
            json!("off"),
            json!(false),
        ];
        if rule.patch == Patch::Possible {
            actions.push(json!("patch"));
        }
        if rule.guide == Action::Wait {
            actions.push(json!("wait"));
        }
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
