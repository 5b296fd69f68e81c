//! Reads a value of a document into a type, and says in the author's words what does not fit.

use serde::Deserialize;
use serde_json::Value;

use super::pointer;
use crate::core::text;

/// Longest value that a message quotes, in bytes.
const SHOWN: usize = 80;

/// What does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// JSON Pointer to the value, or to the key.
    pub(crate) pointer: String,
    /// Whether the fault is the key and not its value.
    pub(crate) is_key: bool,
    /// What is wrong, and what to write instead.
    pub(crate) message: String,
}

/// Reads a value, or returns the first fault in it.
pub(crate) fn read<'v, T: Deserialize<'v>>(value: &'v Value) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (pointer, _) = pointer::of(error.path());
        let found = value.pointer(pointer.as_str());
        let error = error.inner().to_string();
        Misfit {
            is_key: error.starts_with("unknown field"),
            message: plain(&error, found),
            pointer: pointer.to_string(),
        }
    })
}

/// A message of the typed parser, in terms of the file.
fn plain(error: &str, found: Option<&Value>) -> String {
    let mut quoted = error.split('`').skip(1).step_by(2);
    let mut word = || text::bounded(quoted.next().unwrap_or_default(), SHOWN);
    if error.starts_with("unknown field") {
        let key = word();
        let keys: Vec<_> = quoted.collect();
        return match text::nearest(&key, keys.iter().copied()) {
            Some(nearest) => format!("there is no key {key}; did you mean {nearest}?"),
            None => format!(
                "there is no key {key}; the keys here are {}",
                keys.join(", ")
            ),
        };
    }
    if error.starts_with("unknown variant") {
        let found = word();
        let words: Vec<_> = quoted.collect();
        let known = match words[..] {
            [one] => one.to_owned(),
            _ => format!("one of {}", words.join(", ")),
        };
        return match text::nearest(&found, words.iter().copied()) {
            Some(nearest) => format!(
                "{} is not {known}; did you mean {nearest}?",
                text::quoted(&found)
            ),
            None => format!("{} is not {known}", text::quoted(&found)),
        };
    }
    if error.starts_with("missing field") {
        return format!("the key {} is missing", word());
    }
    let Some((_, expected)) = error.rsplit_once(", expected ") else {
        return error.to_owned();
    };
    let is_bare = matches!(found, Some(Value::Bool(_) | Value::Number(_)));
    let shown = match found {
        None | Some(Value::Null) => "an empty value".into(),
        Some(Value::Object(_)) => "a map".into(),
        Some(Value::Array(_)) => "a list".into(),
        Some(scalar) => text::bounded(&scalar.to_string(), SHOWN).into_owned(),
    };
    let expected = match expected {
        "u16" => "an integer from 0 to 65535",
        "u32" => "an integer from 0 to 4294967295",
        "a boolean" => "true or false",
        "a string" if is_bare => "a text; put it in quotes",
        "a string" => "a text",
        "string or map" => "a word",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "a map",
        other => other,
    };
    format!("{shown} is not {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its faults are looked at")]
    struct Fields {
        word: Option<Word>,
        text: Option<String>,
        number: Option<u16>,
        list: Option<Vec<bool>>,
        map: Option<Needs>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Deny,
        Warn,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its faults are looked at")]
    struct Needs {
        name: String,
    }

    #[test]
    fn no_word_of_the_parser_is_left() {
        let rows = r#"
- [{wrod: 1}, /wrod, there is no key wrod; did you mean word?]
- [{unlike: 1}, /unlike, "there is no key unlike; the keys here are word, text, number, list, map"]
- [{word: den}, /word, '"den" is not one of deny, warn; did you mean deny?']
- [{word: "no"}, /word, '"no" is not one of deny, warn']
- [{word: 3}, /word, 3 is not a word]
- [{word: [deny]}, /word, a list is not a word]
- [{text: 3}, /text, 3 is not a text; put it in quotes]
- [{text: {}}, /text, a map is not a text]
- [{number: -1}, /number, -1 is not an integer from 0 to 65535]
- [{number: 1.5}, /number, 1.5 is not an integer from 0 to 65535]
- [{number: x}, /number, '"x" is not an integer from 0 to 65535']
- [{list: x}, /list, '"x" is not a list']
- [{list: [true, x]}, /list/1, '"x" is not true or false']
- [{map: 1}, /map, 1 is not a map]
- [{map: {}}, /map, the key name is missing]
- [x, "", '"x" is not a map']
"#;
        let rows: Vec<(Value, String, String)> = serde_saphyr::from_str(rows).unwrap();
        for (value, pointer, message) in rows {
            let is_key = message.starts_with("there is no key");
            let expected = Misfit {
                pointer,
                is_key,
                message,
            };
            assert_eq!(read::<Fields>(&value).unwrap_err(), expected, "{value}");
        }
    }
}
