//! Parses the part of an object along some paths as a tree: a patch of these fields needs no more.
//!
//! A tree of the whole object takes a hundred times the memory of its text, if that is one long list.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::core::json::Text;

/// Parses the parts along these paths, each a list of field names and indices. Lists are only as long as the indices
/// require. The value at the end of a path is left out, unless it is a scalar.
pub(super) struct Along<'p>(Vec<&'p [String]>);

impl<'p> Along<'p> {
    pub(super) fn new(paths: &'p [Vec<String>]) -> Self {
        Self(paths.iter().map(Vec::as_slice).collect())
    }

    /// The paths that lead through this field; `None` if none does.
    fn through(&self, field: &str) -> Option<Self> {
        let heads = self.0.iter().filter_map(|path| path.split_first());
        let below = heads.filter_map(|(head, rest)| (head == field).then_some(rest));
        let below: Vec<_> = below.collect();
        (!below.is_empty()).then_some(Self(below))
    }

    /// The length that a list needs for the indices.
    fn length(&self) -> usize {
        let heads = self.0.iter().filter_map(|path| path.first());
        let indices = heads.filter_map(|head| head.parse::<usize>().ok());
        indices.max().map_or(0, |last| last.saturating_add(1))
    }
}

impl<'de> DeserializeSeed<'de> for Along<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Along<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(field) = fields.next_key::<Text<'de>>()? {
            match self.through(&field) {
                Some(along) => {
                    map.insert(field.to_string(), fields.next_value_seed(along)?);
                }
                None => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(map.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        for index in 0..self.length() {
            let along = self.through(&index.to_string()).unwrap_or(Self(Vec::new()));
            match items.next_element_seed(along)? {
                Some(item) => list.push(item),
                None => return Ok(list.into()),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(list.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn along(paths: &[&str], object: &str) -> Value {
        let steps = |path: &&str| path.split('.').map(str::to_owned).collect();
        let paths: Vec<Vec<String>> = paths.iter().map(steps).collect();
        let mut deserializer = serde_json::Deserializer::from_str(object);
        Along::new(&paths).deserialize(&mut deserializer).unwrap()
    }

    #[test]
    fn holds_what_the_paths_lead_through() {
        let object = json!({
            "metadata": {"name": "a", "annotations": {"x": "1", "y": "2"}},
            "spec": {"list": [{"a": 1, "b": 2}, {"a": 3}, {"a": 4}, 5], "n": null, "b": true, "f": 0.5},
            "status": {},
        });
        let annotations = [
            "metadata.annotations",
            "metadata.annotations.y",
            "metadata.name",
        ];
        for (paths, expected) in [
            (
                &["metadata.annotations.x"][..],
                r#"{"metadata":{"annotations":{"x":"1"}}}"#,
            ),
            (&annotations[..1], r#"{"metadata":{"annotations":{}}}"#),
            (
                &annotations,
                r#"{"metadata":{"annotations":{"y":"2"},"name":"a"}}"#,
            ),
            (&["spec.list.1.a"], r#"{"spec":{"list":[{},{"a":3}]}}"#),
            (&["spec.list.9.a"], r#"{"spec":{"list":[{},{},{},5]}}"#),
            (&["spec.list.x"], r#"{"spec":{"list":[]}}"#),
            (
                &["spec.n", "spec.f.deeper", "nothing"],
                r#"{"spec":{"f":0.5,"n":null}}"#,
            ),
            (&["spec.b"], r#"{"spec":{"b":true}}"#),
        ] {
            assert_eq!(along(paths, &object.to_string()).to_string(), expected);
        }
        // The last duplicate counts, as in a whole tree.
        assert_eq!(along(&["a"], r#"{"a": 1, "a": 2}"#), json!({"a": 2}));
    }
}
