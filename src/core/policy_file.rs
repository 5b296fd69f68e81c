//! The policy file: its shape, its defaults, its JSON Schema.
//!
//! These types are the file as it is written. [`validate`] converts it to a [`crate::core::policy::Policy`] or reports
//! all faults, with line and column. [`crate::host::policy_watch`] watches the file.

mod parse;
pub(crate) mod tidy_up;
pub mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::JsonSchema;
use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::core::job::MIGRATION_LABEL;
use crate::core::policy::claims::Claims;
use crate::core::policy::label_selector::{LabelSelector, LabelSelectorRequirement, Operator};
use crate::core::policy::options::{AnyOption, Written};
use crate::core::policy::runs::Runs;
use crate::core::policy::word::{word, word_if_any};
use crate::core::policy::{Action, Mode, OnFailure};

/// Values of `app.kubernetes.io/component` that mark a migration Job by default.
const COMPONENTS: [&str; 7] = [
    "migration",
    "migrations",
    "migrate",
    "migrator",
    "db-migrate",
    "db-migration",
    "schema-migration",
];

/// The policy file of migration-warden.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MigrationPolicy {
    /// Always `config.migration-warden.io/v1alpha1`.
    pub api_version: ApiVersion,
    /// Always `MigrationPolicy`.
    pub kind: Kind,
    /// The starting point for every rule.
    #[serde(default)]
    pub profile: Profile,
    /// A URL or a sentence for the end of each denial: why the policy is as it is, and how to ask for an exception.
    #[schemars(length(min = 1, max = 256))]
    pub help: Option<String>,
    /// Which Jobs are migrations.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// How to treat adopted Jobs, which look like migrations but have no label.
    #[serde(default)]
    pub detection: Detection,
    /// Rules by id or name: an action, or an action with options.
    #[serde(default)]
    #[schemars(schema_with = "rules_schema")]
    pub rules: BTreeMap<String, RuleSetting>,
    /// Modes of namespaces. The first entry that matches wins. The namespace's own label
    /// `migration-warden.io/mode` overrides all entries.
    #[serde(default)]
    pub namespaces: Vec<NamespaceEntry>,
    /// Claims, which let one migration run at a time.
    #[serde(default)]
    pub claims: Claims,
    /// Limits for exceptions: `MigrationException` objects, which let Jobs break rules for a while.
    #[serde(default)]
    pub exceptions: Exceptions,
    /// What is recorded: decisions and runs.
    #[serde(default)]
    pub record: Record,
    /// What to do with migration Jobs that have finished.
    #[serde(default)]
    pub tidy_up: tidy_up::TidyUp,
}

/// Version of the file's format.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first version.
    #[serde(rename = "config.migration-warden.io/v1alpha1")]
    V1Alpha1,
}

/// Kind of the file.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum Kind {
    /// A policy.
    MigrationPolicy,
}

/// The starting point for every rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Denies violations of the four basic rules, and anything that is certain to break a migration.
    #[default]
    Guide,
    /// Denies everything risky.
    Strict,
    /// Like `guide`, but every action is capped at `audit`.
    Audit,
}

/// Which Jobs are migrations.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    /// A Job that any of these selectors matches is a migration Job. The list replaces the default one.
    #[schemars(length(min = 1))]
    pub selectors: Vec<LabelSelector>,
}

impl Default for Match {
    fn default() -> Self {
        let component = LabelSelectorRequirement {
            key: "app.kubernetes.io/component".to_owned(),
            operator: Operator::In,
            values: COMPONENTS.map(str::to_owned).to_vec(),
        };
        let label = BTreeMap::from([(MIGRATION_LABEL.to_owned(), "true".to_owned())]);
        Self {
            selectors: vec![
                LabelSelector {
                    match_expressions: vec![component],
                    ..LabelSelector::default()
                },
                LabelSelector {
                    match_labels: label,
                    ..LabelSelector::default()
                },
            ],
        }
    }
}

/// How to treat adopted Jobs, which look like migrations but have no label.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Detection {
    /// The strongest action for adopted Jobs. `off` turns detection off.
    #[serde(default = "audit", deserialize_with = "word")]
    #[schemars(schema_with = "max_action_schema")]
    pub max_action: Action,
}

fn audit() -> Action {
    Action::Audit
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            max_action: audit(),
        }
    }
}

/// An action, or an action with options.
#[derive(Clone, Debug, Default)]
pub struct RuleSetting {
    /// What to do with the rule's findings [default: the profile's action].
    pub action: Option<Action>,
    /// Options that are written, even if the rule does not take them.
    pub options: Vec<(AnyOption, Written)>,
}

/// A key of a setting that is a map.
#[derive(Deserialize)]
#[serde(try_from = "String")]
enum SettingKey {
    Action,
    Option(AnyOption),
}

