//! Parses an AdmissionReview request (`admission.k8s.io/v1`).
//!
//! The envelope and the object are parsed in one pass over the bytes; parsing them separately would cost a second scan
//! of the whole body. An object of another kind may have any shape, so if the first pass fails, only the envelope is
//! parsed again.

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny};
use serde_json::value::RawValue;
use thiserror::Error;

use super::Operation;
use super::pruned::Along;
use crate::core::job::Kind;
use crate::core::job::object::Object;
use crate::core::json::{self, Text, few, nullable};

/// Longest uid in bytes. An API server's has 36, and each answer repeats it.
const MAX_UID: usize = 253;

/// Why a body is not a review that can be answered. It has positions, never content, because a body may contain
/// credentials.
#[derive(Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "each message says what is wrong")]
pub enum MalformedReview {
    #[error("the body is not an AdmissionReview: {problem} at line {line}, column {column}")]
    Json {
        problem: &'static str,
        line: usize,
        column: usize,
    },
    /// The body is not UTF-8, which JSON must be (RFC 8259, 8.1).
    #[error("the body is not UTF-8 from byte {0} on")]
    Utf8(usize),
    #[error(
        "expected apiVersion admission.k8s.io/v1 and kind AdmissionReview; set admissionReviewVersions: [v1] in the webhook configuration"
    )]
    Version,
    /// It has no `request`; it may be a response.
    #[error("the AdmissionReview has no request")]
    NoRequest,
    #[error("the AdmissionReview's request has no uid")]
    NoUid,
    #[error(
        "the uid of the AdmissionReview's request has {0} bytes; at most {MAX_UID} are allowed"
    )]
    LongUid(usize),
    #[error("the AdmissionReview's {0} request has no object")]
    NoObject(&'static str),
}

/// Group and kind of the object of a request.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct GroupKind<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub group: Text<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub kind: Text<'a>,
}

/// The user who sent the request, as authenticated by the API server.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct UserInfo<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub username: Text<'a>,
    #[serde(borrow, default, deserialize_with = "few")]
    pub groups: Vec<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Options<'a> {
    /// The field manager; clients choose it, and a DELETE has none.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub(crate) field_manager: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "O: Deserialize<'de>"))]
pub(crate) struct Request<'a, O = Object<'a>> {
    /// The id of this call, repeated in the answer.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub uid: Text<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub(crate) kind: GroupKind<'a>,
    /// `status`, `scale`, …; empty for the object itself.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub(crate) sub_resource: Text<'a>,
    /// Name of the object; empty if the API server has not generated it yet.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Namespace of the request. The object's own may be missing (kubernetes/kubernetes#88282).
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub namespace: Text<'a>,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub operation: Text<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub(crate) user_info: UserInfo<'a>,
    /// Whether this is a dry run, which stores nothing.
    #[serde(default, deserialize_with = "nullable")]
    pub dry_run: bool,
    /// The object to be stored; absent on DELETE.
    pub object: Option<O>,
    /// The object as it is stored; absent on CREATE.
    pub(crate) old_object: Option<O>,
    /// `CreateOptions`, `UpdateOptions` or `DeleteOptions`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub options: Options<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "R: Deserialize<'de>"))]
struct Review<'a, R> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    api_version: Text<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    kind: Text<'a>,
    request: Option<R>,
}

/// A request about a kind that is evaluated, or about any other kind.
#[derive(Debug)]
pub(crate) enum Parsed<'a> {
    /// `batch` Job or CronJob.
    Judged(Box<Request<'a>>),
    /// Any other kind: only the envelope was parsed.
    Other(Box<Request<'a, IgnoredAny>>),
}

pub(crate) fn parse(body: &[u8]) -> Result<Parsed<'_>, MalformedReview> {
    // The whole text is validated first: the parser does not validate strings that it skips, and is faster on `str`.
    let text =
        std::str::from_utf8(body).map_err(|error| MalformedReview::Utf8(error.valid_up_to()))?;
    let review = json::document(|| serde_json::from_str::<Review<'_, Request<'_>>>(text));
    let error = match review {
        Ok(review) => {
            let request = checked(review)?;
            if is_judged(&request.kind) {
                let operation = Operation::from(&*request.operation);
                let needs_object = matches!(operation, Operation::Create | Operation::Update);
                if request.object.is_none() && needs_object {
                    return Err(MalformedReview::NoObject(operation.as_str()));
                }
                return Ok(Parsed::Judged(Box::new(request)));
            }
            return envelope(text);
        }
        Err(error) => error,
    };
    match envelope(text) {
        Ok(Parsed::Other(request)) if !is_judged(&request.kind) => Ok(Parsed::Other(request)),
        Err(other @ (MalformedReview::Version | MalformedReview::NoRequest)) => Err(other),
        _ => Err(describe(&error)),
    }
}

/// The parts along `paths` of the object of a review, as a tree, for the few reviews that get a patch.
///
/// `None` if there is no object. Only called on a body that [`parse`] has accepted.
#[must_use]
pub(crate) fn object_along(body: &[u8], paths: &[Vec<String>]) -> Option<serde_json::Value> {
    let review: Review<'_, Request<'_, &RawValue>> = serde_json::from_slice(body).ok()?;
    let object = review.request?.object?.get();
    let mut deserializer = serde_json::Deserializer::from_str(object);
    Along::new(paths).deserialize(&mut deserializer).ok()
}

fn envelope(text: &str) -> Result<Parsed<'_>, MalformedReview> {
    let review = json::document(|| serde_json::from_str(text));
    let review = review.map_err(|error| describe(&error))?;
    Ok(Parsed::Other(Box::new(checked(review)?)))
}

fn checked<'a, O>(review: Review<'a, Request<'a, O>>) -> Result<Request<'a, O>, MalformedReview> {
    if &*review.api_version != "admission.k8s.io/v1" || &*review.kind != "AdmissionReview" {
        return Err(MalformedReview::Version);
    }
    let request = review.request.ok_or(MalformedReview::NoRequest)?;
    if request.uid.is_empty() {
        return Err(MalformedReview::NoUid);
    }
    if request.uid.len() > MAX_UID {
        return Err(MalformedReview::LongUid(request.uid.len()));
    }
    Ok(request)
}

fn is_judged(kind: &GroupKind<'_>) -> bool {
    &*kind.group == "batch" && Kind::parse(&kind.kind).is_some()
}

fn describe(error: &serde_json::Error) -> MalformedReview {
    use serde_json::error::Category;
    // The parser's own message would quote the wrong value.
    let problem = match error.classify() {
        Category::Eof => "the JSON ends too early",
        Category::Data if json::has_too_many(error) => {
            "its lists and maps have more than 20000 entries"
        }
        Category::Data => "a field has the wrong type",
        Category::Syntax | Category::Io => "the JSON is broken or nested too deeply",
    };
    MalformedReview::Json {
        problem,
        line: error.line(),
        column: error.column(),
    }
}
