//! Parses the text of a policy file, and gives faults their positions and the values as they are written.

use serde_json::Value;

use crate::core::manifest::typed::{Key, Misfit};
use crate::core::manifest::{self, Document, Position};
use crate::core::text;

/// A position and what is wrong there.
pub(super) type Fault = (Position, String);

/// The document of a policy file, with its duplicate keys as faults; or the faults of its syntax.
pub(super) fn parse(text: &str) -> Result<(Document<'_>, Vec<Fault>), Vec<Fault>> {
    let mut documents = manifest::documents(text);
    let document = match documents.next() {
        Some(Ok(document)) => document,
        Some(Err(broken)) => return Err(vec![(broken.position, broken.message)]),
        None => {
            let message = "the file is empty; begin it with apiVersion: config.migration-warden.io/v1alpha1 and \
                           kind: MigrationPolicy";
            return Err(vec![(Position { line: 1, column: 1 }, message.to_owned())]);
        }
    };
    if let Some(second) = documents.next() {
        let position = match &second {
            Ok(second) => second.locate(second.root(), "").0,
            Err(broken) => broken.position,
        };
        let message = "a policy file has one document; delete this one and the --- before it";
        return Err(vec![(position, message.to_owned())]);
    }
    let twice = document
        .duplicates()
        .map(|twice| {
            let message = format!(
                "the key {} is written twice in one map",
                text::quoted(&twice.key)
            );
            (twice.later, message)
        })
        .collect();
    Ok((document, twice))
}

/// The fault of a value that does not fit its type.
pub(super) fn misfit(document: &Document<'_>, misfit: Misfit) -> Fault {
    let at = misfit.pointer.as_str();
    match misfit.key {
        Some(Key::Unknown(_)) => (document.locate_key(at), misfit.message),
        _ => fault(document, at, misfit.message),
    }
}

/// A fault of the value at this JSON Pointer. YAML reads `yes` as true and `0x10` as 16: the message gets what is written.
pub(super) fn fault(document: &Document<'_>, pointer: &str, message: String) -> Fault {
    let root = document.root();
    let position = document.locate(root, pointer).0;
    let message = match document.plain(root, pointer) {
        Some((written, read @ (Value::Bool(_) | Value::Number(_)))) => {
            message.replacen(&read.to_string(), &text::bounded(written, text::NAME), 1)
        }
        _ => message,
    };
    (position, message)
}
