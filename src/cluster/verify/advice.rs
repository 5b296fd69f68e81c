//! Advice for the case that the webhook is not enforcing, or that this is unknown.

use super::answer::Obstacle;

/// The webhook denies a good Job.
pub(super) const REFUSES_GOOD: &str =
    "it refuses a Job that follows the guide: its words above say why";

/// The API server gets no answer from the webhook.
pub(super) const UNANSWERED: &str = "\
the apiserver cannot call it, and no migration Job is created as long as its failurePolicy is Fail:
- are its pods ready, and what does their log say?
- x509 or certificate in the words above: caBundle must hold the CA of the certificate that is served:
  openssl verify -CAfile ca.crt tls.crt
- timeout or deadline in the words above: does a NetworkPolicy or a firewall keep the apiserver away?";

/// The webhook evaluated the broken Job and admitted it with warnings.
pub(super) fn warned(namespace: &str) -> String {
    format!(
        "\
it judges there and only warns:
- does the namespace say so? kubectl get namespace {namespace} --show-labels: migration-warden.io/mode
- does the policy? Its namespaces, or the actions of its rules"
    )
}

/// Nothing shows that the webhook evaluated the Job.
pub(super) fn unjudged(namespace: &str) -> String {
    format!(
        "\
no webhook judged the Job, or what it found was only recorded:
- is it registered? kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations
- does their namespaceSelector leave {namespace} out? It does kube-system and the webhook's own namespace
- is the mode audit or off? kubectl get namespace {namespace} --show-labels: migration-warden.io/mode;
  then the policy's namespaces and profile
- do the policy's selectors match neither app.kubernetes.io/component: migration nor
  migration-warden.io/migration: \"true\"?
- is it down while its failurePolicy is Ignore?"
    )
}

/// Something other than the webhook refused the Job.
pub(super) fn refused(by: Obstacle, namespace: &str) -> String {
    match by {
        Obstacle::Permission => format!(
            "the permission to create jobs.batch in namespace {namespace} is missing, which a dry run needs too:\n\
             kubectl auth can-i create jobs.batch --namespace {namespace}"
        ),
        Obstacle::Identity => "the apiserver does not accept the credentials".to_owned(),
        Obstacle::Namespace => {
            "there is no such namespace: name another one with --namespace".to_owned()
        }
        Obstacle::Other => {
            "something else refuses the Job: name another namespace with --namespace".to_owned()
        }
    }
}
