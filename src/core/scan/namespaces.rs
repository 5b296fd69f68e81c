//! The facts about namespaces in a scan: modes, meshes and honoured exceptions.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::core::DeserializeGuard;
use serde::Deserialize;

use crate::core::exception::Exception;
use crate::core::exception::resource::MigrationException;
use crate::core::json::{Map, Page, Text, Unreadable, nullable};
use crate::core::namespace::NamespaceView;

/// The known facts about the namespaces of a cluster. For an unknown one, such as a new one, the policy alone decides.
#[derive(Debug, Default)]
pub(crate) struct World {
    namespaces: HashMap<String, NamespaceView>,
    unknown: NamespaceView,
    /// Those that exist.
    pub(super) names: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Namespace<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    labels: Map<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    annotations: Map<'a>,
}

impl World {
    pub(super) fn view(&self, namespace: &str) -> &NamespaceView {
        self.namespaces.get(namespace).unwrap_or(&self.unknown)
    }

    pub(crate) fn namespace(&mut self, text: &str) -> Result<(), Unreadable> {
        self.add(&serde_json::from_str(text)?);
        Ok(())
    }

    pub(crate) fn namespaces(&mut self, text: &str) -> Result<(), Unreadable> {
        let page: Page<'_, Namespace<'_>> = serde_json::from_str(text)?;
        for namespace in &page.items {
            self.add(namespace);
        }
        Ok(())
    }

    /// Adds the exceptions of a page that are honoured now, if they may last at most `max`. One that cannot be parsed,
    /// as one with fields of a newer version, does not hide the others.
    pub(crate) fn exceptions(
        &mut self,
        text: &str,
        now: Timestamp,
        max: SignedDuration,
    ) -> Result<(), Unreadable> {
        let page: Page<'_, DeserializeGuard<MigrationException>> = serde_json::from_str(text)?;
        let readable = page.items.iter().filter_map(|item| item.0.as_ref().ok());
        let usable = readable.filter_map(|object| Exception::new(object, now).ok());
        for exception in usable.filter(|e| e.is_honoured(now, max)) {
            let view = self.namespaces.entry(exception.reference.namespace.clone());
            view.or_default().exceptions.push(Arc::new(exception));
        }
        Ok(())
    }

    fn add(&mut self, namespace: &Namespace<'_>) {
        let Metadata {
            name,
            labels,
            annotations,
        } = &namespace.metadata;
        self.names.insert((**name).to_owned());
        let view = self.namespaces.entry((**name).to_owned()).or_default();
        let told = NamespaceView::of(|key| labels.get(key), |key| annotations.get(key));
        (view.mode, view.mesh) = (told.mode, told.mesh);
    }
}
