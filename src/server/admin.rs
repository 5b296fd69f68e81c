//! The admin port for operators and Kubernetes, over plain HTTP: liveness, readiness, metrics and version.
//!
//! It does not serve reviews or secrets, so the port needs no certificate.

use super::connections::Place;
use super::metrics::Metrics;
use crate::host::health::Readiness;
use crate::host::metrics::CONTENT_TYPE;
use axum::{
    Extension, Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use std::{env, sync::Arc};

/// `/livez`, `/readyz`, `/metrics` and `/version`.
pub(crate) fn router(readiness: Readiness, metrics: Arc<Metrics>) -> Router {
    let ready = readiness.clone();
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(move || async move { readyz(&ready) }))
        .route(
            "/metrics",
            get(move || async move {
                metrics.ready.set(readiness.is_ready().into());
                let kind = [(header::CONTENT_TYPE, CONTENT_TYPE)];
                (kind, metrics.encode())
            }),
        )
        .route("/version", get(version))
        .layer(middleware::from_fn(work))
}

/// Marks the connection as used, so that the one whose last request is oldest is closed to make room.
async fn work(Extension(place): Extension<Arc<Place>>, request: Request, next: Next) -> Response {
    let _works = place.works();
    next.run(request).await
}

fn readyz(readiness: &Readiness) -> Response {
    let (ready, text) = readiness.report();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, text).into_response()
}

async fn version() -> Response {
    // Go's names for platforms, as in the answers of Kubernetes' own components.
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let body = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "platform": format!("{}/{arch}", env::consts::OS),
    });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, body.to_string()).into_response()
}
