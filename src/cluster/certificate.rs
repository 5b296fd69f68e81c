//! The self-managed certificate: stored in one Secret, which all replicas read and any of them renews.
//!
//! If two renew at once, the second write conflicts (`resourceVersion`), and that replica uses the first one's result.
//! [`crate::core::pki::rotation`] decides what is due, and [`super::registration`] publishes the CA.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, api::PostParams};
use tokio::{sync::watch, time};

use super::api::{ApiError, CompareAndSwap, ask, unless_changed};
use crate::core::pki::TlsError;
use crate::core::pki::make::MakeError;
use crate::core::pki::rotation::Material;
use crate::host::tls::live::LiveTls;

/// How often the Secret is read, so how long it takes until all replicas serve a new certificate. Its CA is trusted
/// before and after.
const PERIOD: Duration = Duration::from_secs(10);
/// First pause after a failure; doubled with each further one, up to [`PERIOD`].
const RETRY: Duration = Duration::from_millis(250);

/// Why there is no certificate to serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Make(#[from] MakeError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The Secret of an installation, created by its chart.
#[derive(Clone, Debug)]
pub(crate) struct KeptCertificate {
    api: Api<Secret>,
    name: String,
    names: Vec<String>,
}

impl KeptCertificate {
    /// The Secret in the client's own namespace. The certificate is for `service` there.
    #[must_use]
    pub(crate) fn new(client: Client, secret: String, service: &str) -> Self {
        let host = format!("{service}.{}.svc", client.default_namespace());
        Self {
            api: Api::default_namespaced(client),
            name: secret,
            names: vec![host],
        }
    }

    /// The certificate to serve at `now`, renewed and written back if that is due. If the renewal fails but the stored
    /// one is still valid, that one is returned with the error.
    pub(crate) async fn at(
        &self,
        now: Timestamp,
    ) -> Result<(Material, Option<KeptError>), KeptError> {
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

    /// Renews what is due. `kept` gets the last known contents of the Secret.
    async fn renewed(&self, now: Timestamp, kept: &mut Material) -> Result<(), KeptError> {
        let write = format!("write the Secret {}", self.name);
        let mut swap = CompareAndSwap::default();
        loop {
            swap.begin(&write)?;
            // Each request has its own limit: what was read is still served if the write does not end.
            let read = format!("read the Secret {}", self.name);
            let mut secret = ask(read, self.api.get(&self.name)).await?;
            *kept = Material::from_data(secret.data.as_ref());
            let Some(renewed) = kept.renewed(&self.names, now)? else {
                return Ok(());
            };
            let data = secret.data.get_or_insert_default();
            data.extend(renewed.to_data());
            let params = PostParams::default();
            let written = self.api.replace(&self.name, &params, &secret);
            if unless_changed(ask(&write, written).await)?.is_some() {
                tracing::info!(secret = %self.name, "renewed the certificate in the Secret");
                *kept = renewed;
                return Ok(());
            }
        }
    }

    /// Keeps `live` and `bundle` (the CAs to trust, PEM) in sync with the Secret, for as long as it is awaited.
    pub(crate) async fn keep_fresh(self, live: LiveTls, bundle: watch::Sender<String>) {
        let (mut shown, mut retry) = (Material::default(), RETRY);
        loop {
            let wait = match self.look(&live, &mut shown, &bundle).await {
                Ok(news) => {
                    if news {
                        live.reloaded(true);
                    }
                    retry = RETRY;
                    PERIOD
                }
                Err(error) => {
                    live.reloaded(false);
                    tracing::warn!(secret = %self.name, %error, "failed to refresh the certificate, the current one stays in use; retrying");
                    let wait = retry;
                    retry = (retry * 2).min(PERIOD);
                    wait
                }
            };
            time::sleep(wait).await;
        }
    }

    /// Starts to use new contents, and returns whether there were any. If a certificate cannot be renewed but still
    /// served, it is used before the error is returned.
    async fn look(
        &self,
        live: &LiveTls,
        shown: &mut Material,
        bundle: &watch::Sender<String>,
    ) -> Result<bool, KeptError> {
        let (material, error) = self.at(Timestamp::now()).await?;
        let news = material != *shown;
        if news {
            live.show(material.cert.as_bytes(), material.key.as_bytes())?;
            live.trusted(&material.ca_certs);
            bundle.send_replace(material.ca_certs.clone());
            tracing::info!(expiry = %live.expiry(), "the certificate of the Secret is in use");
            *shown = material;
        }
        error.map_or(Ok(news), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::http::Method;
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::cluster::api::{TIMEOUT, testing};
    use crate::host::metrics::Registry;
    use crate::host::tls::live::CertificateMetrics;

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_hangs_leaves_the_certificate_that_was_read() {
        let names = ["warden.default.svc".to_owned()];
        let now = Timestamp::now();
        let begun = now - SignedDuration::from_hours(65 * 24);
        let stored = Material::default().renewed(&names, begun).unwrap().unwrap();
        assert!(stored.renewed(&names, now).unwrap().is_some());
        let secret = json!({"metadata": {"name": "tls"}, "data": stored.to_data()});
        let client = testing::client(move |request| {
            let secret = secret.clone();
            async move {
                if request.method() == Method::PUT {
                    pending::<()>().await;
                }
                (200, secret)
            }
        });
        let kept = KeptCertificate::new(client, "tls".to_owned(), "warden");
        let live = LiveTls::new(CertificateMetrics::new(&mut Registry::new())).unwrap();
        let (mut shown, (bundle, bundled)) = (Material::default(), watch::channel(String::new()));
        let looked = kept.look(&live, &mut shown, &bundle);
        let looked = time::timeout(3 * TIMEOUT, looked).await.expect("an end");
        let error = looked.unwrap_err().to_string();
        assert_eq!(error, "the API server did not answer in time");
        assert!(shown == stored && *bundled.borrow() == stored.ca_certs);
        assert!(live.expiry().certificate.is_some());
    }
}
