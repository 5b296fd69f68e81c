//! Reads a value of a document into a type, and says in the author's words what does not fit.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use json_patch::jsonptr::{Pointer, PointerBuf, Token};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::pointer;
use crate::core::text;

/// Longest value that a message quotes, in bytes.
const SHOWN: usize = 80;

/// What does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// JSON Pointer to the value, or to the key.
    pub(crate) pointer: PointerBuf,
    /// The fault, if it is the key and not its value.
    pub(crate) key: Option<Key>,
    /// What is wrong, and what to write instead.
    pub(crate) message: String,
}

/// A fault of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// There is no such key; the known one that is most like it.
    Unknown(Option<String>),
    /// This key of the map is missing.
    Missing(String),
}

/// Reads a value, or returns the first fault in it.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Misfit> {
    let (mut error, pointer) = match serde_path_to_error::deserialize(value) {
        Ok(read) => return Ok(read),
        Err(error) => {
            let (pointer, _) = pointer::of(error.path());
            (error.inner().to_string(), pointer)
        }
    };
    let found = pointer.resolve(value).ok();
    if error.ends_with("expected string or map") || error.ends_with("expected a word") {
        // The parser names the words of a type only beside a text that is not one of them.
        let mut asked = value.clone();
        if let Ok(found) = pointer.resolve_mut(&mut asked) {
            *found = Value::String(String::new());
        }
        if let Err(known) = serde_path_to_error::deserialize::<_, T>(&asked) {
            error = known.inner().to_string();
        }
    }
    let (key, message) = plain(&error, found);
    Err(Misfit {
        pointer,
        key,
        message,
    })
}

/// Reads a value, or returns all faults in it: after each one it leaves out what is at fault and reads the rest.
pub(crate) fn read_all<T: DeserializeOwned>(mut value: Value) -> Result<T, Vec<Misfit>> {
    let (mut faults, mut left_out) = (Vec::new(), LeftOut::default());
    for _ in 0..text::FINDINGS {
        let misfit = match read(&value) {
            Ok(read) if faults.is_empty() => return Ok(read),
            Ok(_) => break,
            Err(misfit) => misfit,
        };
        let place = left_out.original(&misfit.pointer);
        let follows = match &misfit.key {
            Some(Key::Missing(key)) => left_out.keys.contains(&below(&place, key)),
            Some(Key::Unknown(Some(meant))) => {
                let map = place.parent().unwrap_or(Pointer::root());
                left_out.keys.insert(below(map, meant));
                false
            }
            _ => false,
        };
        let rest = left_out.leave_out(&mut value, &misfit.pointer);
        if !follows {
            let pointer = place;
            faults.push(Misfit { pointer, ..misfit });
        }
        if rest.is_none() {
            break;
        }
    }
    Err(faults)
}

fn below(map: &Pointer, key: &str) -> PointerBuf {
    map.with_trailing_token(Token::new(key))
}

/// What was left out of a value, as JSON Pointers into the whole value.
#[derive(Default)]
struct LeftOut {
    /// The keys, and those that were meant by unknown ones: that they are missing is not another fault.
    keys: BTreeSet<PointerBuf>,
    /// The items of each list.
    items: BTreeMap<PointerBuf, BTreeSet<usize>>,
}

impl LeftOut {
    /// The place in the whole value of a place in the rest.
    fn original(&self, pointer: &Pointer) -> PointerBuf {
        pointer.tokens().fold(PointerBuf::new(), |parent, token| {
            let gone = self.items.get(&parent);
            let index = token.decoded().parse::<usize>().ok();
            let index = gone.zip(index).and_then(|(gone, index)| {
                let mut left = (0..).filter(|index| !gone.contains(index));
                left.nth(index)
            });
            match index {
                Some(index) => below(&parent, &index.to_string()),
                None => below(&parent, &token.decoded()),
            }
        })
    }

    /// Removes a key or an item from the rest. `None` if it is the whole value.
    fn leave_out(&mut self, rest: &mut Value, pointer: &Pointer) -> Option<()> {
        let original = self.original(pointer);
        let (parent, token) = pointer.split_back()?;
        match parent.resolve_mut(rest).ok()? {
            Value::Object(map) => {
                map.remove(&*token.decoded())?;
                self.keys.insert(original);
            }
            Value::Array(list) => {
                list.remove(token.decoded().parse().ok()?);
                let (list, token) = original.split_back()?;
                let gone = self.items.entry(list.to_owned()).or_default();
                gone.insert(token.decoded().parse().ok()?);
            }
            _ => return None,
        }
        Some(())
    }
}

/// The message for a value that is not one of some words.
pub(crate) fn not_one_of(found: Option<&Value>, words: &[&str]) -> String {
    let shown = shown(found);
    if let [one] = words {
        return format!("write {one} instead of {shown}");
    }
    let text = found.and_then(Value::as_str).unwrap_or_default();
    let meant = text::nearest(text, words.iter().copied())
        .map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
    format!("{shown} is not one of {}{meant}", words.join(", "))
}

