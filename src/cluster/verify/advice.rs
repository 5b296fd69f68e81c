//! Advice for the case that the webhook is not enforcing, or that this is unknown.

pub(super) const REFUSES_GOOD: &str =
    "it refuses a Job that follows the guide: its message above says why";

/// The API server gets no answer from the webhook.
pub(super) const UNANSWERED: &str = "\
the API server cannot call it, and no migration Job is created as long as its failurePolicy is Fail:
- are its pods ready, and what does their log say?
- x509 or certificate in the message above: caBundle must hold the CA of the serving certificate:
  openssl verify -CAfile ca.crt tls.crt
- timeout or deadline in the message above: does a NetworkPolicy or a firewall block the API server?";

/// The webhook evaluated the broken Job and admitted it with warnings.
pub(super) fn warned(namespace: &str) -> String {
    format!(
        "\
it evaluates Jobs there, but only warns:
- does the label migration-warden.io/mode of the namespace say so? kubectl get namespace {namespace} --show-labels
- does the policy say so, in its namespaces or in the actions of its rules?"
    )
}

/// The Job without a label was stored without one.
pub(super) fn not_adopted(namespace: &str) -> String {
    format!(
        "\
no webhook adopts a Job of the guide's shape that has no label, so it gets none of the promises:
- is detection.promises in the policy empty, or detection.maxAction off?
- is the mode of the namespace off? kubectl get namespace {namespace} --show-labels
- does the entry detect-mutate.migration-warden.io of the mutating webhook configuration exist, and did it answer in time?"
    )
}

/// Nothing shows that the webhook evaluated the Job.
pub(super) fn unjudged(namespace: &str) -> String {
    format!(
        "\
no webhook evaluated the Job, or its findings were only logged:
- is it registered? kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations
- does their namespaceSelector exclude {namespace}? It excludes kube-system and the webhook's own namespace
- is the mode audit or off, by the label migration-warden.io/mode or by the policy's namespaces and profile?
  kubectl get namespace {namespace} --show-labels
- do the policy's selectors match neither app.kubernetes.io/component: migration nor
  migration-warden.io/migration: \"true\"?
- is it down while its failurePolicy is Ignore?"
    )
}

/// Something other than the webhook refused the Job.
pub(super) fn refused(status: u16, message: &str, namespace: &str) -> String {
    match status {
        401 => "the API server does not accept the credentials".to_owned(),
        403 if message.contains("cannot create resource \"jobs\"") => format!(
            "the permission to create jobs.batch in namespace {namespace} is missing, which a dry run needs too:\n\
             kubectl auth can-i create jobs.batch --namespace {namespace}"
        ),
        404 if message.starts_with("namespaces ") => {
            "this namespace does not exist: choose another one with --namespace".to_owned()
        }
        _ => "something else refuses the Job: choose another namespace with --namespace".to_owned(),
    }
}
