//! Writes the answer to a review: AdmissionReview v1, in the form that the API server requires.
//!
//! Source of the rules kept here: `VerifyAdmissionResponse` in
//! `k8s.io/apiserver: pkg/admission/plugin/webhook/request/admissionreview.go`. `kube`'s own type
//! writes the patch as a list of numbers and no status code (kube-rs/kube#1781).

use std::borrow::Cow;

use json_patch::PatchOperation;
use k8s_openapi::ByteString;
use serde::{Serialize, Serializer};

use crate::core::review::retry::Retry;
use crate::core::text;

/// The answer to one request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response<'a> {
    pub uid: &'a str,
    /// Whether the object may be stored.
    pub allowed: bool,
    /// Why it is denied; only with `allowed: false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status<'a>>,
    /// A JSON Patch, base64; only from `/mutate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    /// Lines for the user, in allowed and denied answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Entries for the API server's audit log. Keys have no `/` and at most 63 characters.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    pub(crate) audit_annotations: Vec<(&'static str, Cow<'a, str>)>,
}

/// The status of a denial, which clients show.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the field's name in Kubernetes")]
pub(crate) struct Status<'a> {
    status: &'static str,
    code: u16,
    reason: &'static str,
    message: String,
    details: Details<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: Cow<'a, str>,
    group: &'static str,
    kind: &'static str,
    causes: Vec<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<i64>,
}

/// How a request is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// 403 Forbidden. Not 409, on which Helm retries within milliseconds, and not 422, which would claim that the
    /// object is not a valid Job.
    Final,
    /// 429 `TooManyRequests`: Helm, kubectl and all other programs with client-go wait and retry by themselves. Without
    /// [`Retry`], as in a dry run, they do not.
    Later(Option<Retry>),
}

/// One cause of a denial.
#[derive(Debug, Serialize)]
pub(crate) struct Cause {
    pub field: String,
    pub message: String,
    pub reason: &'static str,
}

fn as_map<S: Serializer>(
    entries: &[(&'static str, Cow<'_, str>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(key, value)| (key, value)))
}

impl<'a> Response<'a> {
    /// An answer that allows the request.
    pub(crate) fn allowed(uid: &'a str) -> Self {
        Self {
            uid,
            allowed: true,
            status: None,
            patch: None,
            patch_type: None,
            warnings: Vec::new(),
            audit_annotations: Vec::new(),
        }
    }

    /// Refuses the object `name` (`jobs.batch` or `cronjobs.batch`).
    pub(crate) fn refuse(
        &mut self,
        name: &'a str,
        kind: &'static str,
        message: String,
        causes: Vec<Cause>,
        refusal: Refusal,
    ) {
        let (code, reason, retry_after_seconds) = match refusal {
            Refusal::Final => (403, "Forbidden", None),
            Refusal::Later(retry) => (429, "TooManyRequests", retry.map(Retry::seconds)),
        };
        self.allowed = false;
        self.status = Some(Status {
            status: "Failure",
            code,
            reason,
            message,
            details: Details {
                name: text::bounded(name, text::NAME),
                group: "batch",
                kind,
                causes,
                retry_after_seconds,
            },
        });
    }

    /// Adds a patch and its type, which the API server requires. Adds nothing if there are no operations.
    pub(crate) fn patch<'o>(
        &mut self,
        operations: impl Iterator<Item = &'o PatchOperation>,
    ) -> Result<(), serde_json::Error> {
        let operations: Vec<_> = operations.collect();
        if !operations.is_empty() {
            self.patch = Some(ByteString(serde_json::to_vec(&operations)?));
            self.patch_type = Some("JSONPatch");
        }
        Ok(())
    }

    /// The bytes of the AdmissionReview.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Review<'r> {
            api_version: &'static str,
            kind: &'static str,
            response: &'r Response<'r>,
        }
        let review = Review {
            api_version: "admission.k8s.io/v1",
            kind: "AdmissionReview",
            response: self,
        };
        // Answers without findings fit, so that the buffer need not grow.
        let mut bytes = Vec::with_capacity(512);
        serde_json::to_writer(&mut bytes, &review)?;
        Ok(bytes)
    }
}
