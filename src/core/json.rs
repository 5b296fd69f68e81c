//! Types for parsing JSON, borrowed from the input bytes.
//!
//! A review is parsed once per request, so nothing here copies a string unless it has JSON escapes. Only the fields
//! that rules read are named; the parser skips everything else. [`crate::core::job`] knows what the fields mean, and
//! Kubernetes' defaults for them.

mod limit;

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor};

use limit::entry;
pub(crate) use limit::{document, few, fold, has_too_many, is_cut, sample};

/// A string borrowed from the input, or owned if it had escape sequences. `null` and a missing field read as the empty
/// string, as in Go's decoder.
///
/// `Cow<str>` alone would copy inside `Option`, `Vec` and maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }

            fn visit_some<D: Deserializer<'de>>(self, text: D) -> Result<Self::Value, D::Error> {
                text.deserialize_str(self)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_option(TextVisitor)
    }
}

/// A map of strings (labels, annotations) in the order it was written.
///
/// A linear search of a few entries is faster than hashing.
#[derive(Clone, Debug, Default)]
pub struct Map<'a>(Vec<(Text<'a>, Text<'a>)>);

impl Map<'_> {
    /// The value of `key`; the last one of a repeated key, as in Go.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(k, _)| &**k == key)
            .map(|(_, value)| &**value)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Map<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = entries(deserializer, Some)?;
        Ok(Self(entries.unwrap_or_default()))
    }
}

/// Reads the entries of a map of strings whose key is `wanted`. They count. `None` for `null`, or if the map is missing.
pub(crate) fn entries<'de, D: Deserializer<'de>, K>(
    deserializer: D,
    wanted: fn(Text<'de>) -> Option<K>,
) -> Result<Option<Vec<(K, Text<'de>)>>, D::Error> {
    struct Entries<'de, K>(fn(Text<'de>) -> Option<K>);
    impl<'de, K> Visitor<'de> for Entries<'de, K> {
        type Value = Option<Vec<(K, Text<'de>)>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of strings")
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, map: D) -> Result<Self::Value, D::Error> {
            map.deserialize_map(self)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut kept = Vec::new();
            while let Some(key) = map.next_key()? {
                if let Some(key) = (self.0)(key) {
                    entry()?;
                    if kept.is_empty() {
                        kept.reserve(8);
                    }
                    kept.push((key, map.next_value()?));
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(Some(kept))
        }
    }
    deserializer.deserialize_option(Entries(wanted))
}

/// The input cannot be parsed. The parser's own message is left out: it would quote the wrong value, which may be a
/// credential.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("it has an unexpected value at line {line}, column {column}")]
pub(crate) struct Unreadable {
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// One page of a LIST.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct Page<'a, T> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    metadata: ListMeta<'a>,
    #[serde(default = "Vec::new", deserialize_with = "nullable")]
    pub items: Vec<T>,
}

#[derive(Default, Deserialize)]
struct ListMeta<'a> {
    #[serde(borrow)]
    r#continue: Text<'a>,
}

impl<T> Page<'_, T> {
    pub(crate) fn next(&self) -> Option<String> {
        let token = &*self.metadata.r#continue;
        (!token.is_empty()).then(|| token.to_owned())
    }
}

/// Reads an integer as it reaches the API through kubectl and Helm, which turn `600.0` and `6e2` into `600`.
pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<Integer>::deserialize(deserializer)?.map(|Integer(value)| value))
}

/// Reads a list of such integers, which count as entries. `null` reads as an empty list.
pub(crate) fn integers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i64>, D::Error> {
    fold(deserializer, |list: &mut Vec<i64>, Integer(value)| {
        list.push(value);
        true
    })
}

struct Integer(i64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntegerVisitor;
        impl Visitor<'_> for IntegerVisitor {
            type Value = Integer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer")
            }

            fn visit_i64<E>(self, value: i64) -> Result<Integer, E> {
                Ok(Integer(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Integer, E> {
                i64::try_from(value)
                    .map(Integer)
                    .map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Integer, E> {
                // 2 to the power of 63, the first number that does not fit into an `i64`.
                const LIMIT: f64 = 9_223_372_036_854_775_808.0;
                if value.fract() != 0.0 || !(-LIMIT..LIMIT).contains(&value) {
                    return Err(E::invalid_value(Unexpected::Float(value), &self));
                }
                #[expect(clippy::cast_possible_truncation, reason = "it has been looked at")]
                Ok(Integer(value as i64))
            }
        }
        deserializer.deserialize_i64(IntegerVisitor)
    }
}

/// Reads `null` as the type's default: Go writes `null` for an empty list, map or struct.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
