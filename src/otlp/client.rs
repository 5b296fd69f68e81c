//! The HTTP client that the SDK sends with: hyper's, on the runtime of the service. Not for anything else.

use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A collector that takes longer has another try.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An answer says how many were refused, and why.
const LONGEST_ANSWER: usize = 64 << 10;

#[derive(Clone, Debug)]
pub(super) struct Client {
    hyper: Hyper<HttpConnector, Full<Bytes>>,
    runtime: Handle,
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            hyper: Hyper::builder(TokioExecutor::new()).build_http(),
            runtime: Handle::current(),
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let hyper = self.hyper.clone();
        // The SDK asks from threads of its own, which drive no sockets.
        let exchange = async move {
            let (head, body) = hyper.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let sent = self
            .runtime
            .spawn(async { timeout(TIMEOUT, exchange).await });
        sent.await??
    }
}
