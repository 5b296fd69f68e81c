//! `off`, also where it has become `false`.
//!
//! YAML 1.1 reads a bare `off` as false, and Helm reads values so: a policy that is installed with the chart
//! arrives with `false` in place of it. What else a value may be is its own type's.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// Reads a word.
pub(super) fn word<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Word(PhantomData))
}

/// Reads a word that may be left out.
pub(super) fn optional<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    struct Written<T>(T);
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Written<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            word(deserializer).map(Self)
        }
    }
    Ok(Option::<Written<T>>::deserialize(deserializer)?.map(|written| written.0))
}

/// What [`word`] makes of `false`.
pub(super) fn of_bool<'de, T: Deserialize<'de>, E: Error>(
    on: bool,
    expected: &dyn serde::de::Expected,
) -> Result<T, E> {
    if on {
        return Err(E::invalid_type(Unexpected::Bool(true), expected));
    }
    T::deserialize(StrDeserializer::new("off"))
}

/// The schema of `T`, and `false`.
pub(super) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let word = generator.subschema_for::<T>();
    json_schema!({"anyOf": [word, {"const": false, "description": "`off`, as YAML 1.1 reads it."}]})
}

struct Word<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Word<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::deserialize(StrDeserializer::new(text))
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<T, E> {
        of_bool(on, &self)
    }
}
