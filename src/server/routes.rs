//! The HTTP side of reviews: which requests are reviewed, with which limits.
//!
//! Everything is done in one handler without middleware, because a few layers would take almost as long as a review.
//! The reviewer evaluates the review itself.

pub use super::bodies::MAX_IN_FLIGHT;

use super::{
    Answered, Reviewed, Reviewer,
    bodies::{Bodies, Buffer},
    budget::budget,
    connections::Place,
    metrics::Metrics,
    otlp::Otlp,
    refusal::Refusal,
    turns::Turns,
};
use crate::core::review::Phase;
use crate::host::decision_log::Sink;
use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    response::{IntoResponse, Response},
    routing::any,
};
use futures_util::FutureExt;
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

/// The longest body that is evaluated on the async workers: at most a millisecond of work.
const SMALL: usize = 64 << 10;

/// The state that both routes share.
pub struct Reviews {
    reviewer: Arc<dyn Reviewer>,
    sink: Arc<Sink>,
    otlp: Option<Otlp>,
    metrics: Arc<Metrics>,
    bodies: Bodies,
    turns: Turns,
    closing: AtomicBool,
}

impl Reviews {
    /// The state for reviews. Bodies above 16 KiB take at most `in_flight` bytes at once.
    #[must_use]
    pub fn new(
        reviewer: Arc<dyn Reviewer>,
        sink: Arc<Sink>,
        otlp: Option<Otlp>,
        metrics: Arc<Metrics>,
        in_flight: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            reviewer,
            sink,
            otlp,
            bodies: Bodies::new(in_flight, metrics.connections.clone()),
            metrics,
            turns: Turns::new(),
            closing: AtomicBool::new(false),
        })
    }

    /// From now on every answer asks the caller to close its connection, so that it uses another replica before this
    /// one stops.
    pub fn close_connections(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    async fn respond(
        self: Arc<Self>,
        phase: Phase,
        place: Arc<Place>,
        request: Request,
    ) -> Response {
        let _in_flight = self.metrics.reviews.in_flight();
        place.hears();
        let start = Instant::now();
        let otlp = self.otlp.as_ref();
        let traced = otlp.map(|otlp| (otlp, SystemTime::now(), request.headers().clone()));
        let (mut response, verdict, line) = match self.review(phase, &place, request, start).await {
            Ok(Reviewed { answer, .. }) => {
                self.metrics.reviews.took(phase, start.elapsed());
                let verdict = answer.outcome.as_str();
                (json(answer.body), Some(verdict), answer.line)
            }
            Err(refusal) => {
                if let Some(why) = refusal.why {
                    self.metrics.reviews.rejected(why);
                }
                (refusal.into_response(), None, None)
            }
        };
        if let Some((otlp, began, headers)) = traced {
            otlp.answered(&Answered {
                phase,
                headers: &headers,
                began,
                status: response.status(),
                verdict,
                line: line.as_deref(),
            });
        }
        if self.closing.load(Ordering::Relaxed) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }

    async fn review(
        self: &Arc<Self>,
        phase: Phase,
        place: &Arc<Place>,
        request: Request,
        start: Instant,
    ) -> Result<Reviewed, Refusal> {
        let deadline = start + budget(request.uri().query());
        let refusal = if request.method() != Method::POST {
            Some(Refusal::method())
        } else if !is_json(request.headers()) {
            Some(Refusal::content_type())
        } else {
            None
        };
        let mut chunks = request.into_body().into_data_stream();
        let read = match refusal {
            Some(refusal) => Err(refusal),
            None => timeout_at(deadline, self.bodies.read(&mut chunks, place))
                .await
                .unwrap_or_else(|_| Err(Refusal::timeout())),
        };
        let (body, paid) = match read {
            Ok(read) => read,
            // Other reviews should not carry the state for this.
            Err(refusal) => return Err(Box::pin(refusal.after(chunks)).await),
        };
        drop(chunks);
        let _works = place.works();
        if body.len() <= SMALL {
            let reviewed = AssertUnwindSafe(self.reviewer.review(phase, &body, deadline))
                .catch_unwind()
                .await;
            // Freed before the decision log, which may be slow: the body is no longer needed.
            drop(body);
            let reviewed = reviewed.map_err(|_| Refusal::panic())??;
            return Ok(self.log(reviewed, deadline).await);
        }
        // Continues after the caller has disconnected: the decision must be logged, and the memory must stay accounted
        // for.
        let reviews = Arc::clone(self);
        let decided = tokio::spawn(async move {
            let reviewed = reviews.review_apart(phase, body, deadline).await?;
            drop(paid);
            Ok(reviews.log(reviewed, deadline).await)
        });
        decided.await.unwrap_or_else(|_| Err(Refusal::panic()))
    }

    async fn review_apart(
        &self,
        phase: Phase,
        body: Buffer,
        deadline: Instant,
    ) -> Result<Reviewed, Refusal> {
        let place = self.turns.of(body.len(), deadline);
        let turn = place.take().await?;
        let reviewer = Arc::clone(&self.reviewer);
        let runtime = Handle::current();
        let answered = spawn_blocking(move || {
            let reviewing = reviewer.review(phase, &body, deadline);
            runtime.block_on(place.run(reviewing, turn))
        });
        Ok(answered.await.map_err(|_| Refusal::panic())???)
    }

    /// Logs the decision, or counts it as lost, and returns the answer to send. For a collector it keeps the line.
    async fn log(&self, mut reviewed: Reviewed, deadline: Instant) -> Reviewed {
        let answer = &mut reviewed.answer;
        if let Some(line) = answer.line.take() {
            answer.line = self.otlp.as_ref().map(|_| line.clone());
            if self.sink.write(line, deadline).await.is_err() {
                answer.lose_line();
            }
        }
        self.reviewer.report(&mut reviewed);
        reviewed
    }
}

/// `POST /validate` and `POST /mutate`.
pub fn router(reviews: Arc<Reviews>) -> Router {
    type Shared = (State<Arc<Reviews>>, Extension<Arc<Place>>);
    let validate = |(State(reviews), Extension(place)): Shared, request: Request| async move {
        reviews.respond(Phase::Validate, place, request).await
    };
    let mutate = |(State(reviews), Extension(place)): Shared, request: Request| async move {
        reviews.respond(Phase::Mutate, place, request).await
    };
    Router::new()
        .route("/validate", any(validate))
        .route("/mutate", any(mutate))
        .fallback(async |request: Request| {
            let body = request.into_body().into_data_stream();
            Refusal::not_found().after(body).await
        })
        .with_state(reviews)
}

fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}
