//! Finds values of a type that the API server refuses, and says what to write instead.
//!
//! [`crate::core::job::object`] checks the fields that rules read. Labels and annotations are checked here, whatever their
//! key: a review never has wrong ones, so the facts of a Job leave most of them out.

use std::collections::BTreeMap;

use json_patch::jsonptr::Pointer;
use serde::Deserialize;
use serde_json::Value;

use crate::core::job::object::Object;
use crate::core::manifest::{pointer, typed};
use crate::core::text;

/// A value of the wrong type.
pub(super) struct WrongType {
    /// JSON Pointer to it.
    pub(super) at: String,
    pub(super) message: String,
    /// Whether it is a text that contains `{{`, as in a template.
    pub(super) is_template: bool,
}

/// Reads a Job or CronJob. `written` is a value as its author wrote it, if it is a scalar without quotes.
pub(super) fn read<'v, 'w>(
    object: &'v Value,
    written: impl Fn(&str) -> Option<&'w str>,
) -> Result<Object<'v>, WrongType> {
    let read = serde_path_to_error::deserialize::<_, Object<'_>>(object);
    let described = serde_path_to_error::deserialize::<_, Described>(object);
    described.and(read).map_err(|error| {
        let (at, name) = pointer::of(error.path());
        let found = at.resolve(object).ok();
        let text = found.and_then(Value::as_str).unwrap_or_default();
        // The parser's own message would quote the value, with a credential that it may hold.
        let error = error.inner().to_string();
        let wanted = error.rsplit_once("expected ").map(|(_, wanted)| wanted);
        let what = match wanted.unwrap_or("something else") {
            "a string" => string(&at, found, written(at.as_str())),
            "an integer" | "i64" => {
                let shown = typed::shown(found);
                let is_number = text.parse::<i64>().is_ok();
                let write = if is_number {
                    format!("; write {text}")
                } else {
                    String::new()
                };
                format!(": Invalid value: {shown}: must be an integer{write}")
            }
            wanted if wanted.starts_with("struct ") => " must be a map".to_owned(),
            wanted => format!(" must be {wanted}"),
        };
        WrongType {
            at: at.to_string(),
            message: format!("{name}{what}"),
            is_template: text.contains("{{"),
        }
    })
}

/// What is wrong with a value that has to be a string. In a container it may be a password, which no name of its own
/// gives away.
fn string(at: &Pointer, found: Option<&Value>, written: Option<&str>) -> String {
    let key = at.last().map(|key| key.decoded().into_owned());
    let shown = |value: &str| {
        let line = format!("{}: {value}", key.as_deref().unwrap_or_default());
        let is_safe = text::bounded(&line, line.len()) == line;
        (is_safe && !at.as_str().contains("ontainers/")).then(|| value.to_owned())
    };
    let (value, write) = match found {
        Some(Value::Array(items)) => match items.as_slice() {
            [Value::String(one)] => ("a list".into(), shown(one)),
            _ => ("a list".into(), Some(String::new())),
        },
        Some(value @ (Value::Bool(_) | Value::Number(_))) => {
            let value = written.map_or_else(|| value.to_string(), str::to_owned);
            let write = shown(&value).map(|value| text::quoted(&value));
            (value.into(), write)
        }
        other => (typed::shown(other), Some(String::new())),
    };
    match write.as_deref() {
        None => " must be a string; put the value in quotes".to_owned(),
        Some("") => format!(": Invalid value: {value}: must be a string"),
        Some(write) => format!(": Invalid value: {value}: must be a string; write {write}"),
    }
}

type Strings = Option<BTreeMap<String, Option<String>>>;

/// The metadata of an object, and of the objects that it creates.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "reading it is what tells whether it is right")]
struct Described {
    metadata: Option<Metadata>,
    spec: Option<Spec>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct Metadata {
    labels: Strings,
    annotations: Strings,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "as above")]
struct Spec {
    template: Option<Box<Described>>,
    job_template: Option<Box<Described>>,
}
