//! A webhook that allows everything and keeps what it was sent: what the apiserver makes of a manifest.
//!
//! It can be told to take its time, which keeps the apiserver in the middle of a request.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::Uri,
    response::IntoResponse,
    routing::post,
};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, sync::watch};

/// A review as it arrived.
#[derive(Clone)]
pub(crate) struct Recorded {
    /// `/mutate` or `/validate`.
    pub(crate) path: String,
    pub(crate) body: String,
}

impl Recorded {
    pub(crate) fn request(&self) -> Value {
        let mut review: Value = serde_json::from_str(&self.body).unwrap();
        review["request"].take()
    }
}

#[derive(Clone)]
struct Shared {
    reviews: Arc<Mutex<Vec<Recorded>>>,
    held: watch::Receiver<bool>,
}

/// An HTTPS server on loopback; dropping it ends it.
pub(crate) struct Recorder {
    port: u16,
    ca: String,
    reviews: Arc<Mutex<Vec<Recorded>>>,
    held: watch::Sender<bool>,
    _runtime: Runtime,
}

impl Recorder {
    pub(crate) fn start() -> Self {
        // One process has one provider; another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let runtime = Runtime::new().unwrap();
        let tls = RustlsConfig::from_pem(cert.pem().into(), signing_key.serialize_pem().into());
        let tls = runtime.block_on(tls).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let reviews = Arc::default();
        let (held, is_held) = watch::channel(false);
        let shared = Shared {
            reviews: Arc::clone(&reviews),
            held: is_held,
        };
        let routes = Router::new()
            .route("/{phase}", post(record))
            // Kubernetes takes objects of up to 3 MiB, and an update sends two.
            .layer(DefaultBodyLimit::max(8 << 20))
            .with_state(shared);
        runtime.spawn(async move {
            let server = axum_server::from_tcp_rustls(listener, tls).unwrap();
            server
                .handle(Handle::new())
                .serve(routes.into_make_service())
                .await
                .unwrap();
        });
        Self {
            port,
            ca: cert.pem(),
            reviews,
            held,
            _runtime: runtime,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn ca(&self) -> &str {
        &self.ca
    }

    /// What arrived since this was last asked, in order.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.reviews.lock().unwrap())
    }

    /// From now on reviews are kept, and answered later.
    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Answers what was held, and all others at once.
    pub(crate) fn go_on(&self) {
        self.held.send_replace(false);
    }
}

async fn record(State(mut shared): State<Shared>, uri: Uri, body: String) -> impl IntoResponse {
    let review: Value = serde_json::from_str(&body).unwrap();
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": true},
    });
    shared.reviews.lock().unwrap().push(Recorded {
        path: uri.path().to_owned(),
        body,
    });
    let _ = shared.held.wait_for(|held| !held).await;
    ([("content-type", "application/json")], answer.to_string())
}
