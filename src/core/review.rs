//! AdmissionReview v1: bytes in, bytes out.
//!
//! [`request`] reads what the apiserver sends, [`response`] writes what it expects back. Neither
//! knows a rule; what is decided about a review is [`crate::core::admit`]'s.

mod pruned;
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

/// What is to be done with an object. Anything the API server may add later is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A new object, or the first apply of one.
    Create,
    /// A change.
    Update,
    /// A deletion.
    Delete,
    /// A connection to a subresource.
    Connect,
    /// Anything else.
    Other,
}

impl From<&str> for Operation {
    fn from(name: &str) -> Self {
        match name {
            "CREATE" => Self::Create,
            "UPDATE" => Self::Update,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 5] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Connect,
        Self::Other,
    ];

    /// The word used in decisions and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Other => "other",
        }
    }
}
