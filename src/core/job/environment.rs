//! The environment variables of a container, as far as rules read them.
//!
//! [`crate::core::job::credentials`] decides whether a suspect holds a credential.

use serde::Deserialize;
use serde::de::Deserializer;

use crate::core::job::credentials::{is_key, may_hold_any};
use crate::core::json::{Text, fold};

/// The environment variables that may hold a credential, each with its index in the list.
///
/// An environment may be a megabyte long, and no rule reads the others.
#[derive(Debug, Default)]
pub(crate) struct Environment<'a>(pub Vec<(usize, EnvVar<'a>)>);

#[derive(Debug, Default, Deserialize)]
pub(crate) struct EnvVar<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Empty if it comes from elsewhere.
    pub value: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Environment<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut indices = 0..;
        let suspects = fold(deserializer, |suspects: &mut Vec<_>, next: EnvVar<'a>| {
            let is_suspect = is_key(&next.name) || may_hold_any(&next.value);
            let index = indices.next().unwrap_or_default();
            if is_suspect {
                suspects.push((index, next));
            }
            is_suspect
        });
        suspects.map(Environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let Environment(suspects) = serde_json::from_str(json).unwrap();
        let suspects = suspects.iter();
        let kept: Vec<_> = suspects.map(|(at, v)| (*at, &*v.name, &*v.value)).collect();
        let password = "DB_PASSWORD";
        let (c, d) = ((4, "C", "postgres://u:x@h"), (5, "D", "pwd=\"z\""));
        let expected = [(2, password, "\"x\""), (3, password, "\"y\""), c, d];
        assert_eq!(kept, expected);
        for wrong in [r#"[{"name": 1}]"#, r#"[{"value": 1}]"#, "{}", "[1]"] {
            let read = serde_json::from_str::<Environment<'_>>(wrong);
            assert!(read.is_err(), "{wrong}");
        }
    }
}
