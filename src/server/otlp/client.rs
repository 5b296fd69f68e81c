//! The HTTP client with which the SDK sends, on the runtime of the service. Not for other requests.
//!
//! It is kube's client, which works with any server: a second one would only make the program larger.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::Uri;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

/// Time limit for one request; the SDK retries later.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read: how many records were refused, and why.
const LONGEST_ANSWER: usize = 64 << 10;

#[derive(Clone)]
pub(super) struct Client {
    kube: kube::Client,
    runtime: Handle,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client for the scheme, host and port of this URL.
    pub(super) fn new(endpoint: &Uri) -> Result<Self, HttpError> {
        let mut server = endpoint.clone().into_parts();
        server.path_and_query = Some("/".parse()?);
        let mut config = kube::Config::new(Uri::from_parts(server)?);
        // The SDK decides by itself what to retry.
        config.default_retry = false;
        // Without TLS there is nothing to verify, and the host may not have any root certificates.
        config.root_cert = Some(Vec::new());
        // The client uses the process's default provider; our own code always names one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            kube: config.try_into()?,
            runtime: Handle::current(),
        })
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let kube = self.kube.clone();
        // The SDK calls from threads of its own, which cannot drive sockets.
        let exchange = async move {
            let request = request.map(|body| Body::from(Vec::from(body)));
            let (head, body) = kube.send(request).await?.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        // kube's log lines are meant for requests to the cluster, and the SDK reports failures itself.
        let exchange = exchange.with_subscriber(NoSubscriber::default());
        let sent = self
            .runtime
            .spawn(async { timeout(TIMEOUT, exchange).await });
        sent.await??
    }
}
