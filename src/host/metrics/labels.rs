//! The labels of metrics. All values are constants of this program, never values that callers choose.

use prometheus_client::encoding::EncodeLabelSet;

/// Why a request was answered with an HTTP error instead of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
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

impl Rejection {
    pub(super) const ALL: [Self; 7] = [
        Self::Malformed,
        Self::Method,
        Self::Timeout,
        Self::TooLarge,
        Self::ContentType,
        Self::Panic,
        Self::Overloaded,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Method => "method",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::ContentType => "content_type",
            Self::Panic => "panic",
            Self::Overloaded => "overloaded",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReviewLabels {
    pub(super) phase: &'static str,
    pub(super) operation: &'static str,
    pub(super) verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseLabels {
    pub(super) phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FindingLabels {
    pub(super) rule: &'static str,
    pub(super) action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RuleLabels {
    pub(super) rule: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabels {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabels {
    pub(super) result: &'static str,
}

impl From<bool> for ResultLabels {
    fn from(success: bool) -> Self {
        let result = if success { "success" } else { "failure" };
        Self { result }
    }
}

/// Objects that a watch keeps in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// `MigrationException` objects.
    Exceptions,
    Jobs,
    Namespaces,
}

impl Watch {
    pub(super) const ALL: [Self; 3] = [Self::Exceptions, Self::Jobs, Self::Namespaces];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Exceptions => "exceptions",
            Self::Jobs => "jobs",
            Self::Namespaces => "namespaces",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WatchLabels {
    pub(super) watch: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ConfigurationLabels {
    pub(super) kind: &'static str,
}
