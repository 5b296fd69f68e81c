//! The shapes of JSON that are read, borrowed from the bytes they came in.
//!
//! A review is read once per request, so nothing here copies a string unless JSON escapes force it
//! to. Only the fields a rule looks at are named; everything else is skipped by the parser. What the
//! fields mean, and Kubernetes' defaults for them, is the business of [`crate::job`].

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

/// A string borrowed from the input, or owned where an escape sequence had to be resolved.
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

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A map of strings (labels, annotations) in the order it was written.
///
/// A handful of entries is searched faster in a row than hashed. A `null` value reads as the empty
/// string, as Go's decoder does.
#[derive(Clone, Debug, Default)]
pub struct Map<'a>(Vec<(Text<'a>, Text<'a>)>);

impl Map<'_> {
    /// The value of `key`; of a key written twice the last one counts, as in Go.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(k, _)| &**k == key)
            .map(|(_, value)| &**value)
    }

    /// Whether there is no entry at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Map<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;
        impl<'de> Visitor<'de> for MapVisitor {
            type Value = Map<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(8);
                while let Some((key, value)) = map.next_entry::<Text<'de>, Option<Text<'de>>>()? {
                    entries.push((key, value.unwrap_or_default()));
                }
                Ok(Map(entries))
            }
        }
        deserializer.deserialize_map(MapVisitor)
    }
}

/// What was read is not what it should be. The parser's own words would quote the value at fault, which may be a
/// credential.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("it is not as expected at line {line}, column {column}")]
pub struct Unreadable {
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
pub struct Page<'a, T> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    metadata: ListMeta<'a>,
    /// The objects on it.
    #[serde(default = "Vec::new", deserialize_with = "nullable")]
    pub items: Vec<T>,
}

#[derive(Default, Deserialize)]
struct ListMeta<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    r#continue: Text<'a>,
}

impl<T> Page<'_, T> {
    /// The token of the next page; nothing on the last one.
    #[must_use]
    pub fn next(&self) -> Option<String> {
        let token = &*self.metadata.r#continue;
        (!token.is_empty()).then(|| token.to_owned())
    }
}

/// Reads an integer as the API takes it from kubectl and Helm, which make `600` of `600.0` and of `6e2`.
pub fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<Integer>::deserialize(deserializer)?.map(|Integer(value)| value))
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
                // 2 to the power of 63, from which on it is not an i64.
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
pub fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The longest of those lists that are copied, or whose entries have fields: what is read of an entry may take
/// fifty times its text. No Job of a cluster has that many containers or owners, and no user that many groups.
const MOST: usize = 10_000;

/// Reads a list that may not be longer than [`MOST`], and `null` as an empty one.
pub fn few<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Few<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST} entries")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_some<D: Deserializer<'de>>(
            self,
            deserializer: D,
        ) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_seq(self)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(entry) = entries.next_element()? {
                if list.len() == MOST {
                    return Err(Error::invalid_length(MOST + 1, &self));
                }
                list.push(entry);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_option(Few(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Holder {
        #[serde(default, deserialize_with = "few")]
        list: Vec<u8>,
    }

    #[test]
    fn a_list_has_an_end() {
        let read =
            |text: &str| serde_json::from_str::<Holder>(text).map(|holder| holder.list.len());
        let of = |length: usize| format!("{{\"list\":[{}]}}", vec!["1"; length].join(","));
        for (text, length) in [
            ("{}", 0),
            ("{\"list\":null}", 0),
            ("{\"list\":[]}", 0),
            (&of(MOST), MOST),
        ] {
            assert_eq!(read(text).unwrap(), length);
        }
        let error = read(&of(MOST + 1)).unwrap_err().to_string();
        let expected = "invalid length 10001, expected a list of at most 10000 entries";
        assert!(error.starts_with(expected), "{error}");
    }
}
