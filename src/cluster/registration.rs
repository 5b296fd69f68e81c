//! Watches the webhook configurations by which the API server sends reviews here, reports if they do not fit the policy
//! in use, and adds the CA to trust.
//!
//! The chart creates them, and only `caBundle` is ever written here. [`entries`] knows what they should contain.

mod entries;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use futures_util::{Stream, StreamExt, future::join_all, stream};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use prometheus_client::metrics::{family::Family, gauge::Gauge};
use tokio::{sync::watch, time::Instant};

use entries::{Configuration, Entry, Kind};

use super::api::{ApiError, ask, every};
use crate::core::pki::rotation;
use crate::host::metrics::{Label, Registry};
use crate::host::policy_watch::LivePolicy;

/// How often the configurations are compared with the policy in use, and a failed write is retried. Also the least time
/// between two writes of one configuration, so that a conflicting writer does not cause a race.
const PERIOD: Duration = Duration::from_secs(1);

/// The fault of the registration, for readiness. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disagreement(Arc<ArcSwapOption<String>>);

impl Disagreement {
    /// The fault; `None` if there is none, or nothing is known yet.
    #[must_use]
    pub(crate) fn current(&self) -> Option<String> {
        self.0.load().as_deref().cloned()
    }
}

/// The metrics of webhook configurations. Clones share the values.
#[derive(Clone, Debug)]
pub struct RegistrationMetrics {
    published: Family<Label, Gauge>,
    agreement: Family<Label, Gauge>,
}

impl RegistrationMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        Self {
            published: registry.add(
                "ca_published",
                "1 if every entry of the webhook configuration trusts the CA of the certificate in use, \
                 0 if not; absent if the CA is managed elsewhere",
            ),
            agreement: registry.add(
                "webhook_configuration_in_agreement",
                "1 if the webhook configuration sends all Jobs that the policy matches, 0 if not",
            ),
        }
    }

    /// Sets whether every entry of the webhook configuration of this kind trusts the CA of the certificate in use.
    pub fn published(&self, kind: &'static str, published: bool) {
        let family = self.published.get_or_create(&[("kind", kind)]);
        family.set(published.into());
    }

    /// Sets whether the webhook configuration of this kind sends all Jobs that the policy matches.
    pub fn agrees(&self, kind: &'static str, agrees: bool) {
        self.agreement
            .get_or_create(&[("kind", kind)])
            .set(agrees.into());
    }
}

/// The two configurations of an installation, which have the same name.
pub(crate) struct Registration {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) policy: LivePolicy,
    /// The CAs to trust, PEM, if the replicas manage `caBundle`. Empty until one is known.
    pub(crate) bundle: Option<watch::Receiver<String>>,
    pub(crate) metrics: RegistrationMetrics,
    pub(crate) disagreement: Disagreement,
}

impl Registration {
    /// Watches and writes, for as long as it is awaited. It calls `trusted` each time with whether every entry trusts
    /// the CAs of the bundle.
    pub(crate) async fn keep(mut self, trusted: impl Fn(bool)) {
        let mut changes = std::pin::pin!(stream::select(
            watched::<ValidatingWebhookConfiguration>(&self.client, &self.name),
            watched::<MutatingWebhookConfiguration>(&self.client, &self.name),
        ));
        let mut ticks = every(PERIOD);
        let mut seen: [Option<Option<Vec<Entry>>>; 2] = [None, None];
        let mut written = [None, None];
        loop {
            tokio::select! {
                Some((kind, entries)) = changes.next() => seen[kind as usize] = Some(entries),
                () = new_bundle(self.bundle.as_mut()) => {}
                _ = ticks.tick() => {}
            }
            let [Some(validating), Some(mutating)] = &seen else {
                continue;
            };
            let found = [(Kind::Validating, validating), (Kind::Mutating, mutating)];
            self.compare(&found);
            let all = self.publish(&found, &mut written).await;
            trusted(all);
        }
    }