impl TryFrom<String> for SettingKey {
    type Error = String;

    fn try_from(key: String) -> Result<Self, String> {
        if key == "action" {
            return Ok(Self::Action);
        }
        let option = AnyOption::with_key(&key).map(Self::Option);
        // In serde's words, which `manifest::typed` translates.
        option.ok_or_else(|| {
            let keys: BTreeSet<_> = AnyOption::all().map(AnyOption::key).collect();
            let keys: Vec<_> = keys.into_iter().map(|key| format!("`{key}`")).collect();
            let keys = keys.join(", ");
            format!("unknown field `{key}`, expected one of `action`, {keys}")
        })
    }
}

/// The value of `action` in a setting that is a map.
#[derive(Deserialize)]
struct SettingAction(#[serde(deserialize_with = "word_if_any")] Option<Action>);

impl<'de> Deserialize<'de> for RuleSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleSettingVisitor)
    }
}

struct RuleSettingVisitor;

impl<'de> Visitor<'de> for RuleSettingVisitor {
    type Value = RuleSetting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deny, patch, warn, audit, off, or a map with action and options")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RuleSetting, E> {
        let action = Action::deserialize(StrDeserializer::new(text))?;
        Ok(RuleSetting {
            action: Some(action),
            ..RuleSetting::default()
        })
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<RuleSetting, E> {
        // As in `word`.
        self.visit_str(if on { "on" } else { "off" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RuleSetting, A::Error> {
        let mut setting = RuleSetting::default();
        while let Some(key) = map.next_key()? {
            let option = match key {
                SettingKey::Action => {
                    setting.action = map.next_value::<SettingAction>()?.0;
                    continue;
                }
                SettingKey::Option(option) => option,
            };
            let written = match option {
                AnyOption::Switch(_) => map.next_value::<Option<_>>()?.map(Written::Switch),
                AnyOption::Duration(_) => map.next_value::<Option<_>>()?.map(Written::Text),
            };
            setting.options.extend(written.map(|value| (option, value)));
        }
        Ok(setting)
    }
}

/// The mode of some namespaces.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceEntry {
    /// Names of namespaces. `*` matches any characters.
    #[schemars(length(min = 1))]
    pub names: Vec<String>,
    /// The mode of these namespaces.
    #[serde(deserialize_with = "word")]
    #[schemars(schema_with = "mode_schema")]
    pub mode: Mode,
}

/// Limits for exceptions.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exceptions {
    /// The longest time from the creation of an exception to its expiry, such as `720h`, the default.
    /// Longer ones are not honoured. With `0s` no exception is honoured.
    pub max_duration: Option<String>,
}

/// What is recorded: decisions and runs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// What happens to a review whose decision could not be logged.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Runs, which record how each migration started and ended.
    #[serde(default)]
    pub runs: Runs,
}

/// The selectors for migration Jobs if the policy does not set any.
#[must_use]
pub fn default_selectors() -> Vec<meta::LabelSelector> {
    Match::default()
        .selectors
        .into_iter()
        .map(Into::into)
        .collect()
}

/// The published JSON Schema of the policy file (draft 2020-12). It is the output of [`schema`] in a file, so that the
/// program does not contain the generator.
pub const JSON_SCHEMA: &str = include_str!("policy_file/policy.schema.json");

/// Generates the JSON Schema of the policy file from its types.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(MigrationPolicy).to_value()
}

/// The schema of the modes, which also accepts `false`.
fn mode_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    // `false` is `off`, as YAML 1.1 reads it.
    schemars::json_schema!({"anyOf": [generator.subschema_for::<Mode>(), {"const": false}]})
}

/// The schema of the actions that may be a limit.
fn max_action_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    // `false` is `off`, as YAML 1.1 reads it.
    schemars::json_schema!({"enum": ["off", "audit", "warn", "deny", false]})
}

/// The schema of `rules`, with a property for each rule, so that an editor can suggest names, actions and options.
fn rules_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    use crate::core::policy::rule::Patch;
    use crate::core::policy::rules::RULES;
    use serde_json::{Value, json};

    let mut properties = serde_json::Map::new();
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
        let mut options = serde_json::Map::from_iter([("action".to_owned(), action.clone())]);
        for option in rule.options {
            options.insert(option.key().to_owned(), option.schema());
        }
        let setting = json!({
            "description": rule.summary(),
            "anyOf": [
                action,
                {"type": "object", "properties": options, "additionalProperties": false},
            ],
        });
        for key in [rule.id, rule.name] {
            properties.insert(key.to_owned(), setting.clone());
        }
    }
    let schema = json!({
        "type": "object",
        "properties": Value::Object(properties),
        "additionalProperties": false,
    });
    schema.try_into().unwrap_or_default()
}
