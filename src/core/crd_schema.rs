//! What the CRDs of the chart have in common: how the types' schemas become what the apiserver takes.
//!
//! The types are with their subjects: [`crate::core::exception::resource`], [`crate::core::runs::resource`].

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

/// What its schema does not name, the apiserver refuses or drops by itself, and it wants no
/// `additionalProperties: false` to tell it to.
#[must_use]
pub(crate) fn opened(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut();
        if let Some(schema) = schema.and_then(|s| s.open_api_v3_schema.as_mut()) {
            let mut value = serde_json::to_value(&*schema).unwrap_or_default();
            open(&mut value);
            *schema = serde_json::from_value(value).unwrap_or_default();
        }
    }
    crd
}

fn open(schema: &mut Value) {
    if let Value::Object(map) = schema {
        if map.get("additionalProperties") == Some(&Value::Bool(false)) {
            map.remove("additionalProperties");
        }
        if let Some(Value::String(text)) = map.get_mut("description") {
            // `kubectl explain` breaks lines by itself, and keeps those that are there.
            *text = text.replace('\n', " ");
        }
    }
    match schema {
        Value::Object(map) => map.values_mut().for_each(open),
        Value::Array(items) => items.iter_mut().for_each(open),
        _ => {}
    }
}

/// A moment, RFC 3339.
pub(crate) fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// A text that may be missing: in a CRD a field is left out, never null.
pub(crate) fn text_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string"})
}

/// A number that may be missing.
pub(crate) fn integer_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32"})
}
