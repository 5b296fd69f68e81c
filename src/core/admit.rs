//! Turns a review, the policy and known facts about the cluster into an answer and a decision.
//!
//! The only place where the admission protocol and the policy meet. Pure: the caller supplies the clock, the ids and
//! the facts about the cluster. A review takes these steps, and nearly every one leaves after the second:
//!
//! ```text
//! parse -> select -> judge -> question and hear -> finish
//! ```

mod answer;
mod correct;
mod event;
mod judge;
mod question;
mod select;
mod stamp;

use jiff::Timestamp;
use uuid::Uuid;

pub use judge::Judged;
pub use question::{Claimant, Heard, Question};
pub use select::Case;

use crate::core::exception::Use;
use crate::core::notice::Happening;
use crate::core::policy::Action;
use crate::core::policy::verdict::Outcome;
use crate::core::review::request::{self, MalformedReview, Parsed, Request};
use crate::core::review::response::Response;
use crate::core::review::{Operation, Phase};
use crate::core::text;

/// What an answer depends on besides the review, the policy and the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// When the replica received the review.
    pub now: Timestamp,
    /// Id for the decision, unless the Job already has one that was assigned for this request.
    pub id: Uuid,
    /// Name of the replica, for the decision log.
    pub replica: &'a str,
}

/// The answer to a review, with everything that is recorded about it.
#[derive(Debug)]
pub struct Answer {
    pub(crate) phase: Phase,
    pub(crate) operation: Operation,
    /// The AdmissionReview to send, as JSON.
    pub body: Vec<u8>,
    /// The verdict, without the loss of its line.
    pub outcome: Outcome,
    /// Rule and action of each finding.
    pub findings: Vec<(&'static str, Action)>,
    /// The name under which the Job is adopted, if it is stored.
    pub(crate) adopted: Option<String>,
    /// The exceptions that the object needs to be admitted.
    pub exceptions: Vec<Use>,
    /// The Event to send, if the verdict is worth one.
    pub happening: Option<Box<Happening>>,
    /// The line for the decision log, without a newline, if the decision is logged.
    pub line: Option<Vec<u8>>,
    /// The answer to send instead if the line could not be written and the policy says `deny`.
    pub if_lost: Option<Vec<u8>>,
}

impl Answer {
    /// An answer without findings, and with nothing to record.
    #[must_use]
    pub fn allowed(phase: Phase, operation: Operation, body: Vec<u8>) -> Self {
        Self {
            phase,
            operation,
            body,
            outcome: Outcome::Allowed,
            findings: Vec::new(),
            adopted: None,
            exceptions: Vec::new(),
            happening: None,
            line: None,
            if_lost: None,
        }
    }

    /// Turns into the denial for a line that could not be written, if the policy says `deny`. Then no Job was
    /// adopted, no exception was used, and no Event reports an admitted Job.
    pub(crate) fn lose_line(&mut self) {
        if let Some(denial) = self.if_lost.take() {
            self.body = denial;
            self.outcome = Outcome::Denied;
            self.adopted = None;
            self.exceptions.clear();
            self.happening = None;
        }
    }
}

/// Why a review has no answer. The client gets an HTTP error.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The body is not a review that can be answered.
    #[error(transparent)]
    Malformed(#[from] MalformedReview),
    /// The answer could not be serialized.
    #[error("failed to write the answer")]
    Write(#[from] serde_json::Error),
}

/// A parsed review.
#[derive(Debug)]
pub struct Review<'a> {
    phase: Phase,
    body: &'a [u8],
    parsed: Parsed<'a>,
}

/// Parses the body of one request; fails if it is not a review.
pub fn parse(phase: Phase, body: &[u8]) -> Result<Review<'_>, Unanswered> {
    let parsed = request::parse(body)?;
    Ok(Review {
        phase,
        body,
        parsed,
    })
}

impl Review<'_> {
    /// What is asked, for the program's log: operation, kind, namespace and name, without credentials.
    #[must_use]
    pub fn summary(&self) -> String {
        fn of<O>(request: &Request<'_, O>, name: &str) -> String {
            let (operation, kind) = (&*request.operation, &*request.kind.kind);
            let (part, namespace) = (&*request.sub_resource, &*request.namespace);
            let slash = if part.is_empty() { "" } else { "/" };
            let asked = format!("{operation} {kind}{slash}{part} {namespace}/{name}");
            text::bounded(&asked, text::DETAIL).into_owned()
        }
        match &self.parsed {
            Parsed::Judged(request) => {
                let object = request.object.as_ref().or(request.old_object.as_ref());
                let name = object.map_or("", |object| match &*object.metadata.name {
                    "" => &object.metadata.generate_name,
                    name => name,
                });
                of(request, name)
            }
            Parsed::Other(request) => of(request, &request.name),
        }
    }

    /// The answer to a review of anything but a migration.
    pub fn allowed(&self) -> Result<Answer, Unanswered> {
        let (uid, operation) = match &self.parsed {
            Parsed::Judged(request) => (&request.uid, &request.operation),
            Parsed::Other(request) => (&request.uid, &request.operation),
        };
        let body = Response::allowed(uid).to_bytes()?;
        let operation = Operation::from(&**operation);
        Ok(Answer::allowed(self.phase, operation, body))
    }
}
