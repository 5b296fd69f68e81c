//! What prevents runs from being written, everywhere or in some namespaces. It is logged once and shown while it lasts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::host::health::Status;

/// Why runs cannot be written. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Troubles>>);

#[derive(Debug, Default)]
struct Troubles {
    everywhere: Option<String>,
    namespaces: BTreeMap<String, String>,
}

impl Trouble {
    /// The status for `/readyz`; it never makes a replica unready.
    #[must_use]
    pub fn status(&self) -> Status {
        let known = self.known();
        if let Some(why) = &known.everywhere {
            return Status::Warning(why.clone());
        }
        let Some((namespace, why)) = known.namespaces.first_key_value() else {
            return Status::Ok(String::new());
        };
        let more = match known.namespaces.len() - 1 {
            0 => String::new(),
            1 => " (and in 1 more namespace)".to_owned(),
            more => format!(" (and in {more} more namespaces)"),
        };
        let text = format!("runs of namespace {namespace} are not recorded{more}: {why}");
        Status::Warning(text)
    }

    pub(super) fn is(&self, why: &str) {
        let why = Some(why.to_owned());
        let before = std::mem::replace(&mut self.known().everywhere, why.clone());
        if let Some(why) = why.filter(|why| before.as_ref() != Some(why)) {
            tracing::warn!("{why}");
        }
    }

    pub(super) fn over(&self) {
        if self.known().everywhere.take().is_some() {
            tracing::info!("runs are written again");
        }
    }

    pub(super) fn is_in(&self, namespace: &str, why: &str) {
        let mut known = self.known();
        let before = known
            .namespaces
            .insert(namespace.to_owned(), why.to_owned());
        if before.is_none() {
            tracing::warn!(namespace, "runs of a namespace are not recorded: {why}");
        }
    }

    pub(super) fn is_over_in(&self, namespace: &str) {
        if self.known().namespaces.remove(namespace).is_some() {
            tracing::info!(namespace, "runs of a namespace are recorded again");
        }
    }

    fn known(&self) -> MutexGuard<'_, Troubles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_everywhere_comes_first_and_namespaces_are_counted() {
        let trouble = Trouble::default();
        let warning = |text: &str| Status::Warning(text.to_owned());
        trouble.is_in("b", "quota");
        let one = "runs of namespace b are not recorded: quota";
        assert_eq!(trouble.status(), warning(one));
        trouble.is_in("c", "quota");
        trouble.is_in("a", "policy");
        let three = "runs of namespace a are not recorded (and in 2 more namespaces): policy";
        assert_eq!(trouble.status(), warning(three));
        trouble.is("no CRD");
        assert_eq!(trouble.status(), warning("no CRD"));
        trouble.over();
        trouble.is_over_in("a");
        trouble.is_over_in("c");
        assert_eq!(trouble.status(), warning(one));
        trouble.is_over_in("b");
        assert_eq!(trouble.status(), Status::Ok(String::new()));
    }
}