    fn compare(&self, found: &[(Kind, &Option<Vec<Entry>>)]) {
        let policy = self.policy.current();
        let mut faults = Vec::new();
        for (kind, entries) in found {
            let fault = entries::fault(*kind, &self.name, entries.as_deref(), &policy);
            self.metrics.agrees(kind.name(), fault.is_none());
            faults.extend(fault);
        }
        let told = (!faults.is_empty()).then(|| faults.join("; "));
        if told != self.disagreement.current() {
            if let Some(fault) = &told {
                tracing::error!(%fault, "the webhook configuration does not match the policy: some migration Jobs are not sent");
            } else {
                tracing::info!("the webhook configurations match the policy");
            }
            self.disagreement.0.store(told.map(Arc::new));
        }
    }

    /// Writes the bundle to the entries that lack it. Returns whether every entry has it.
    async fn publish(
        &self,
        found: &[(Kind, &Option<Vec<Entry>>)],
        written: &mut [Option<Instant>; 2],
    ) -> bool {
        let Some(bundle) = &self.bundle else {
            return true;
        };
        let bundle = bundle.borrow().clone();
        if !rotation::usable(&bundle, Timestamp::now()) {
            return false;
        }
        // In parallel, because a replica is not ready before both are written.
        let each = found.iter().zip(written).map(|((kind, entries), last)| {
            let entries = entries.as_deref().unwrap_or_default();
            self.publish_in(*kind, entries, &bundle, last)
        });
        join_all(each).await.into_iter().all(|done| done)
    }

    async fn publish_in(
        &self,
        kind: Kind,
        entries: &[Entry],
        bundle: &str,
        last: &mut Option<Instant>,
    ) -> bool {
        let done = match entries::trusting(entries, bundle, Timestamp::now()) {
            Some(patch) => self.put(kind, patch, last).await,
            None => true,
        };
        self.metrics.published(kind.name(), done);
        done
    }

    /// Writes one configuration, unless it was written less than [`PERIOD`] ago.
    async fn put(&self, kind: Kind, patch: json_patch::Patch, last: &mut Option<Instant>) -> bool {
        if last.is_some_and(|last| last.elapsed() < PERIOD) {
            return false;
        }
        *last = Some(Instant::now());
        let result = match kind {
            Kind::Validating => self.write::<ValidatingWebhookConfiguration>(patch).await,
            Kind::Mutating => self.write::<MutatingWebhookConfiguration>(patch).await,
        };
        let (kind, name) = (kind.name(), &self.name);
        match &result {
            Ok(()) => tracing::info!(kind, %name, "wrote the CA into caBundle"),
            Err(error) => {
                tracing::warn!(kind, %name, %error, "failed to write the CA into caBundle, retrying");
            }
        }
        result.is_ok()
    }

    async fn write<K: Configuration>(&self, patch: json_patch::Patch) -> Result<(), ApiError> {
        let api: Api<K> = Api::all(self.client.clone());
        let patch = Patch::<()>::Json(patch);
        let params = PatchParams::default();
        let patched = api.patch(&self.name, &params, &patch);
        let doing = format!("patch {}", K::plural(&()));
        ask(doing, patched).await.map(drop)
    }
}

/// Resolves when there is a new bundle; never, if the replicas do not manage it.
async fn new_bundle(bundle: Option<&mut watch::Receiver<String>>) {
    if let Some(bundle) = bundle
        && bundle.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// The entries of a configuration each time it changes; `None` if it does not exist.
fn watched<K: Configuration>(
    client: &Client,
    name: &str,
) -> impl Stream<Item = (Kind, Option<Vec<Entry>>)> + use<K> {
    let changes = watcher::watch_object(Api::<K>::all(client.clone()), name).default_backoff();
    changes.filter_map(|changed| {
        let kind = K::KIND;
        let entries = changed.inspect_err(|error| {
            tracing::warn!(kind = kind.name(), %error, "failed to watch the webhook configuration, the known state stays in use");
        });
        let entries = entries.map(|found| found.map(Configuration::entries));
        std::future::ready(entries.ok().map(|entries| (kind, entries)))
    })
}
