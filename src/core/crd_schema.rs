//! Shared by the CRDs of the chart: converts the types' schemas to the form that the API server accepts.
//!
//! The types are in [`crate::core::exception::resource`] and [`crate::core::runs::resource`].

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

/// Removes `additionalProperties: false`: the API server does not accept it, and refuses or drops unknown fields
/// anyway.
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
        // An optional field is left out, never null; a status may be null.
        if map.get("type") != Some(&"object".into()) {
            map.remove("nullable");
        }
        if let Some(Value::String(text)) = map.get_mut("description") {
            // `kubectl explain` wraps lines itself, and would keep existing line breaks.
            *text = text.replace('\n', " ");
        }
    }
    match schema {
        Value::Object(map) => map.values_mut().for_each(open),
        Value::Array(items) => items.iter_mut().for_each(open),
        _ => {}
    }
}

/// The schema of a time (RFC 3339).
pub(crate) fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}
