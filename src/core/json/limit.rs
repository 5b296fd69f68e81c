//! Lists, and how many entries the lists and maps of a client's document may have together.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

/// Most entries of all lists and maps of one document together. Parsed, an entry may take fifty times its text, and a
/// list of containers holds lists. A real Job has some hundred entries.
const MOST: usize = 20_000;
const TOO_MANY: &str = "more than 20000 entries in its lists and maps";

/// Most entries of each list of a [`sample`].
const FIRST: usize = 256;

/// What bounds the lists that this thread is reading.
#[derive(Clone, Copy)]
enum Bound {
    None,
    /// How many more entries all lists and maps may have together, or the document is refused.
    Together(usize),
    /// The rest of each list is skipped; whether there was any.
    Each(bool),
}

thread_local! {
    static BOUND: Cell<Bound> = const { Cell::new(Bound::None) };
}

/// Reads one document from a client. Fails if its lists and maps have too many entries together.
pub(crate) fn document<T>(read: impl FnOnce() -> T) -> T {
    bounded(Bound::Together(MOST), read)
}

/// Reads an object that the API server has stored, and of each of its lists the first entries only: tenants write most of
/// it, and an error would end a watch for all others.
pub(crate) fn sample<T>(read: impl FnOnce() -> T) -> T {
    bounded(Bound::Each(false), read)
}

/// Whether the [`sample`] that is being read has had longer lists so far.
pub(crate) fn is_cut() -> bool {
    matches!(BOUND.get(), Bound::Each(true))
}

fn bounded<T>(bound: Bound, read: impl FnOnce() -> T) -> T {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            BOUND.set(Bound::None);
        }
    }
    BOUND.set(bound);
    let _end = End;
    read()
}

/// Counts one more kept entry of the document; fails if there are too many.
pub(super) fn entry<E: Error>() -> Result<(), E> {
    if let Bound::Together(left) = BOUND.get() {
        let left = left.checked_sub(1).ok_or_else(|| E::custom(TOO_MANY))?;
        BOUND.set(Bound::Together(left));
    }
    Ok(())
}

pub(crate) fn has_too_many(error: &serde_json::Error) -> bool {
    error.is_data() && error.to_string().starts_with(TOO_MANY)
}

/// Reads a list whose entries count. `null` reads as an empty list.
pub(crate) fn few<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    fold(deserializer, |list: &mut Vec<T>, next| {
        list.push(next);
        true
    })
}

/// Reads a list entry by entry, and folds the entries with `take`. Those that it keeps count. `null` reads as an empty
/// list.
pub(crate) fn fold<'de, D, T, R>(
    deserializer: D,
    take: impl FnMut(&mut R, T) -> bool,
) -> Result<R, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    R: Default,
{
    deserializer.deserialize_option(Fold(take, PhantomData))
}

struct Fold<F, T, R>(F, PhantomData<(T, R)>);

impl<'de, F, T, R> Visitor<'de> for Fold<F, T, R>
where
    F: FnMut(&mut R, T) -> bool,
    T: Deserialize<'de>,
    R: Default,
{
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
        let mut left = match BOUND.get() {
            Bound::Each(_) => FIRST,
            _ => usize::MAX,
        };
        while left > 0
            && let Some(next) = entries.next_element()?
        {
            if (self.0)(&mut kept, next) {
                entry()?;
                left -= 1;
            }
        }
        while entries.next_element::<IgnoredAny>()?.is_some() {
            BOUND.set(Bound::Each(true));
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::json::{Map, nullable};

    #[derive(Debug, Default, Deserialize)]
    struct Holder<'a> {
        #[serde(default, deserialize_with = "few")]
        list: Vec<u8>,
        #[serde(borrow, default, deserialize_with = "nullable")]
        map: Map<'a>,
        #[serde(borrow, default, deserialize_with = "few")]
        inner: Vec<Holder<'a>>,
    }

    #[test]
    fn a_document_has_an_end() {
        let list = |length: usize| json!(vec![1; length]);
        let labels = (0..MOST / 2).map(|n| (n.to_string(), json!("")));
        let labels = Value::Object(labels.collect());
        let (half, rest) = (list(MOST / 2), list(MOST / 2 - 2));
        for (mut document, key, more) in [
            (json!({"list": list(MOST)}), "map", json!({"a": ""})),
            (json!({"list": half, "map": labels}), "inner", json!([{}])),
            (
                json!({"inner": [{"list": half}, {"list": rest}]}),
                "list",
                json!([1]),
            ),
        ] {
            let read = |document: &Value| {
                let text = document.to_string();
                super::document(|| {
                    let read = serde_json::from_str::<Holder<'_>>(&text);
                    read.map(|read| read.map.is_empty())
                })
            };
            let enough = document.clone();
            assert!(read(&enough).is_ok());
            document[key] = more;
            let error = read(&document).unwrap_err();
            assert!(has_too_many(&error), "{error}");
            let expected = "more than 20000 entries in its lists and maps at line 1 column ";
            assert!(error.to_string().starts_with(expected), "{error}");
            // The next document is counted from zero again.
            assert!(read(&enough).is_ok());
        }
    }

    #[test]
    fn a_sample_has_the_first_entries_of_each_list() {
        let long = vec![1; FIRST + 1];
        let text = json!({"list": long, "inner": vec![json!({"list": long}); FIRST + 1]});
        let text = text.to_string();
        let read = || serde_json::from_str::<Holder<'_>>(&text).unwrap();
        let sampled = sample(read);
        let lengths = |holder: &Holder<'_>| (holder.list.len(), holder.inner.len());
        assert_eq!(lengths(&sampled), (FIRST, FIRST));
        assert_eq!(lengths(&sampled.inner[0]), (FIRST, 0));
        assert_eq!(lengths(&read()), (FIRST + 1, FIRST + 1));
    }

    #[test]
    fn only_a_clients_document_is_counted() {
        let text = json!({"list": vec![1; MOST + 1]}).to_string();
        let holder: Holder<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(holder.list.len(), MOST + 1);
        let empty: Holder<'_> = serde_json::from_str("{\"list\":null,\"inner\":null}").unwrap();
        assert!(empty.list.is_empty() && empty.inner.is_empty());
        let wrong = serde_json::from_str::<Holder<'_>>("{\"list\":{}}").unwrap_err();
        let expected = "invalid type: map, expected a list at line 1 column 8";
        assert_eq!(wrong.to_string(), expected);
        assert!(!has_too_many(&wrong));
    }
}
