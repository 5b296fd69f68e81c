//! Corrections, and the JSON Patch that carries them out.
//!
//! A patch is built for the object as it was received, and tried on it before it is sent. If the API server cannot
//! apply a patch, the user gets an HTTP 500, whatever the failurePolicy
//! (`k8s.io/apiserver: webhook/mutating/dispatcher.go`).

use std::borrow::Cow;
use std::iter;

use json_patch::jsonptr::{Pointer, PointerBuf};
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation};
use serde_json::{Value, json};

use crate::core::policy::path::FieldPath;

/// A correction: a field and what it should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fix {
    /// The field to correct.
    pub path: FieldPath,
    /// The value it gets.
    pub value: Replacement,
}

/// The new value of a corrected field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    Text(Cow<'static, str>),
    /// This prefix and the time of the review, in seconds since 1970.
    Stamped(String),
    Number(u32),
    /// Nothing: the field is removed.
    Nothing,
}

impl Fix {
    /// Sets `path` to a text.
    #[must_use]
    pub(crate) fn set(path: FieldPath, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            path,
            value: Replacement::Text(text.into()),
        }
    }

    /// The steps to the field: field names and indices.
    #[must_use]
    pub(crate) fn steps(&self) -> Vec<String> {
        let path = self.path.pointer();
        let steps = path.tokens().map(|step| step.decoded().into_owned());
        steps.collect()
    }

    /// Removes `path`.
    #[must_use]
    pub(crate) fn remove(path: FieldPath) -> Self {
        Self {
            path,
            value: Replacement::Nothing,
        }
    }

    /// The field's value when patched at `now`; `None` if it is removed.
    #[must_use]
    pub(crate) fn value(&self, now: jiff::Timestamp) -> Option<Value> {
        Some(match &self.value {
            Replacement::Text(text) => (**text).into(),
            Replacement::Stamped(prefix) => format!("{prefix}{}", now.as_second()).into(),
            Replacement::Number(number) => (*number).into(),
            Replacement::Nothing => return None,
        })
    }
}

/// The patch that carries out `fixes` on `object`, or `None` if it would not apply or change nothing. It reads only
/// those parts of the object that the fields lead through.
#[must_use]
pub(crate) fn patch<'f>(
    fixes: impl IntoIterator<Item = &'f Fix>,
    object: &Value,
    now: jiff::Timestamp,
) -> Option<Patch> {
    let mut patched = object.clone();
    let mut operations = Vec::new();
    for fix in fixes {
        let path = fix.path.pointer();
        let value = fix.value(now);
        if patched.pointer(path.as_str()) == value.as_ref() {
            continue;
        }
        let from = operations.len();
        if let Some(value) = value {
            let parents = missing_parents(&path, &patched);
            operations.extend(parents.map(|parent| add(parent, json!({}))));
            operations.push(add(path, value));
        } else {
            operations.push(PatchOperation::Remove(RemoveOperation { path }));
        }
        json_patch::patch(&mut patched, &operations[from..]).ok()?;
    }
    (!operations.is_empty()).then_some(Patch(operations))
}

/// The missing parents of `path`, outermost first: `annotations` may be absent or null.
fn missing_parents<'p>(
    path: &'p Pointer,
    object: &Value,
) -> impl Iterator<Item = PointerBuf> + use<'p> {
    let parents = iter::successors(path.parent(), |pointer| pointer.parent());
    let is_missing = |pointer: &&Pointer| {
        let value = object.pointer(pointer.as_str());
        !pointer.is_root() && value.is_none_or(Value::is_null)
    };
    let missing: Vec<_> = parents
        .take_while(is_missing)
        .map(Pointer::to_buf)
        .collect();
    missing.into_iter().rev()
}

/// `add` also replaces an existing member of an object (RFC 6902, 4.1), so it serves both.
fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::annotation::Annotation;

    fn now() -> jiff::Timestamp {
        jiff::Timestamp::from_second(1_766_361_600).unwrap()
    }

    #[test]
    fn makes_the_maps_that_are_missing() {
        let fix = Fix::set(FieldPath::annotation(Annotation::DeletePolicy), "x");
        for object in [
            json!({"metadata": {}}),
            json!({"metadata": {"annotations": null}}),
        ] {
            let patch = patch([&fix], &object, now()).unwrap();
            assert_eq!(
                serde_json::to_value(&patch).unwrap(),
                json!([
                    {"op": "add", "path": "/metadata/annotations", "value": {}},
                    {"op": "add", "path": "/metadata/annotations/helm.sh~1hook-delete-policy", "value": "x"},
                ])
            );
        }
    }

    #[test]
    fn changes_nothing_twice() {
        let fixes = [
            Fix::set(FieldPath::of("spec.template.spec.restartPolicy"), "Never"),
            Fix {
                path: FieldPath::of("metadata.name"),
                value: Replacement::Stamped("a-".into()),
            },
        ];
        let mut object = json!({"metadata": {"generateName": "a-"}, "spec": {"template": {"spec": {"restartPolicy": "Always"}}}});
        let first = patch(&fixes, &object, now()).unwrap();
        json_patch::patch(&mut object, &first).unwrap();
        assert_eq!(object["metadata"]["name"], "a-1766361600");
        assert_eq!(patch(&fixes, &object, now()), None);
    }

    #[test]
    fn removes_what_is_there() {
        let path = FieldPath::of("spec.containers")
            .index(0)
            .field("restartPolicyRules");
        let fix = Fix::remove(path);
        let mut object = json!({"spec": {"containers": [{"restartPolicyRules": []}]}});
        let first = patch([&fix], &object, now()).unwrap();
        json_patch::patch(&mut object, &first).unwrap();
        assert_eq!(object, json!({"spec": {"containers": [{}]}}));
        assert_eq!(patch([&fix], &object, now()), None);
        assert_eq!(patch([&fix], &json!({}), now()), None);
    }

    #[test]
    fn gives_no_patch_that_does_not_apply() {
        let fix = Fix::set(FieldPath::of("spec.template.spec.restartPolicy"), "Never");
        assert_eq!(patch([&fix], &json!({"spec": []}), now()), None);
    }
}
