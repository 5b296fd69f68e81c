//! AdmissionReview v1: bytes in, bytes out.
//!
//! [`request`] reads what the apiserver sends, [`response`] writes what it expects back. Neither
//! knows a rule; what is decided about a review is [`crate::admit`]'s.

pub mod request;
pub mod response;

/// Which of the two webhooks a review came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// `/mutate`: the object before Kubernetes' own validation, without uid, creation time or
    /// generated name. May patch.
    Mutate,
    /// `/validate`: the object as it will be stored. Has the last word.
    Validate,
}

impl Phase {
    /// The word used in decisions and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
        }
    }
}
