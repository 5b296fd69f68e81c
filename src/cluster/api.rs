//! What requests to the API server have in common: their time limit, writes that compete with other replicas, and why
//! a request failed.
//!
//! [`list`] reads the pages of a LIST, [`mod@patient`] bounds the bytes of a page and repeats it, [`seats`] bounds
//! concurrent requests, [`shared`] has callers with the same question share one.

pub(crate) mod list;
pub(crate) mod patient;
pub(super) mod seats;
pub(super) mod shared;

use std::error::Error as StdError;
use std::fmt::Display;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::{FutureExt, TryFutureExt};
use kube::Error;
use kube::core::Status;
use tokio::time::{self, Instant, Interval, MissedTickBehavior, timeout_at};

use crate::core::json::Unreadable;

/// A request that takes longer than this is given up and sent again later.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Most tries of one write: all replicas may write the same object, and each round one of them succeeds.
const TRIES: usize = 8;

/// Why a request to the API server failed. `doing` is its verb and its resource, and `why` the error that began it.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are described above")]
pub enum ApiError {
    /// The API server did not answer before the deadline.
    #[error("the API server did not answer in time")]
    Timeout,
    /// The API server refused it, or is out of order.
    #[error("failed to {doing}: {}", said(.status))]
    Refused { doing: String, status: Box<Status> },
    /// There is no answer, or only a part of one.
    #[error("failed to {doing}: {why}")]
    Unanswered { doing: String, why: String },
    /// The answer is not what was asked for.
    #[error("failed to {doing}: {why}")]
    Unreadable { doing: String, why: String },
    /// Other replicas were faster each time.
    #[error("failed to {0}: other clients keep changing it")]
    Contended(String),
}

impl ApiError {
    /// The HTTP status code of the API server's answer; 0 without one.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::Refused { status, .. } => status.code,
            _ => 0,
        }
    }

    /// Whether the same request may succeed soon. A write may have taken effect all the same.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused { status, .. } => patient::is_passing(status.code),
            Self::Unanswered { .. } => true,
            Self::Timeout | Self::Unreadable { .. } | Self::Contended(_) => false,
        }
    }
}

/// The API server's message. Some answers, and those of proxies, have none.
pub(super) fn said(status: &Status) -> String {
    match StatusCode::from_u16(status.code) {
        Ok(code) if status.message.is_empty() => format!("HTTP {code}"),
        _ => status.message.clone(),
    }
}

/// Adds what was attempted, as a verb and a resource, to an error of the client.
pub(super) fn failed(doing: impl Display) -> impl FnOnce(Error) -> ApiError {
    move |error| {
        let doing = doing.to_string();
        match error {
            Error::Api(status) => ApiError::Refused { doing, status },
            Error::SerdeError(error) => {
                let why = Unread(Unreadable::from(error).to_string()).to_string();
                ApiError::Unreadable { doing, why }
            }
            error => {
                let why = root(&error);
                ApiError::Unanswered { doing, why }
            }
        }
    }
}

/// Why an answer cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the answer: {0}")]
pub(crate) struct Unread(pub(crate) String);

