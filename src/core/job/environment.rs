//! The environment variables of a container, as far as rules read them.
//!
//! [`crate::core::job::credentials`] decides whether a suspect holds a credential.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::core::job::credentials::{is_key, may_hold_any};
use crate::core::json::{Text, entry};

/// The environment variables that may hold a credential, each with its index in the list.
///
/// An environment may be a megabyte long, and no rule reads the others.
#[derive(Debug, Default)]
pub struct Environment<'a>(pub Vec<(usize, EnvVar<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Environment<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EnvironmentVisitor;
        impl<'de> Visitor<'de> for EnvironmentVisitor {
            type Value = Environment<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of environment variables")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut suspects = Vec::new();
                let mut index = 0;
                while let Some(variable) = seq.next_element::<EnvVar<'de>>()? {
                    if is_key(&variable.name) || may_hold_any(&variable.value) {
                        entry()?;
                        suspects.push((index, variable));
                    }
                    index += 1;
                }
                Ok(Environment(suspects))
            }
        }
        deserializer.deserialize_seq(EnvironmentVisitor)
    }
}

#[derive(Debug, Default)]
pub struct EnvVar<'a> {
    pub name: Text<'a>,
    /// Literal value. Empty if it comes from elsewhere, or if neither it nor the name suggests a credential and it
    /// would have to be copied.
    pub value: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for EnvVar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Field {
            Name,
            Value,
            #[serde(other)]
            Other,
        }

        struct EnvVarVisitor;
        impl<'de> Visitor<'de> for EnvVarVisitor {
            type Value = EnvVar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an environment variable")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut name, mut value) = (None::<Text<'de>>, None);
                while let Some(field) = map.next_key()? {
                    match field {
                        Field::Name => name = Some(nullable_value(&mut map)?),
                        // No rule reads the value of such a name, unless the value itself is suspect.
                        Field::Value if name.as_ref().is_some_and(|name| !is_key(name)) => {
                            let suspect: Suspect<'de> = nullable_value(&mut map)?;
                            value = Some(suspect.0);
                        }
                        Field::Value => value = Some(nullable_value(&mut map)?),
                        Field::Other => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(EnvVar {
                    name: name.unwrap_or_default(),
                    value: value.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_map(EnvVarVisitor)
    }
}

fn nullable_value<'de, A: MapAccess<'de>, T: Deserialize<'de> + Default>(
    map: &mut A,
) -> Result<T, A::Error> {
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

/// A string that is copied only if it may hold a credential.
#[derive(Default)]
struct Suspect<'a>(Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Suspect<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SuspectVisitor;
        impl<'de> Visitor<'de> for SuspectVisitor {
            type Value = Suspect<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Suspect(Text(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                let kept = if may_hold_any(text) { text } else { "" };
                Ok(Suspect(Text(Cow::Owned(kept.to_owned()))))
            }
        }
        deserializer.deserialize_str(SuspectVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Vec<(usize, String, String)> {
        let Environment(suspects) = serde_json::from_str(json).unwrap();
        let suspects = suspects.into_iter();
        suspects
            .map(|(index, EnvVar { name, value })| (index, name.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn keeps_suspects_with_their_value_in_whatever_order_they_are_written() {
        let json = r#"[
            {"name": "A", "value": "plain"},
            {"name": "B", "value": "with \"quotes\""},
            {"name": "DB_PASSWORD", "value": "\"x\""},
            {"value": "\"y\"", "name": "DB_PASSWORD"},
            {"name": "C", "value": "postgres:\/\/u:x@h"},
            {"name": "D", "value": "pwd=\"z\"", "more": {"a": 1}},
            {"name": null, "value": null, "valueFrom": {}}
        ]"#;
        let suspect = |index, name: &str, value: &str| (index, name.to_owned(), value.to_owned());
        assert_eq!(
            read(json),
            [
                suspect(2, "DB_PASSWORD", "\"x\""),
                suspect(3, "DB_PASSWORD", "\"y\""),
                suspect(4, "C", "postgres://u:x@h"),
                suspect(5, "D", "pwd=\"z\""),
            ]
        );
    }

    #[test]
    fn what_is_no_environment_is_an_error() {
        for wrong in [
            r#"[{"name": 1}]"#,
            r#"[{"name": "A", "value": 1}]"#,
            "{}",
            "[1]",
        ] {
            assert!(
                serde_json::from_str::<Environment<'_>>(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