/// A value as a message shows it: in one line, without credentials.
pub(crate) fn shown(found: Option<&Value>) -> Cow<'static, str> {
    match found {
        None | Some(Value::Null) => "an empty value".into(),
        Some(Value::Object(_)) => "a map".into(),
        Some(Value::Array(_)) => "a list".into(),
        Some(scalar) => text::bounded(&scalar.to_string(), SHOWN)
            .into_owned()
            .into(),
    }
}

/// A message of the typed parser, in terms of the file.
fn plain(error: &str, found: Option<&Value>) -> (Option<Key>, String) {
    let mut quoted = error.split('`').skip(1).step_by(2);
    let mut word = || text::bounded(quoted.next().unwrap_or_default(), SHOWN).into_owned();
    if error.starts_with("unknown field") {
        let key = word();
        let keys: Vec<_> = quoted.collect();
        let nearest = text::nearest(&key, keys.iter().copied());
        let message = match nearest {
            Some(nearest) => format!("there is no key {key}; did you mean {nearest}?"),
            None => format!(
                "there is no key {key}; the keys here are {}",
                keys.join(", ")
            ),
        };
        return (Some(Key::Unknown(nearest.map(str::to_owned))), message);
    }
    if error.starts_with("unknown variant") {
        return (None, not_one_of(found, &quoted.skip(1).collect::<Vec<_>>()));
    }
    if error.starts_with("missing field") {
        let key = word();
        let message = format!("the key {key} is missing");
        return (Some(Key::Missing(key)), message);
    }
    let Some((_, expected)) = error.rsplit_once(", expected ") else {
        return (None, error.to_owned());
    };
    let is_bare = matches!(found, Some(Value::Bool(_) | Value::Number(_)));
    let expected = match expected {
        "u16" => "an integer from 0 to 65535",
        "u32" => "an integer from 0 to 4294967295",
        "a boolean" => "true or false",
        "a string" if is_bare => "a text; put it in quotes",
        "a string" => "a text",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "a map",
        other => other,
    };
    (None, format!("{} is not {expected}", shown(found)))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its faults are looked at")]
    struct Fields {
        word: Option<Word>,
        kind: Option<Kind>,
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
    enum Kind {
        Job,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its faults are looked at")]
    struct Needs {
        name: String,
        many: Option<Vec<Needs>>,
    }

    #[test]
    fn no_word_of_the_parser_is_left() {
        let rows = r#"
- [{wrod: 1}, /wrod, there is no key wrod; did you mean word?]
- [{unlike: 1}, /unlike, "there is no key unlike; the keys here are word, kind, text, number, list, map"]
- [{word: den}, /word, '"den" is not one of deny, warn; did you mean deny?']
- [{word: "no"}, /word, '"no" is not one of deny, warn']
- [{word: 3}, /word, '3 is not one of deny, warn']
- [{word: "on"}, /word, '"on" is not one of deny, warn']
- [{word: true}, /word, 'true is not one of deny, warn']
- [{word: [deny]}, /word, 'a list is not one of deny, warn']
- [{kind: 3}, /kind, write Job instead of 3]
- [{kind: Jbo}, /kind, 'write Job instead of "Jbo"']
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
            let misfit = read::<Fields>(&value).unwrap_err();
            let found = (misfit.pointer.to_string(), misfit.message);
            assert_eq!(found, (pointer, message), "{value}");
        }
    }

    #[test]
    fn all_faults_are_told_once_and_where_they_stand() {
        let rows = r#"
- [{wrod: 1, txt: a, word: den, number: x}, [/number, /txt, /word, /wrod]]
- [{map: {nam: a}}, [/map/nam]]
- [{map: {unlike: a}}, [/map/unlike, /map]]
- [{map: {name: 3}, text: 3}, [/map/name, /text]]
- [{list: [x, true, w, z]}, [/list/0, /list/2, /list/3]]
- [{map: {name: a, many: [{nme: b}, {name: c}, {}, {name: d, x: 1}]}}, [/map/many/0/nme, /map/many/2, /map/many/3/x]]
- [{map: {name: a, many: [{name: 1, many: [{}]}, {name: 2}]}}, [/map/many/0/many/0, /map/many/0/name, /map/many/1/name]]
- [3, [""]]
"#;
        let rows: Vec<(Value, Vec<String>)> = serde_saphyr::from_str(rows).unwrap();
        for (value, expected) in rows {
            let misfits = read_all::<Fields>(value.clone()).unwrap_err();
            let mut found: Vec<_> = misfits.iter().map(|one| one.pointer.to_string()).collect();
            found.sort();
            let mut expected = expected;
            expected.sort();
            assert_eq!(found, expected, "{value}");
        }
        let many: Value = (0..1000)
            .map(|index| (format!("k{index}"), Value::Null))
            .collect();
        let misfits = read_all::<Fields>(many).unwrap_err();
        assert_eq!(misfits.len(), text::FINDINGS);
    }
}
