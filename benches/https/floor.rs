//! The server that everything is compared with: axum, axum-server and rustls put together in the
//! shortest way, with no timeout, limit, log or metric.

use crate::{floor, process::certificate_files};
use axum::{Router, body::Bytes, http::header, response::IntoResponse, routing::post};
use axum_server::{
    accept::NoDelayAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::TLS13,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

/// How much a floor server does with a body once it has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    /// Nothing: a constant answer.
    Const,
    /// Borrowed structs, four comparisons, the right uid.
    Rules,
    /// The same, from a whole `serde_json::Value`.
    Value,
    /// `Rules`, and a line as long as a decision's to stdout: what a log costs, made without care.
    Logged,
}

impl Floor {
    /// Every one, with its name.
    pub(crate) const ALL: [(&'static str, Self); 4] = [
        ("const", Self::Const),
        ("rules", Self::Rules),
        ("value", Self::Value),
        ("rules + log", Self::Logged),
    ];

    pub(crate) fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, floor)| *floor == self);
        found.map_or("", |(name, _)| name)
    }
}

/// About what the decision about a small review is.
const LINE: [u8; 900] = {
    let mut line = [b'x'; 900];
    line[899] = b'\n';
    line
};

/// Serves until the process is killed.
pub(crate) fn serve(floor: Floor, port: u16, dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let answer = move |body: Bytes| async move {
            let json = match floor {
                Floor::Const => r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"","allowed":true}}"#.to_owned(),
                Floor::Rules => floor::rules(&body).unwrap_or_default(),
                Floor::Value => floor::value(&body).unwrap_or_default(),
                Floor::Logged => {
                    let written = rustix::io::write(rustix::stdio::stdout(), &LINE);
                    assert_eq!(written, Ok(LINE.len()), "a line is written whole");
                    floor::rules(&body).unwrap_or_default()
                }
            };
            ([(header::CONTENT_TYPE, "application/json")], json).into_response()
        };
        axum_server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .acceptor(RustlsAcceptor::new(tls(dir)).acceptor(NoDelayAcceptor::new()))
            .serve(
                Router::new()
                    .route("/validate", post(answer))
                    .into_make_service(),
            )
            .await
            .expect("an address to listen on");
    });
}

fn tls(dir: &Path) -> RustlsConfig {
    let (cert, key) = certificate_files(dir);
    let chain = vec![CertificateDer::from_pem_file(cert).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    RustlsConfig::from_config(Arc::new(config))
}
