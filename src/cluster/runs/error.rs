//! Why a run was not written. Errors are distinguished only if they are handled differently.

use crate::cluster::api::{self, ApiError};
use crate::core::runs::clean;

/// Longest part of an API server's message that is kept: webhooks may write any text into it.
const SAID: usize = 512;

#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    /// The cluster does not have the CRD, or does not allow writes.
    #[error("{0}")]
    Refused(String),
    /// This namespace refuses runs: its quota is used up, a policy denies them, or a webhook there does not answer.
    #[error("{0}")]
    Denied(String),
    /// Its namespace is being deleted, and the run would be deleted with it.
    #[error("the namespace is being deleted")]
    Pointless,
    /// A retry cannot succeed.
    #[error("{0}")]
    Hopeless(String),
    /// Any other error, which is retried.
    #[error(transparent)]
    Later(#[from] ApiError),
}

/// Classifies an error of the client from a request about runs.
pub(super) fn failed(verb: &'static str, error: kube::Error) -> Unwritten {
    classified(
        verb,
        api::failed(format_args!("{verb} migrationruns"))(error),
    )
}

pub(super) fn classified(verb: &'static str, error: ApiError) -> Unwritten {
    let status = match &error {
        ApiError::Refused { status, .. } => status,
        ApiError::Unreadable { .. } => return Unwritten::Hopeless(error.to_string()),
        _ => return Unwritten::Later(error),
    };
    let said = || format!("failed to {verb} runs: {}", clean(&api::said(status), SAID));
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    match (status.code, verb) {
        (403, _) if causes.any(|cause| cause.reason == "NamespaceTerminating") => {
            Unwritten::Pointless
        }
        // The runs have just been listed, so the namespace does not exist.
        (404, "create") => Unwritten::Pointless,
        (404, _) => Unwritten::Refused(
            "the cluster has no CRD migrationruns.migration-warden.io, so no runs are recorded; \
             install the CRDs of the chart (crds.enabled)"
                .to_owned(),
        ),
        (403, _) if status.message.contains(" at the cluster scope") => Unwritten::Refused(said()),
        (code, _) if code == 403 || is_of_admission(&status.message) => Unwritten::Denied(said()),
        (400 | 413 | 422, _) => Unwritten::Hopeless(clean(&api::said(status), SAID)),
        _ => Unwritten::Later(error),
    }
}

/// Whether a message comes from a webhook or a `ValidatingAdmissionPolicy`, or from the API server about a webhook
/// (`k8s.io/apiserver`, `pkg/admission/plugin/webhook/errors/statuserror.go` and `…/plugin/policy/validating`). These
/// may have any code.
fn is_of_admission(message: &str) -> bool {
    [
        "denied the request",
        "denied request",
        "failed calling webhook",
    ]
    .iter()
    .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    /// How an answer is classified, as the name of the variant.
    fn kind(verb: &'static str, code: u16, message: &str) -> &'static str {
        let status = Status::failure(message, "Forbidden").with_code(code);
        match failed(verb, kube::Error::Api(Box::new(status))) {
            Unwritten::Refused(_) => "refused",
            Unwritten::Denied(said) => {
                assert!(
                    said.starts_with(&format!("failed to {verb} runs: ")),
                    "{said}"
                );
                assert!(said.len() < 600 && !said.contains("hunter2"), "{said}");
                "denied"
            }
            Unwritten::Pointless => "pointless",
            Unwritten::Hopeless(_) => "hopeless",
            Unwritten::Later(_) => "later",
        }
    }

    #[test]
    fn one_namespace_is_told_from_all() {
        let rights = "migrationruns.migration-warden.io is forbidden: User \"w\" cannot create resource \
                      \"migrationruns\" in API group \"migration-warden.io\"";
        let webhook = "admission webhook \"validation.gatekeeper.sh\" denied the request: \
                       [must-have-owner] --password=hunter2hunter2";
        let policy = "migrationruns.migration-warden.io \"x\" is forbidden: ValidatingAdmissionPolicy 'p' \
                      with binding 'b' denied request: no";
        let away = "Internal error occurred: failed calling webhook \"v.kyverno.svc-fail\": \
                    context deadline exceeded";
        let quota = "migrationruns.migration-warden.io \"x\" is forbidden: exceeded quota: runs";
        for (code, message) in [
            (403, &*format!("{rights} in the namespace \"bad\"")),
            (403, webhook),
            (400, webhook),
            (429, webhook),
            (422, policy),
            (500, away),
            (403, quota),
            (403, &*format!("{webhook}{}", "x".repeat(2000))),
        ] {
            assert_eq!(kind("create", code, message), "denied", "{code} {message}");
        }
        assert_eq!(
            kind("list", 403, &format!("{rights} at the cluster scope")),
            "refused"
        );
        assert_eq!(kind("get", 404, "no such path"), "refused");
        assert_eq!(
            kind("create", 404, "namespaces \"bad\" not found"),
            "pointless"
        );
        assert_eq!(
            kind("create", 422, "spec.attempt: Invalid value"),
            "hopeless"
        );
        assert_eq!(
            kind("create", 500, "etcdserver: request timed out"),
            "later"
        );
        assert_eq!(kind("create", 429, "too many requests"), "later");
    }
}
