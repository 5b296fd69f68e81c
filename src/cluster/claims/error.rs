//! Why a claim could not be acquired. Errors are distinguished only if the caller or the user reacts differently.

use super::crowd::MOST;
use crate::cluster::api::ApiError;

/// Why a claim could not be acquired or released.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// A request to the API server failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Too many claims of this namespace name Jobs that have not been seen.
    #[error("namespace {0} has {most} claims whose Jobs have not been seen yet", most = MOST)]
    Crowded(String),
    /// The Lease was written by another program.
    #[error("failed to read the Lease {0} as a claim; delete it if no migration of its key runs")]
    Unreadable(String),
}

impl ClaimError {
    /// The word for it in metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Api(ApiError::Timeout) => "timeout",
            Self::Api(ApiError::Contended(_)) => "contended",
            Self::Api(ApiError::Refused { status, .. }) => match status.code {
                403 => "forbidden",
                429 | 500.. => "unavailable",
                _ => "other",
            },
            Self::Api(ApiError::Client { source, .. }) => match source {
                kube::Error::Service(_) | kube::Error::HyperError(_) => "unavailable",
                _ => "other",
            },
            Self::Crowded(_) => "crowded",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::api::failed;
    use crate::host::metrics;

    #[test]
    fn every_failure_has_its_series() {
        let api = |code: u16| {
            let status = kube::core::Status::failure("no", "reason").with_code(code);
            failed("list jobs")(kube::Error::Api(status.boxed())).into()
        };
        let words = [
            ApiError::Timeout.into(),
            api(403),
            api(503),
            ApiError::Contended("write the claim".to_owned()).into(),
            ClaimError::Crowded("shop".to_owned()),
            ClaimError::Unreadable("claim-00".to_owned()),
            api(400),
        ];
        assert_eq!(
            words.map(|error| error.as_str()),
            metrics::claims::OUTCOMES[3..]
        );
    }
}
