//! AdmissionReview v1: bytes in, bytes out.
//!
//! [`request`] parses reviews from the API server, [`response`] writes the answers. Neither knows the rules;
//! [`crate::core::admit`] decides about a review.

mod pruned;
pub mod request;
pub(crate) mod response;
pub(crate) mod retry;

/// The webhook to which a review was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// `/mutate`: the object before Kubernetes' own validation, without uid, creation time or
    /// generated name. May patch.
    Mutate,
    /// `/validate`: the object as it will be stored. Its answer is final.
    Validate,
}

impl Phase {
    /// The word for it in decisions and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
        }
    }
}

/// The requested operation. Any operation that the API server may add later is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A new object, or the first apply of one.
    Create,
    /// A change of a stored object, its status and an apply included.
    Update,
    /// The deletion of an object.
    Delete,
    /// A connection to a subresource.
    Connect,
    /// Any word that is none of these.
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
    pub(crate) const ALL: [Self; 5] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Connect,
        Self::Other,
    ];

    /// The word for it in decisions and metrics.
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
