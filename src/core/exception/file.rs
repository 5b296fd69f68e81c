//! Reads the file of `check --exceptions`. Anything that the API server would refuse or silently drop is a fault with
//! line and column.

use jiff::Timestamp;
use kube::Resource;
use serde_json::Value;

use crate::core::exception::resource::MigrationException;
use crate::core::exception::{Exception, Unusable};
use crate::core::manifest::typed::{self, Misfit};
use crate::core::manifest::{self, Document, Node, Position};
use crate::core::policy::rule::Rule;
use crate::core::policy::rules::{self, RULES};
use crate::core::report::Problem;
use crate::core::text;

/// An exception and the place of its name.
#[derive(Debug)]
pub(crate) struct Written {
    pub exception: Exception,
    /// Position of its name in the file.
    pub position: Position,
}

/// Reads a YAML stream, or returns all its faults. `file` is its name, and `namespace` is used for exceptions that do
/// not set one. They count as created now.
pub(crate) fn read(
    file: &str,
    text: &str,
    namespace: &str,
    now: Timestamp,
) -> Result<Vec<Written>, Vec<Problem>> {
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    let fault = |position, message| Problem::at(file, position, message);
    for document in manifest::documents(text) {
        let document = match document {
            Ok(document) => document,
            Err(broken) => {
                faults.push(fault(broken.position, broken.message));
                continue;
            }
        };
        faults.extend(document.duplicates().map(|twice| {
            let message = format!(
                "the key {} is written twice in one map",
                text::quoted(&twice.key)
            );
            fault(twice.later, message)
        }));
        for node in objects(&document) {
            let place = |at: &str| document.locate(node, at).0;
            match one(&document.value(node), namespace, now) {
                Ok(exception) => read.push(Written {
                    exception,
                    position: place("/metadata/name"),
                }),
                Err(found) => faults.extend(found.into_iter().map(|unusable| {
                    let Unusable { pointer, message } = unusable;
                    fault(place(&pointer), message)
                })),
            }
        }
    }
    if faults.is_empty() {
        return Ok(read);
    }
    Err(faults)
}

/// The document itself, or its items if it is a list.
fn objects(document: &Document<'_>) -> Vec<Node> {
    let root = document.root();
    let kind = document.text(root, "kind");
    match document.get(root, "items") {
        // The output of `kubectl get --output yaml`.
        Some(items) if kind.is_some_and(|kind| kind.ends_with("List")) => {
            document.items(items).collect()
        }
        _ => vec![root],
    }
}

fn one(value: &Value, namespace: &str, now: Timestamp) -> Result<Exception, Vec<Unusable>> {
    let version = MigrationException::api_version(&());
    for (field, wanted) in [("apiVersion", &*version), ("kind", "MigrationException")] {
        let found = value.get(field).and_then(Value::as_str).unwrap_or_default();
        if found != wanted {
            let message = format!(
                "{field} is {}, not {wanted}; this file may hold only exceptions",
                text::quoted(found)
            );
            return Err(vec![Unusable::at(&format!("/{field}"), message)]);
        }
    }
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    let unknown = value.as_object().into_iter().flatten().map(|(key, _)| key);
    if let Some(key) = unknown.into_iter().find(|key| !known.contains(&&***key)) {
        let message = format!("there is no key {key}; the keys here are metadata, spec");
        return Err(vec![Unusable::at(&format!("/{key}"), message)]);
    }
    let unusable = |misfit: Misfit| {
        let message = match misfit.pointer.as_str() {
            "/spec/expiresAt" => {
                "spec.expiresAt is not a time; write one such as 2026-12-01T12:00:00Z".to_owned()
            }
            _ => misfit.message,
        };
        Unusable::at(misfit.pointer.as_str(), message)
    };
    let read = typed::read_all(value.clone());
    let mut object: MigrationException =
        read.map_err(|misfits: Vec<_>| misfits.into_iter().map(unusable).collect::<Vec<_>>())?;
    let metadata = &mut object.metadata;
    metadata.creation_timestamp = None;
    if metadata.namespace.as_deref().is_none_or(str::is_empty) {
        metadata.namespace = Some(namespace.to_owned());
    }
    let mut faults = misused(&object);
    match Exception::new(&object, now) {
        Ok(exception) if faults.is_empty() => return Ok(exception),
        Ok(_) => {}
        Err(unusable) => faults.push(unusable),
    }
    Err(faults)
}

/// The faults that the CRD's schema would refuse.
fn misused(object: &MigrationException) -> Vec<Unusable> {
    const LEAST: usize = 8;
    let mut faults = Vec::new();
    if object.metadata.name.as_deref().is_none_or(str::is_empty) {
        let message = "metadata.name is missing: decisions quote the name of the exception";
        faults.push(Unusable::at("/metadata/name", message));
    }
    if object.spec.rules.is_empty() {
        let message = "spec.rules is empty: the exception would cover nothing";
        faults.push(Unusable::at("/spec/rules", message));
    }
    for (index, rule) in object.spec.rules.iter().enumerate() {
        let is = |known: &&Rule| known.id == rule || known.name == rule;
        if !RULES.iter().any(is) {
            let pointer = format!("/spec/rules/{index}");
            faults.push(Unusable::at(&pointer, rules::unknown(rule)));
        }
    }
    if object.spec.reason.chars().count() < LEAST {
        let message = format!("spec.reason is shorter than {LEAST} characters: say why");
        faults.push(Unusable::at("/spec/reason", message));
    }
    faults
}
