//! The self-managed certificate: kept in one Secret, which all replicas read and any of them renews.
//!
//! Two that renew at once are told apart by the Secret's resourceVersion: the second one's write is
//! refused, and it takes what the first has written. When something is due is
//! [`crate::core::pki::rotation`]'s part, and making the CA known [`super::registration`]'s.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, api::PostParams};
use tokio::{sync::watch, time};

use super::TIMEOUT;
use crate::core::pki::TlsError;
use crate::core::pki::make::MakeError;
use crate::core::pki::rotation::Material;
use crate::host::metrics::Metrics;
use crate::host::tls::live::LiveTls;

/// How often the Secret is looked at. A new certificate may take so long to be shown by all; its CA
/// is trusted before and after.
const PERIOD: Duration = Duration::from_secs(10);
/// After a failure, at first; doubled with each further one up to [`PERIOD`].
const RETRY: Duration = Duration::from_millis(250);
/// Writes that another replica may be faster with, before it counts as a failure.
const RACES: usize = 5;

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The apiserver refused or could not be reached.
    #[error("failed to {action} the Secret {name}: {source}")]
    Api {
        /// `read` or `write`.
        action: &'static str,
        /// Name of the Secret.
        name: String,
        /// What it said.
        source: kube::Error,
    },
    /// The apiserver did not answer.
    #[error("failed to read or write the Secret {0}: the API server did not answer in time")]
    Timeout(String),
    /// Others were faster each time.
    #[error("failed to write the Secret {0}: others keep writing it")]
    Races(String),
    /// A new one could not be made.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// What is kept cannot be shown.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The Secret of an installation, made by its chart.
#[derive(Clone, Debug)]
pub struct KeptCertificate {
    api: Api<Secret>,
    name: String,
    names: Vec<String>,
}

impl KeptCertificate {
    /// In the client's own namespace, for what is reached by `service` there.
    #[must_use]
    pub fn new(client: Client, secret: String, service: &str) -> Self {
        let host = format!("{service}.{}.svc", client.default_namespace());
        Self {
            api: Api::default_namespaced(client),
            name: secret,
            names: vec![host],
        }
    }

    /// What to show at `now`: what is kept, renewed and written back where that is due. Where that
    /// fails and what is kept can still be shown, that comes with the reason.
    pub async fn at(&self, now: Timestamp) -> Result<(Material, Option<KeptError>), KeptError> {
        let mut kept = Material::default();
        let error = match self.renewed(now, &mut kept).await {
            Ok(()) => return Ok((kept, None)),
            Err(error) => error,
        };
        if kept.is_usable(&self.names, now) {
            Ok((kept, Some(error)))
        } else {
            Err(error)
        }
    }

    /// Renews what is due, and leaves in `kept` what the Secret was last seen to hold.
    async fn renewed(&self, now: Timestamp, kept: &mut Material) -> Result<(), KeptError> {
        for _ in 0..RACES {
            let mut secret = self
                .api
                .get(&self.name)
                .await
                .map_err(self.failed("read"))?;
            *kept = Material::from_data(secret.data.as_ref());
            let Some(renewed) = kept.renewed(&self.names, now)? else {
                return Ok(());
            };
            let data = secret.data.get_or_insert_default();
            data.extend(renewed.to_data());
            let params = PostParams::default();
            match self.api.replace(&self.name, &params, &secret).await {
                Ok(_) => {
                    tracing::info!(secret = %self.name, "renewed what the certificate's Secret holds");
                    *kept = renewed;
                    return Ok(());
                }
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => return Err(self.failed("write")(error)),
            }
        }
        Err(KeptError::Races(self.name.clone()))
    }

    /// Keeps `live` and `bundle` (the CAs to trust, PEM) at what the Secret holds, for as long as it
    /// is awaited.
    pub async fn keep_fresh(
        self,
        live: LiveTls,
        bundle: watch::Sender<String>,
        metrics: Arc<Metrics>,
    ) {
        let (mut shown, mut retry) = (Material::default(), RETRY);
        loop {
            let wait = match self.look(&live, &mut shown, &bundle).await {
                Ok(news) => {
                    if news {
                        metrics.certificate_reloaded(true);
                    }
                    retry = RETRY;
                    PERIOD
                }
                Err(error) => {
                    metrics.certificate_reloaded(false);
                    tracing::warn!(%error, "what was in use stays so, trying again");
                    let wait = retry;
                    retry = (retry * 2).min(PERIOD);
                    wait
                }
            };
            time::sleep(wait).await;
        }
    }

    /// Takes into use what is new, and says whether anything was. What cannot be renewed but shown
    /// is taken into use before the failure is told.
    async fn look(
        &self,
        live: &LiveTls,
        shown: &mut Material,
        bundle: &watch::Sender<String>,
    ) -> Result<bool, KeptError> {
        let (material, error) = time::timeout(TIMEOUT, self.at(Timestamp::now()))
            .await
            .map_err(|_| KeptError::Timeout(self.name.clone()))??;
        let news = material != *shown;
        if news {
            live.show(material.cert.as_bytes(), material.key.as_bytes())?;
            live.trusted(&material.ca_certs);
            bundle.send_replace(material.ca_certs.clone());
            tracing::info!(expiry = ?live.expiry(), "the certificate of the Secret is in use");
            *shown = material;
        }
        error.map_or(Ok(news), Err)
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(kube::Error) -> KeptError + use<> {
        let name = self.name.clone();
        move |source| KeptError::Api {
            action,
            name,
            source,
        }
    }
}