/// The words of the error that began the chain: the others are those of libraries that passed it on.
pub(crate) fn root(error: &(dyn StdError + 'static)) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

/// The answer before the deadline.
pub(crate) fn by<T, E: From<ApiError>>(
    deadline: Instant,
    asked: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    // Not an async function, which would hold the request twice.
    timeout_at(deadline, asked).map(|answered| answered.unwrap_or(Err(ApiError::Timeout.into())))
}

/// The answer within [`TIMEOUT`].
pub(super) fn in_time<T, E: From<ApiError>>(
    asked: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    by(Instant::now() + TIMEOUT, asked)
}

/// The answer to one request within [`TIMEOUT`]. `doing` is its verb and its resource.
pub(super) fn ask<T>(
    doing: impl Display,
    asked: impl Future<Output = kube::Result<T>>,
) -> impl Future<Output = Result<T, ApiError>> {
    in_time(asked.map_err(failed(doing)))
}

/// Ticks for background work, of which the first comes at once. A late tick delays those after it.
pub(super) fn every(period: Duration) -> Interval {
    let mut ticks = time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Counts the tries of one write that competes with those of other replicas: each reads, decides, and writes bound to
/// the version that was read, until no other write has come in between ([`unless_changed`]).
#[derive(Debug, Default)]
pub(super) struct CompareAndSwap(usize);

impl CompareAndSwap {
    /// Begins the next try, if there may be another one. `doing` is the verb and the resource of the write.
    pub(super) fn begin(&mut self, doing: impl Display) -> Result<(), ApiError> {
        self.0 += 1;
        if self.0 > TRIES {
            return Err(ApiError::Contended(doing.to_string()));
        }
        Ok(())
    }
}

/// The result of a write that carries the version it was decided on; `None` if the object has another one by now.
pub(super) fn unless_changed<T>(written: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match written {
        Err(error) if error.code() == 409 => Ok(None),
        written => written.map(Some),
    }
}

/// Like [`unless_changed`], for an object that other replicas may also delete.
pub(super) fn unless_changed_or_gone<T>(
    written: Result<T, ApiError>,
) -> Result<Option<T>, ApiError> {
    match written {
        Err(error) if error.code() == 404 => Ok(None),
        written => unless_changed(written),
    }
}

#[cfg(test)]
pub(super) mod testing {
    use std::sync::Arc;

    use axum::http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::Value;
    use tokio::sync::Notify;
    use tokio::task::yield_now;

    /// Time that a test moves on: every request takes until the next tick.
    #[derive(Clone, Default)]
    pub(in crate::cluster) struct Clock(Arc<Notify>);

    impl Clock {
        pub(in crate::cluster) async fn next(&self) {
            self.0.notified().await;
        }

        /// Lets all requests be sent, and answers those under way.
        pub(in crate::cluster) async fn tick(&self) {
            self.settle().await;
            self.0.notify_waiters();
            self.settle().await;
        }

        /// Lets all tasks go on until they wait for a tick.
        pub(in crate::cluster) async fn settle(&self) {
            for _ in 0..100 {
                yield_now().await;
            }
        }
    }

    /// The client of an API server that answers each request with this status and body.
    pub(in crate::cluster) fn client<F>(
        answer: impl Fn(Request<Body>) -> F + Send + 'static,
    ) -> Client
    where
        F: Future<Output = (u16, Value)> + Send + 'static,
    {
        let service = tower::service_fn(move |request| {
            let answer = answer(request);
            async move {
                let (code, body) = answer.await;
                let body = Body::from(body.to_string().into_bytes());
                Response::builder().status(code).body(body)
            }
        });
        Client::new(service, "default")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, message: &str) -> ApiError {
        let status = Status::failure(message, "Reason").with_code(code);
        failed("write it")(Error::Api(status.boxed()))
    }

    #[test]
    fn a_failure_says_what_was_attempted_and_why() {
        let garbage = serde_json::from_str::<bool>("\"s3cr3t\"").unwrap_err();
        let connect = std::io::Error::other("Connection refused");
        for (error, told) in [
            (refused(403, "no"), "no"),
            (refused(403, ""), "HTTP 403 Forbidden"),
            (refused(404, ""), "HTTP 404 Not Found"),
            (
                failed("write it")(Error::SerdeError(garbage)),
                "cannot read the answer: it has an unexpected value at line 1, column 8",
            ),
            (
                failed("write it")(Error::Service(connect.into())),
                "Connection refused",
            ),
        ] {
            assert_eq!(error.to_string(), format!("failed to write it: {told}"));
        }
    }

    #[test]
    fn a_write_is_not_tried_for_ever() {
        let mut swap = CompareAndSwap::default();
        for _ in 0..TRIES {
            assert!(swap.begin("write it").is_ok());
        }
        let error = swap.begin("write it").unwrap_err();
        let why = "failed to write it: other clients keep changing it";
        assert_eq!(error.to_string(), why);
    }

    #[test]
    fn only_a_conflict_is_a_change() {
        let failed = |code| Err::<(), _>(refused(code, "no"));
        assert!(matches!(unless_changed(failed(409)), Ok(None)));
        for code in [403, 404] {
            assert_eq!(unless_changed(failed(code)).unwrap_err().code(), code);
        }
        assert!(matches!(unless_changed_or_gone(failed(404)), Ok(None)));
    }
}
