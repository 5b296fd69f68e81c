//! The service: listeners and routes put together, from start to drain.
//!
//! Not for what a review says: that is the part of a [`Reviewer`].

pub(crate) mod admin;
mod bodies;
mod budget;
mod connections;
pub mod listen;
pub(crate) mod listener;
pub mod metrics;
pub(crate) mod otlp;
pub(crate) mod refusal;
mod review_metrics;
pub mod routes;
mod turns;
pub(crate) mod warden;

use self::{
    listen::Limits,
    listener::Keeper,
    metrics::Metrics,
    otlp::Otlp,
    routes::{MAX_IN_FLIGHT, Reviews},
};
use crate::core::admit::{Answer, Unanswered};
use crate::core::review::Phase;
use crate::core::time::in_words;
use crate::host::decision_log::Sink;
use crate::host::health::{Check, Readiness};
use axum::http::{HeaderMap, StatusCode};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use rustix::process::{Resource, getrlimit};
use std::{
    convert::Infallible,
    future::{Future, pending},
    io,
    net::TcpListener,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
    time::{self, Instant},
};

/// How often a replica that starts looks whether it is ready.
const READY_PERIOD: Duration = Duration::from_millis(5);

/// How long requests in flight may take to end once no new ones are taken. With the usual delay
/// before it this stays below the 30 s after which Kubernetes kills a pod.
const DRAIN: Duration = Duration::from_secs(20);

/// Answers reviews.
pub trait Reviewer: Send + Sync + 'static {
    /// Answers the review in `body`, whatever is in there, before the deadline. The caller limits how many large
    /// reviews compute at once: while this waits, another one computes.
    fn review<'a>(
        &'a self,
        phase: Phase,
        body: &'a [u8],
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Reviewed, Unanswered>>;

    /// Reports a decision once it is known whether its line was written. Takes the exceptions and the Event from the
    /// answer.
    fn report(&self, reviewed: &mut Reviewed);
}

/// A review with its answer, before its line is written.
#[derive(Debug)]
pub struct Reviewed {
    /// The answer.
    pub answer: Answer,
    /// Only if the program's log shows the level `debug`.
    pub trace: Option<Box<Trace>>,
}

/// What the program's log shows of a review at the level `debug`.
#[derive(Debug)]
pub struct Trace {
    /// Kind, operation, namespace and name.
    pub asked: String,
    /// The time for parsing, evaluating and answering.
    pub evaluation: Duration,
    /// The time for questions to the API server.
    pub cluster: Duration,
    /// When the answer was complete, except for its line in the decision log.
    pub answered: Instant,
}

/// A review that was answered.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    /// Which of the two.
    pub phase: Phase,
    /// Headers of the request.
    pub headers: &'a HeaderMap,
    /// When the request came in.
    pub began: SystemTime,
    /// Status of the answer.
    pub status: StatusCode,
    /// What came of it, where it was a review.
    pub verdict: Option<&'static str>,
    /// The decision's line, where there was one to write down.
    pub line: Option<&'a [u8]>,
}

/// How soon to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Go on serving for a while, because others still have to learn that this replica goes.
    Gently,
    /// Only finish what is in flight.
    Now,
}

/// Everything a service is made of.
pub struct Service {
    /// Where reviews come in, over HTTPS.
    pub listener: TcpListener,
    /// What keeps that open while this process is gone.
    pub keeper: Option<Keeper>,
    /// Where operators ask, over HTTP.
    pub admin: TcpListener,
    /// What connections are accepted with.
    pub tls: RustlsConfig,
    /// Answers the reviews.
    pub reviewer: Arc<dyn Reviewer>,
    /// Where decisions are written.
    pub sink: Arc<Sink>,
    /// Sends traces and copies of decisions to a collector.
    pub otlp: Option<Otlp>,
    /// Counts what is served, and is served at `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Checks of others; the service adds `shutdown`.
    pub readiness: Readiness,
    /// How long to go on serving after [`Stop::Gently`].
    pub shutdown_delay: Duration,
}

/// Serves until `stop` resolves, then drains.
///
/// Fails when a listener cannot be used.
pub async fn run(service: Service, stop: impl Future<Output = Stop>) -> io::Result<()> {
    let metrics = service.metrics;
    let (for_reviews, for_admin) = Limits::both(getrlimit(Resource::Nofile).current);
    let open = service
        .readiness
        .register("shutdown", "shutting down", true);
    let reviews = Reviews::new(
        service.reviewer,
        service.sink,
        service.otlp,
        Arc::clone(&metrics),
        MAX_IN_FLIGHT,
    );
    let (https, http, ending) = (Handle::new(), Handle::new(), Notify::new());
    let serve_reviews = async {
        // Connections may wait already, from when a process before this one listened. They are better
        // kept waiting than answered without a certificate, or before the namespaces are known.
        tokio::select! {
            () = until_ready(&service.readiness) => tracing::info!("ready"),
            () = ending.notified() => (),
        }
        let app = routes::router(Arc::clone(&reviews));
        let (listener, https, metrics) = (service.listener, https.clone(), Arc::clone(&metrics));
        listen::https(listener, service.tls, app, for_reviews, https, metrics).await
    };
    let app = admin::router(service.readiness.clone(), Arc::clone(&metrics));
    let (handle, metrics) = (http.clone(), Arc::clone(&metrics));
    let serve_admin = listen::http(service.admin, app, for_admin, handle, metrics);
    let stopping = async {
        // Ends the keeping, which would have connections wait for nobody.
        tokio::select! {
            () = until_drain(stop, &open, &reviews, service.shutdown_delay) => (),
            never = keep(service.keeper) => match never {},
        }
        https.graceful_shutdown(Some(DRAIN));
        ending.notify_one();
        pending::<Infallible>().await
    };
    let served = tokio::select! {
        served = serve_reviews => served,
        // Nobody stops this one first, so that it tells until the end that the service stops.
        served = serve_admin => served,
        never = stopping => match never {},
    };
    http.shutdown();
    served
}

/// Keeps the listening socket open beyond this process, if there is a holder.
async fn keep(keeper: Option<Keeper>) -> Infallible {
    match keeper {
        Some(keeper) => keeper.keep().await,
        None => pending().await,
    }
}

/// Resolves when new requests need no longer be taken: after `stop`, and after the time in which the endpoints are
/// updated.
async fn until_drain(
    stop: impl Future<Output = Stop>,
    open: &Check,
    reviews: &Reviews,
    delay: Duration,
) {
    let stop = stop.await;
    open.set(false);
    reviews.close_connections();
    if stop == Stop::Gently {
        tracing::info!(
            "stopping: still serving for {}, until endpoints are updated",
            in_words(delay.try_into().unwrap_or(SignedDuration::MAX))
        );
        time::sleep(delay).await;
    }
    tracing::info!("stopping: finishing the requests in flight");
}

/// Resolves when all conditions hold for the first time.
async fn until_ready(readiness: &Readiness) {
    while !readiness.is_ready() {
        time::sleep(READY_PERIOD).await;
    }
}

#[derive(Debug)]
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on these signals no longer end the process by themselves.
    ///
    /// Fails when signals cannot be received.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves with the next signal: SIGTERM means gently, SIGINT (Ctrl-C) now.
    pub(crate) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Gently,
            _ = self.interrupt.recv() => Stop::Now,
        }
    }
}
