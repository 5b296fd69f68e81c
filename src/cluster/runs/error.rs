//! Why a run was not written: told apart as far as something different is done about it.

/// Why a run was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    /// The cluster has no runs, or they may not be written.
    #[error("{0}")]
    Refused(String),
    /// Its namespace is going, and it would go with it.
    #[error("the namespace is being deleted")]
    Pointless,
    /// Another try would be no better.
    #[error("{0}")]
    Hopeless(String),
    /// The apiserver did not answer.
    #[error("the API server did not answer in time")]
    TimedOut,
    /// Others were faster each time.
    #[error("others wrote it many times in between")]
    Contended,
    /// Anything else.
    #[error("failed to {0} {1}: {2}")]
    Later(&'static str, &'static str, #[source] kube::Error),
}

/// Why the apiserver did not do this with runs.
pub(super) fn failed(verb: &'static str, error: kube::Error) -> Unwritten {
    let status = match &error {
        kube::Error::Api(status) => status,
        kube::Error::SerdeError(why) => {
            return Unwritten::Hopeless(format!("failed to read it: {why}"));
        }
        _ => return Unwritten::Later(verb, "migrationruns", error),
    };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    match (status.code, verb) {
        (403, _) if causes.any(|cause| cause.reason == "NamespaceTerminating") => {
            Unwritten::Pointless
        }
        // The runs have just been listed, so it is the namespace that is not there.
        (404, "create") => Unwritten::Pointless,
        (404, _) => Unwritten::Refused(
            "the cluster has no CRD migrationruns.migration-warden.io, so no runs are recorded; \
             install the chart's (crds.enabled)"
                .to_owned(),
        ),
        (403, _) if status.message.contains(&format!("cannot {verb} resource")) => {
            Unwritten::Refused(format!("failed to {verb} runs: {}", status.message))
        }
        (400 | 413 | 422, _) => Unwritten::Hopeless(status.message.clone()),
        _ => Unwritten::Later(verb, "migrationruns", error),
    }
}
