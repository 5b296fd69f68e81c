//! What operators and Kubernetes ask the process itself, over plain HTTP: is it alive, does it
//! want requests, how is it doing.
//!
//! Not for reviews, and nothing here is secret: the port needs no certificate.

use super::connections::Place;
use crate::metrics::{self, Metrics};
use axum::{
    Extension, Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{self, Next},
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

/// What is told of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds; the text says more, where there is more to say.
    Ok(String),
    /// Somebody should look at this, but reviews are better sent here than nowhere.
    Warning(String),
    /// Reviews should go elsewhere.
    Failed(String),
}

type Probe = Box<dyn Fn() -> Status + Send + Sync>;

/// The conditions under which this replica wants reviews. Clones share them.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Vec<(&'static str, Probe)>>>);

/// A condition that somebody sets. Clones share it.
#[derive(Clone, Debug)]
pub struct Check(Arc<AtomicBool>);

impl Check {
    /// Says whether the condition holds now.
    pub fn set(&self, passing: bool) {
        self.0.store(passing, Ordering::Release);
    }
}

impl Readiness {
    /// Adds a condition, which holds or not from the start. `failure` says what is wrong when it
    /// does not.
    #[must_use]
    pub fn register(&self, name: &'static str, failure: &'static str, passing: bool) -> Check {
        let check = Check(Arc::new(AtomicBool::new(passing)));
        let passing = Arc::clone(&check.0);
        self.probe(name, move || {
            if passing.load(Ordering::Acquire) {
                Status::Ok(String::new())
            } else {
                Status::Failed(failure.to_owned())
            }
        });
        check
    }

    /// Adds a condition that is looked at when somebody asks.
    pub fn probe(&self, name: &'static str, probe: impl Fn() -> Status + Send + Sync + 'static) {
        self.checks().push((name, Box::new(probe)));
    }

    /// Whether all conditions hold.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let failed = |probe: &Probe| matches!(probe(), Status::Failed(_));
        !self.checks().iter().any(|(_, probe)| failed(probe))
    }

    fn checks(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, Probe)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verdict and its reasons, spelled as Kubernetes' own components do.
    fn report(&self) -> (bool, String) {
        let (mut ready, mut text) = (true, String::new());
        for (name, probe) in self.checks().iter() {
            // Writing to a String cannot fail.
            let _ = match probe() {
                Status::Ok(more) if more.is_empty() => writeln!(text, "[+]{name} ok"),
                Status::Ok(more) => writeln!(text, "[+]{name} ok: {more}"),
                Status::Warning(what) => writeln!(text, "[!]{name} warning: {what}"),
                Status::Failed(why) => {
                    ready = false;
                    writeln!(text, "[-]{name} failed: {why}")
                }
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
        .layer(middleware::from_fn(work))
}

/// So that a connection is as old as its last request, and another one makes room for a new one.
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
