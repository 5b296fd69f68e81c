//! Why a claim could not be taken. Errors are distinguished only if the caller or the user reacts differently.

use super::crowd::MOST;

/// Why a claim could not be taken or given up.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The API server did not answer before the deadline.
    #[error("the API server did not answer in time")]
    Timeout,
    /// A permission is missing.
    #[error("failed to {verb} {resource}: {message}")]
    Forbidden {
        /// The RBAC verb.
        verb: &'static str,
        /// The RBAC resource.
        resource: &'static str,
        /// The API server's message.
        message: String,
    },
    /// The API server is overloaded, out of order, or cannot be reached.
    #[error("failed to {verb} {resource}: {source}")]
    Unavailable {
        /// The RBAC verb.
        verb: &'static str,
        /// The RBAC resource.
        resource: &'static str,
        /// The underlying error.
        source: kube::Error,
    },
    /// Other replicas were faster each time.
    #[error("failed to write the claim: other clients keep changing it")]
    Contended,
    /// Too many claims of this namespace name Jobs that have not been seen.
    #[error("namespace {0} has {most} claims whose Jobs have not been seen yet", most = MOST)]
    Crowded(String),
    /// The Lease was written by another program.
    #[error("failed to read the Lease {0} as a claim; delete it if no migration of its key runs")]
    Unreadable(String),
    /// Anything else.
    #[error("failed to {verb} {resource}: {source}")]
    Other {
        /// The RBAC verb.
        verb: &'static str,
        /// The RBAC resource.
        resource: &'static str,
        /// The underlying error.
        source: kube::Error,
    },
}

impl ClaimError {
    /// The word for it in metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Forbidden { .. } => "forbidden",
            Self::Unavailable { .. } => "unavailable",
            Self::Contended => "contended",
            Self::Crowded(_) => "crowded",
            Self::Unreadable(_) => "unreadable",
            Self::Other { .. } => "other",
        }
    }
}

pub(super) fn failed(
    verb: &'static str,
    resource: &'static str,
) -> impl FnOnce(kube::Error) -> ClaimError {
    move |source| match source {
        kube::Error::Api(status) if status.code == 403 => ClaimError::Forbidden {
            verb,
            resource,
            message: status.message,
        },
        kube::Error::Api(ref status) if !matches!(status.code, 429 | 500..) => ClaimError::Other {
            verb,
            resource,
            source,
        },
        kube::Error::Api(_) | kube::Error::Service(_) | kube::Error::HyperError(_) => {
            ClaimError::Unavailable {
                verb,
                resource,
                source,
            }
        }
        source => ClaimError::Other {
            verb,
            resource,
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::metrics;

    #[test]
    fn every_failure_has_its_series() {
        let api = |code: u16| {
            let status = kube::core::Status::failure("no", "reason").with_code(code);
            failed("list", "jobs")(kube::Error::Api(status.boxed()))
        };
        let words = [
            ClaimError::Timeout,
            api(403),
            api(503),
            ClaimError::Contended,
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
