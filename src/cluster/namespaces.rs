//! The labels and annotations of namespaces, cached by a watch.
//!
//! Reviews read the cache and do not wait for the API server, except in two cases: a namespace that is not in the cache
//! yet, and a deletion that would be refused, because the namespace itself may be being deleted. Without a cluster
//! nothing is known, and the policy file alone decides.

use std::future::Future;

use futures_util::{StreamExt, TryFutureExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

use super::api::{by, failed};
use super::{Watch, WatchMetrics};
use crate::core::job::dns;
use crate::core::namespace::{NamespaceView, is_read};

/// Namespaces per page of a list: 1 KB each on the wire.
const PAGE: u32 = 250;
/// The longest annotation that is kept, in bytes: those that are read are single words.
const LONGEST: usize = 64;

/// The cache of namespaces. Clones share it. Without a cluster it knows every namespace, and that none has labels.
#[derive(Clone, Debug, Default)]
pub struct Namespaces(Option<KnownNamespaces>);

#[derive(Clone, Debug)]
struct KnownNamespaces {
    store: Store<PartialObjectMeta<Namespace>>,
    api: Api<Namespace>,
}

impl Namespaces {
    /// The cached facts about a namespace; `None` if it is not in the cache. Without a cluster, the facts are empty.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<NamespaceView> {
        let Some(known) = &self.0 else {
            return Some(NamespaceView::default());
        };
        let found = known.store.get(&ObjectRef::new(name))?;
        Some(view(&found))
    }

    /// Reads a namespace from the API server; `None` if it does not exist. Fails if the answer does not come before the
    /// deadline.
    pub async fn ask(
        &self,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<NamespaceView>, String> {
        let Some(KnownNamespaces { api, .. }) = &self.0 else {
            return Ok(Some(NamespaceView::default()));
        };
        let found = fetch(api, name, deadline).await?;
        Ok(found.map(|namespace| view(&namespace)))
    }

    /// Asks the API server whether a namespace is being deleted, or gone. Fails if the answer does not come before the
    /// deadline.
    pub(crate) async fn is_terminating(
        &self,
        name: &str,
        deadline: Instant,
    ) -> Result<bool, String> {
        let Some(KnownNamespaces { api, .. }) = &self.0 else {
            return Ok(false);
        };
        let found = fetch(api, name, deadline).await?;
        Ok(found.is_none_or(|namespace| view(&namespace).terminating))
    }

    /// Watches the cluster's namespaces for as long as the second future is awaited. The first future ends once all are
    /// known.
    pub fn watch(
        client: Client,
        metrics: WatchMetrics,
    ) -> (Self, impl Future<Output = ()>, impl Future<Output = ()>) {
        let (store, writer) = reflector::store();
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
        let events = watcher(api, watcher::Config::default().page_size(PAGE))
            .default_backoff()
            .modify(|namespace| {
                namespace.managed_fields_mut().clear();
                let is_kept = |key: &str, value: &str| is_read(key) && value.len() <= LONGEST;
                let annotations = namespace.annotations_mut();
                annotations.retain(|key, value| is_kept(key, value));
                let labels = namespace.labels_mut();
                labels.retain(|key, value| is_kept(key, value));
            })
            .reflect(writer);
        let watching = events.for_each(move |event| {
            if let Err(error) = event {
                metrics.failed(Watch::Namespaces);
                tracing::warn!(%error, "failed to watch namespaces, the known state stays in use");
            }
            std::future::ready(())
        });
        let known = store.clone();
        let ready = async move {
            // An error means that the watch has ended, because the process is ending.
            let _ = known.wait_until_ready().await;
        };
        let api = Api::all(client);
        (Self(Some(KnownNamespaces { store, api })), ready, watching)
    }
}

async fn fetch(
    api: &Api<Namespace>,
    name: &str,
    deadline: Instant,
) -> Result<Option<PartialObjectMeta<Namespace>>, String> {
    // The name becomes part of the request's path.
    if !dns::is_label(name) {
        return Err("this is not the name of a namespace".to_owned());
    }
    let found = api.get_metadata_opt(name).map_err(failed("get namespaces"));
    by(deadline, found).await.map_err(|error| error.to_string())
}

fn view(namespace: &PartialObjectMeta<Namespace>) -> NamespaceView {
    let (labels, annotations) = (namespace.labels(), namespace.annotations());
    NamespaceView {
        terminating: namespace.metadata.deletion_timestamp.is_some(),
        ..NamespaceView::of(
            |key| labels.get(key).map(String::as_str),
            |key| annotations.get(key).map(String::as_str),
        )
    }
}
