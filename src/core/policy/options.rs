//! Options of rules. A rule declares its options in its own file; nothing else knows them by name.

use std::{fmt, ptr};

use jiff::SignedDuration;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde_json::json;

use crate::core::policy::Action;
use crate::core::time;

/// An option of a rule, declared as a `static`: its address is its identity.
#[derive(Debug)]
pub(crate) struct RuleOption<T: 'static> {
    /// The key in the policy file.
    pub key: &'static str,
    /// What it does, for the file's JSON Schema.
    pub about: &'static str,
    /// The value if the policy file does not set it.
    pub default: T,
    /// The action of the rule without which it has no effect.
    pub needs: Option<Action>,
}

/// An option of any type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnyOption {
    /// On or off.
    Switch(&'static RuleOption<bool>),
    /// A duration such as `24h`.
    Duration(&'static RuleOption<SignedDuration>),
}

impl AnyOption {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Switch(option) => option.key,
            Self::Duration(option) => option.key,
        }
    }

    /// The JSON Schema of its value.
    pub(crate) fn schema(self) -> serde_json::Value {
        let (about, written) = match self {
            Self::Switch(option) => (option.about, "boolean"),
            Self::Duration(option) => (option.about, "string"),
        };
        json!({"description": about, "type": [written, "null"]})
    }
}

/// The options that a policy sets; the others have their defaults.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(crate) switches: Vec<(&'static RuleOption<bool>, bool)>,
    pub(crate) durations: Vec<(&'static RuleOption<SignedDuration>, SignedDuration)>,
}

impl Options {
    pub(crate) fn is_on(&self, switch: &'static RuleOption<bool>) -> bool {
        value(&self.switches, switch)
    }

    pub(crate) fn duration(&self, option: &'static RuleOption<SignedDuration>) -> SignedDuration {
        value(&self.durations, option)
    }
}

fn value<T: Copy>(set: &[(&'static RuleOption<T>, T)], option: &'static RuleOption<T>) -> T {
    let found = set.iter().find(|(other, _)| ptr::eq(*other, option));
    found.map_or(option.default, |(_, value)| *value)
}

/// A duration in the policy file. A bare number is refused with the same words as any other text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length(pub(crate) SignedDuration);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LengthVisitor)
    }
}

struct LengthVisitor;

impl Visitor<'_> for LengthVisitor {
    type Value = Length;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration; write one such as 24h or 15m")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Length, E> {
        let length = time::duration(text).map(Length);
        length.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}
