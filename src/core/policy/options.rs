//! Options of rules. A rule declares its options in its own file; nothing else knows them by name.

use std::ptr;

use jiff::SignedDuration;

use crate::core::policy::rules::RULES;
use crate::core::time;

/// An option of a rule, declared as a `static`: its address is its identity.
#[derive(Debug)]
pub struct RuleOption<T: 'static> {
    /// The key in the policy file. Rules with the same key take the same type.
    pub key: &'static str,
    /// What it does, for the file's JSON Schema.
    pub about: &'static str,
    /// The value if the policy file does not set it.
    pub default: T,
}

/// An option of any type.
#[derive(Clone, Copy, Debug)]
pub enum AnyOption {
    /// On or off.
    Switch(&'static RuleOption<bool>),
    /// A duration such as `24h`.
    Duration(&'static RuleOption<SignedDuration>),
}

impl AnyOption {
    /// The options of all rules.
    pub fn all() -> impl Iterator<Item = Self> {
        RULES.iter().flat_map(|rule| rule.options).copied()
    }

    /// The option of any rule that has this key: it tells the type.
    #[must_use]
    pub fn with_key(key: &str) -> Option<Self> {
        Self::all().find(|option| option.key() == key)
    }

    /// The key in the policy file.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Switch(option) => option.key,
            Self::Duration(option) => option.key,
        }
    }

    /// The JSON Schema of its value.
    #[must_use]
    pub fn schema(self) -> serde_json::Value {
        let (about, written) = match self {
            Self::Switch(option) => (option.about, "boolean"),
            Self::Duration(option) => (option.about, "string"),
        };
        serde_json::json!({"description": about, "type": [written, "null"]})
    }
}

/// A value in the policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Of an [`AnyOption::Switch`].
    Switch(bool),
    /// Of an [`AnyOption::Duration`].
    Text(String),
}

/// The options that a policy sets; the others have their defaults.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) switches: Vec<(&'static RuleOption<bool>, bool)>,
    pub(super) durations: Vec<(&'static RuleOption<SignedDuration>, SignedDuration)>,
}

impl Options {
    /// Whether a switch is on.
    #[must_use]
    pub fn is_on(&self, switch: &'static RuleOption<bool>) -> bool {
        value(&self.switches, switch)
    }

    /// The value of an option that is a duration.
    #[must_use]
    pub fn duration(&self, option: &'static RuleOption<SignedDuration>) -> SignedDuration {
        value(&self.durations, option)
    }

    /// Sets an option. Fails with a message if the value is not one of its type.
    pub fn set(&mut self, option: AnyOption, written: &Written) -> Result<(), String> {
        match (option, written) {
            (AnyOption::Switch(switch), Written::Switch(is_on)) => {
                self.switches.push((switch, *is_on));
            }
            (AnyOption::Duration(option), Written::Text(text)) => {
                let duration = duration(text)?;
                self.durations.push((option, duration));
            }
            (AnyOption::Switch(_), Written::Text(text)) => {
                return Err(format!("{text:?} is neither true nor false"));
            }
            (AnyOption::Duration(option), Written::Switch(is_on)) => {
                self.durations.push((option, duration(&is_on.to_string())?));
            }
        }
        Ok(())
    }
}

fn value<T: Copy>(set: &[(&'static RuleOption<T>, T)], option: &'static RuleOption<T>) -> T {
    let found = set.iter().find(|(other, _)| ptr::eq(*other, option));
    found.map_or(option.default, |(_, value)| *value)
}

/// Reads a duration of the policy file. Fails with a message.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration = time::duration(text);
    duration.ok_or_else(|| format!("{text:?} is not a duration; write one such as 24h or 15m"))
}
