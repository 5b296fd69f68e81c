//! Types for parsing JSON, borrowed from the input bytes.
//!
//! A review is parsed once per request, so nothing here copies a string unless it has JSON escapes. Only the fields
//! that rules read are named; the parser skips everything else. [`crate::core::job`] knows what the fields mean, and
//! Kubernetes' defaults for them.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

/// A string borrowed from the input, or owned if it had escape sequences.
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
/// A linear search of a few entries is faster than hashing. A `null` value reads as the empty string, as in Go's
/// decoder.
#[derive(Clone, Debug, Default)]
pub struct Map<'a>(Vec<(Text<'a>, Text<'a>)>);

impl Map<'_> {
    /// The value of `key`; the last one of a repeated key, as in Go.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(k, _)| &**k == key)
            .map(|(_, value)| &**value)
    }

    /// Whether the map is empty.
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
                    entry()?;
                    entries.push((key, value.unwrap_or_default()));
                }
                Ok(Map(entries))
            }
        }
        deserializer.deserialize_map(MapVisitor)
    }
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
    /// The objects on the page.
    #[serde(default = "Vec::new", deserialize_with = "nullable")]
    pub items: Vec<T>,
}

#[derive(Default, Deserialize)]
struct ListMeta<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    r#continue: Text<'a>,
}

impl<T> Page<'_, T> {
    /// The token of the next page; `None` on the last one.
    #[must_use]
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

/// Most entries of all lists and maps of one document together. Parsed, an entry may take fifty times its text, and a
/// list of containers holds lists. A real Job has some hundred entries.
const MOST: usize = 20_000;
/// The error for a document with more entries.
const TOO_MANY: &str = "more than 20000 entries in its lists and maps";

thread_local! {
    /// How many more entries the document that this thread is reading may have. `None` outside of [`document`].
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Reads one document from a client. Fails if its lists and maps have too many entries together.
pub(crate) fn document<T>(read: impl FnOnce() -> T) -> T {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            LEFT.set(None);
        }
    }
    LEFT.set(Some(MOST));
    let _end = End;
    read()
}

/// Counts one more kept entry of the document; fails if there are too many.
pub(crate) fn entry<E: Error>() -> Result<(), E> {
    let Some(left) = LEFT.get() else {
        return Ok(());
    };
    let left = left.checked_sub(1).ok_or_else(|| E::custom(TOO_MANY))?;
    LEFT.set(Some(left));
    Ok(())
}

/// Whether a document could not be read because it has too many entries.
#[must_use]
pub(crate) fn has_too_many(error: &serde_json::Error) -> bool {
    error.is_data() && error.to_string().starts_with(TOO_MANY)
}

/// Reads a list whose entries count. `null` reads as an empty list.
pub(crate) fn few<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    fold(deserializer, |list: &mut Vec<T>, next| list.push(next))
}

/// Reads a list entry by entry, and folds the entries with `take`. They count, and `null` reads as an empty list.
pub(crate) fn fold<'de, D, T, R>(
    deserializer: D,
    take: impl FnMut(&mut R, T),
) -> Result<R, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    R: Default,
{
    struct Fold<F, T, R>(F, PhantomData<(T, R)>);
    impl<'de, F: FnMut(&mut R, T), T: Deserialize<'de>, R: Default> Visitor<'de> for Fold<F, T, R> {
        type Value = R;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_unit<E>(self) -> Result<R, E> {
            Ok(R::default())
        }

        fn visit_none<E>(self) -> Result<R, E> {
            Ok(R::default())
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<R, D::Error> {
            deserializer.deserialize_seq(self)
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut entries: A) -> Result<R, A::Error> {
            let mut kept = R::default();
            while let Some(next) = entries.next_element()? {
                entry()?;
                (self.0)(&mut kept, next);
            }
            Ok(kept)
        }
    }
    deserializer.deserialize_option(Fold(take, PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    struct Holder<'a> {
        #[serde(default, deserialize_with = "few")]
        list: Vec<u8>,
        #[serde(borrow, default, deserialize_with = "nullable")]
        map: Map<'a>,
        #[serde(borrow, default, deserialize_with = "few")]
        inner: Vec<Holder<'a>>,
    }

    fn list(length: usize) -> String {
        format!("[{}]", vec!["1"; length].join(","))
    }

    #[test]
    fn a_document_has_an_end() {
        let half = list(MOST / 2);
        let labels: Vec<_> = (0..MOST / 2).map(|n| format!("\"{n}\":\"\"")).collect();
        let labels = labels.join(",");
        for (text, more) in [
            (
                format!("{{\"list\":{}", list(MOST)),
                ",\"map\":{\"a\":\"\"}",
            ),
            (
                format!("{{\"list\":{half},\"map\":{{{labels}}}"),
                ",\"inner\":[{}]",
            ),
            (
                format!(
                    "{{\"inner\":[{{\"list\":{half}}},{{\"list\":{}}}]",
                    list(MOST / 2 - 2)
                ),
                ",\"list\":[1]",
            ),
        ] {
            let read = |text: &str| {
                document(|| {
                    serde_json::from_str::<Holder<'_>>(text).map(|read| read.map.is_empty())
                })
            };
            assert!(read(&format!("{text}}}")).is_ok());
            let error = read(&format!("{text}{more}}}")).unwrap_err();
            assert!(has_too_many(&error), "{error}");
            let expected = "more than 20000 entries in its lists and maps at line 1 column ";
            assert!(error.to_string().starts_with(expected), "{error}");
            // The next document is counted from zero again.
            assert!(read(&format!("{text}}}")).is_ok());
        }
    }

    #[test]
    fn only_a_clients_document_is_counted() {
        let text = format!("{{\"list\":{}}}", list(MOST + 1));
        let holder: Holder<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(holder.list.len(), MOST + 1);
        let empty: Holder<'_> = serde_json::from_str("{\"list\":null,\"inner\":null}").unwrap();
        assert!(empty.list.is_empty() && empty.inner.is_empty());
        let wrong = serde_json::from_str::<Holder<'_>>("{\"list\":{}}").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "invalid type: map, expected a list at line 1 column 8"
        );
        assert!(!has_too_many(&wrong));
    }
}
