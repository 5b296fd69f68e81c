//! Parses the text of a policy file into its types, or returns the faults of syntax and types with their positions.

use crate::core::manifest::{self, Document, Position, typed};
use crate::core::policy_file::MigrationPolicy;
use crate::core::text;

/// A position and what is wrong there.
pub(super) type Fault = (Position, String);

pub(super) fn parse(text: &str) -> Result<(MigrationPolicy, Document<'_>), Vec<Fault>> {
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
    let twice: Vec<_> = document
        .duplicates()
        .map(|twice| {
            let message = format!(
                "the key {} is written twice in one map",
                text::quoted(&twice.key)
            );
            (twice.later, message)
        })
        .collect();
    if !twice.is_empty() {
        return Err(twice);
    }
    let value = document.value(document.root());
    match typed::read(&value) {
        Ok(written) => Ok((written, document)),
        Err(misfit) => {
            let position = if misfit.is_key {
                document.locate_key(&misfit.pointer)
            } else {
                document.locate(document.root(), &misfit.pointer).0
            };
            Err(vec![(position, misfit.message)])
        }
    }
}
