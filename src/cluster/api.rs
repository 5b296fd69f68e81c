//! What requests to the API server have in common: their time limit, the pages of a LIST, writes that compete with other
//! replicas, and why a request failed. [`mod@crate::cluster::patient`] bounds the bytes of a page and repeats it.
//!
//! Not for commands, whose client sets the limits: they read [`crate::cluster::pages`].

use std::fmt::Display;
use std::time::Duration;

use futures_util::{FutureExt, TryFutureExt};
use kube::api::ListParams;
use kube::core::{Request, Status};
use kube::{Client, Error, Resource};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::core::json::Page;

/// A request that takes longer than this is given up and sent again later.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Most tries of one write: all replicas may write the same object, and each round one of them succeeds.
const TRIES: usize = 8;

/// Why a request to the API server failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server did not answer before the deadline.
    #[error("the API server did not answer in time")]
    Timeout,
    /// The API server refused it, or is out of order.
    #[error("failed to {doing}: {}", .status.message)]
    Refused {
        /// The verb and the resource.
        doing: String,
        /// The API server's answer.
        status: Box<Status>,
    },
    /// The API server cannot be reached, or its answer cannot be read.
    #[error("failed to {doing}: {source}")]
    Client {
        /// The verb and the resource.
        doing: String,
        source: Error,
    },
    /// Other replicas were faster each time.
    #[error("failed to {0}: other clients keep changing it")]
    Contended(String),
}

impl ApiError {
    /// The HTTP status code of the API server's answer; 0 without one.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Refused { status, .. } => status.code,
            _ => 0,
        }
    }
}

/// Adds what was attempted, as a verb and a resource, to an error of the client.
pub(super) fn failed(doing: impl Display) -> impl FnOnce(Error) -> ApiError {
    move |error| {
        let doing = doing.to_string();
        match error {
            Error::Api(status) => ApiError::Refused { doing, status },
            source => ApiError::Client { doing, source },
        }
    }
}

/// The answer before the deadline.
pub(super) fn by<T, E: From<ApiError>>(
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

/// A LIST in progress.
pub(super) struct List<'c> {
    client: &'c Client,
    path: String,
    params: ListParams,
    is_over: bool,
}

impl<'c> List<'c> {
    /// A LIST of the objects of a kind in one namespace, or in all.
    pub(super) fn of<K: Resource<DynamicType = ()>>(
        client: &'c Client,
        namespace: Option<&str>,
        params: ListParams,
    ) -> Self {
        Self {
            client,
            path: K::url_path(&(), namespace),
            params,
            is_over: false,
        }
    }

    /// The text of the next page, which the caller passes to [`read`](Self::read); `None` after the last one.
    pub(super) async fn next(&mut self) -> kube::Result<Option<String>> {
        if self.is_over {
            return Ok(None);
        }
        // So that a page that is not read ends the list.
        self.is_over = true;
        let request = Request::new(&*self.path).list(&self.params);
        let request = request.map_err(Error::BuildRequest)?;
        self.client.request_text(request).await.map(Some)
    }

    /// The objects of a page.
    pub(super) fn read<'t, T: Deserialize<'t>>(&mut self, page: &'t str) -> kube::Result<Vec<T>> {
        let page: Page<'t, T> = serde_json::from_str(page).map_err(Error::SerdeError)?;
        self.params.continue_token = page.next();
        self.is_over = self.params.continue_token.is_none();
        Ok(page.items)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request as Sent, Response};
    use k8s_openapi::api::core::v1::Pod;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn a_list_has_all_pages_and_ends() {
        let service = tower::service_fn(|request: Sent<Body>| {
            let query = request.uri().query().unwrap_or_default();
            let page = match query.split("continue=").nth(1) {
                None => json!({"metadata": {"continue": "next"}, "items": [1, 2]}),
                Some(token) => json!({"metadata": {"continue": ""}, "items": [token]}),
            };
            let body = Body::from(page.to_string().into_bytes());
            std::future::ready(Response::builder().body(body))
        });
        let client = Client::new(service, "default");
        let mut list = List::of::<Pod>(&client, None, ListParams::default().limit(2));
        let mut items: Vec<Value> = Vec::new();
        while let Some(page) = list.next().await.unwrap() {
            items.extend(list.read::<Value>(&page).unwrap());
        }
        assert_eq!(items, [json!(1), json!(2), json!("next")]);
        assert!(list.next().await.unwrap().is_none());
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
        let answer = |code| {
            let status = Status::failure("no", "reason").with_code(code);
            unless_changed::<()>(Err(failed("write it")(Error::Api(status.boxed()))))
        };
        assert!(matches!(answer(409), Ok(None)));
        let error = answer(403).unwrap_err();
        assert_eq!(error.to_string(), "failed to write it: no");
    }
}
