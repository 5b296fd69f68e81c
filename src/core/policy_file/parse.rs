//! Parses the text of a policy file into its types, or returns the faults of syntax and types with their positions.

use crate::core::manifest::typed::{self, Key, Misfit};
use crate::core::manifest::{self, Document, Position};
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
    match typed::read_all(document.value(document.root())) {
        Ok(written) => Ok((written, document)),
        Err(misfits) => {
            let place = |misfit: Misfit| {
                let at = misfit.pointer.as_str();
                let position = match misfit.key {
                    Some(Key::Unknown(_)) => document.locate_key(at),
                    _ => document.locate(document.root(), at).0,
                };
                (position, misfit.message)
            };
            Err(misfits.into_iter().map(place).collect())
        }
    }
}
