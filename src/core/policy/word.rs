//! Reads a word of the policy file. YAML 1.1, and so Helm and kubectl, read a bare `on` as true and a bare `off` as
//! false.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// For `deserialize_with` on an enum that has a word `on` or `off`.
pub(crate) fn word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Word::deserialize(deserializer).map(|word| word.0)
}

/// For `schema_with` on an enum that has the words `on` and `off`.
pub(crate) fn on_or_off<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [generator.subschema_for::<T>(), {"type": "boolean"}]})
}

/// For `schema_with` on an enum that has the word `off`.
pub(crate) fn or_off<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [generator.subschema_for::<T>(), {"const": false}]})
}

/// A value that is a word.
pub(crate) struct Word<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor(PhantomData))
    }
}

struct WordVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for WordVisitor<T> {
    type Value = Word<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Word<T>, E> {
        T::deserialize(StrDeserializer::new(text)).map(Word)
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<Word<T>, E> {
        self.visit_str(if on { "on" } else { "off" })
    }
}
