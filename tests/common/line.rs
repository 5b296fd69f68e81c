//! Whether a line of the decision log is as published.

use std::sync::OnceLock;

use jsonschema::Validator;
use migration_warden::core::decision::JSON_SCHEMA;
use serde_json::Value;

/// Fails unless the line is one of the published schema and has no field besides.
#[track_caller]
pub(crate) fn is_as_published(line: &Value) {
    static CLOSED: OnceLock<Validator> = OnceLock::new();
    let validator = CLOSED.get_or_init(|| {
        let mut schema = serde_json::from_str(JSON_SCHEMA).unwrap();
        close(&mut schema);
        jsonschema::validator_for(&schema).unwrap()
    });
    let faults: Vec<_> = validator.iter_errors(line).map(|e| e.to_string()).collect();
    assert!(faults.is_empty(), "{faults:#?}\n{line:#}");
}

/// Readers pass over fields that they do not know; here each has to be known.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("properties").is_some_and(Value::is_object) {
                map.insert("additionalProperties".to_owned(), false.into());
            }
            map.values_mut().for_each(close);
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}
