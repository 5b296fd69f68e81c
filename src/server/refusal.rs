//! HTTP errors as Kubernetes' own `Status` objects, so that clients show the message.
//!
//! Not for denials: those are answers to reviews, with HTTP 200.

use super::bodies::drained;
use crate::core::admit::Unanswered;
use axum::{
    body::BodyDataStream,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::borrow::Cow;
use std::time::Duration;
use strum::{IntoStaticStr, VariantNames};
use tokio::time::timeout;

/// Longest wait for the rest of the body of a refused request.
const REST: Duration = Duration::from_secs(1);

/// Why a request was answered with an HTTP error instead of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Rejection {
    /// 400: not an `AdmissionReview`
    Malformed,
    /// 405: not POST
    Method,
    /// 408: the body did not arrive in time
    Timeout,
    /// 413: the body is larger than the limit
    TooLarge,
    /// 415: not `application/json`
    ContentType,
    /// 500: evaluating the review panicked
    Panic,
    /// 503: too many requests in flight
    Overloaded,
}

/// An HTTP error for a request that is not reviewed.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
    /// The reason under which it is counted, if it is.
    pub(super) why: Option<Rejection>,
    /// Whether the connection is closed after it, because the rest of the body is not read.
    closes: bool,
}

impl Refusal {
    const fn new(status: StatusCode, why: Option<Rejection>, message: &'static str) -> Self {
        Self {
            status,
            message: Cow::Borrowed(message),
            header: None,
            why,
            closes: false,
        }
    }

    /// Reads and drops the rest of the body: a client that still sends would get a reset connection instead of the
    /// answer. Closes the connection if the body is too long, or does not arrive within [`REST`].
    pub(super) async fn after(mut self, body: BodyDataStream) -> Self {
        let is_over = matches!(self.why, Some(Rejection::TooLarge | Rejection::Timeout));
        let ended = async { !is_over && timeout(REST, drained(body)).await == Ok(true) };
        self.closes = !ended.await;
        self
    }

    pub(super) const fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            None,
            "no such path: reviews go to /validate and /mutate",
        )
    }

    pub(super) fn method() -> Self {
        let mut refusal = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            Some(Rejection::Method),
            "reviews are sent with POST",
        );
        refusal.header = Some((header::ALLOW, HeaderValue::from_static("POST")));
        refusal
    }

    pub(super) const fn content_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Some(Rejection::ContentType),
            "a review's content type is application/json",
        )
    }

    pub(super) const fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Some(Rejection::TooLarge),
            "the review is over the limit of 8 MiB",
        )
    }

    pub(super) const fn timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            Some(Rejection::Timeout),
            "the review did not arrive in time",
        )
    }

    pub(super) const fn truncated() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            Some(Rejection::Malformed),
            "the review arrived incomplete",
        )
    }

    pub(super) const fn panic() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Some(Rejection::Panic),
            "this review failed because of a bug in migration-warden; its log says where",
        )
    }

    pub(super) fn overloaded() -> Self {
        let mut refusal = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Some(Rejection::Overloaded),
            "too many reviews at once; retry",
        );
        // With this header the API server itself retries, within the review's own time limit.
        refusal.header = Some((header::RETRY_AFTER, HeaderValue::from_static("1")));
        refusal
    }
}

impl From<Unanswered> for Refusal {
    fn from(error: Unanswered) -> Self {
        let (status, why) = match error {
            Unanswered::Malformed(_) => (StatusCode::BAD_REQUEST, Some(Rejection::Malformed)),
            Unanswered::Write(_) => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        Self {
            message: error.to_string().into(),
            ..Self::new(status, why, "")
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = status_json(self.status, &self.message);
        let kind = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (self.status, kind, body).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        if self.closes {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

/// A `Status` object with `message`, as JSON.
#[must_use]
pub(crate) fn status_json(status: StatusCode, message: &str) -> Vec<u8> {
    serde_json::json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason(status),
        "code": status.as_u16(),
    })
    .to_string()
    .into_bytes()
}

/// The API machinery's word for an HTTP status.
fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "BadRequest",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
        StatusCode::REQUEST_TIMEOUT => "Timeout",
        StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLarge",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "UnsupportedMediaType",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        StatusCode::INTERNAL_SERVER_ERROR => "InternalError",
        _ => "",
    }
}
