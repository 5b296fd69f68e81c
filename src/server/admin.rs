//! What operators and Kubernetes ask the process itself, over plain HTTP: is it alive, does it
//! want requests, how is it doing.
//!
//! Not for reviews, and nothing here is secret: the port needs no certificate.

use crate::metrics::{self, Metrics};
use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use std::{
    env,
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The conditions under which this replica wants reviews. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<Check>>>);

/// One condition. Clones share it.
#[derive(Clone, Debug)]
pub struct Check {
    name: &'static str,
    failure: &'static str,
    passing: Arc<AtomicBool>,
}

impl Check {
    /// Says whether the condition holds now.
    pub fn set(&self, passing: bool) {
        self.passing.store(passing, Ordering::Release);
    }

    fn passing(&self) -> bool {
        self.passing.load(Ordering::Acquire)
    }
}

impl Readiness {
    /// Adds a condition, which holds or not from the start. `failure` says what is wrong when it
    /// does not.
    #[must_use]
    pub fn register(&self, name: &'static str, failure: &'static str, passing: bool) -> Check {
        let check = Check {
            name,
            failure,
            passing: Arc::new(AtomicBool::new(passing)),
        };
        self.checks().push(check.clone());
        check
    }

    /// Whether all conditions hold.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.checks().iter().all(Check::passing)
    }

    fn checks(&self) -> std::sync::MutexGuard<'_, Vec<Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verdict and its reasons, spelled as Kubernetes' own components do.
    fn report(&self) -> (bool, String) {
        let (mut ready, mut text) = (true, String::new());
        for check in self.checks().iter() {
            // Writing to a String cannot fail.
            let _ = if check.passing() {
                writeln!(text, "[+]{} ok", check.name)
            } else {
                ready = false;
                writeln!(text, "[-]{} failed: {}", check.name, check.failure)
            };
        }
        text.push_str(if ready {
            "readyz check passed\n"
        } else {
            "readyz check failed\n"
        });
        (ready, text)
    }
}

/// `/livez`, `/readyz`, `/metrics` and `/version`.
pub fn router(readiness: Readiness, metrics: Arc<Metrics>) -> Router {
    let ready = readiness.clone();
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(move || async move { readyz(&ready) }))
        .route(
            "/metrics",
            get(move || async move {
                metrics.ready(readiness.is_ready());
                let kind = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
                (kind, metrics.encode())
            }),
        )
        .route("/version", get(version))
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
    // Go's names for platforms, as in every other component's answer.
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
