//! Why a claim could not be acquired. Errors are distinguished only if the caller or the user reacts differently.

use super::crowd::MOST;
use super::metrics::Claimed;
use crate::cluster::api::ApiError;

/// Why a claim could not be acquired or released.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// A request failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Too many claims of this namespace name Jobs that have not been seen.
    #[error("namespace {0} has {most} claims whose Jobs have not been seen yet", most = MOST)]
    Crowded(String),
    /// Another program wrote the Lease with this name.
    #[error("failed to read the Lease {0} as a claim; delete it if no migration of its key runs")]
    Unreadable(String),
}

impl ClaimError {
    /// What counts it in metrics.
    pub(super) fn outcome(&self) -> Claimed {
        match self {
            Self::Api(ApiError::Timeout) => Claimed::Timeout,
            Self::Api(ApiError::Contended(_)) => Claimed::Contended,
            Self::Api(ApiError::Refused { status, .. }) => match status.code {
                403 => Claimed::Forbidden,
                429 | 500.. => Claimed::Unavailable,
                _ => Claimed::Other,
            },
            Self::Api(ApiError::Unanswered { .. }) => Claimed::Unavailable,
            Self::Api(ApiError::Unreadable { .. }) => Claimed::Other,
            Self::Crowded(_) => Claimed::Crowded,
            Self::Unreadable(_) => Claimed::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::api::failed;

    #[test]
    fn a_refusal_is_counted_by_its_code() {
        for (code, outcome) in [
            (403, Claimed::Forbidden),
            (429, Claimed::Unavailable),
            (503, Claimed::Unavailable),
            (400, Claimed::Other),
        ] {
            let status = kube::core::Status::failure("no", "reason").with_code(code);
            let error = failed("list jobs")(kube::Error::Api(status.boxed()));
            assert_eq!(ClaimError::from(error).outcome(), outcome, "{code}");
        }
    }
}
