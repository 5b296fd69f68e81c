//! Metrics of certificates and of the webhook configurations that publish them.

use prometheus_client::metrics::{family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;

use super::labels::{Counters, Label, registered};

/// The metrics of certificates and webhook configurations.
#[derive(Debug)]
pub(super) struct CertificateMetrics {
    pub(super) reloads: Counters,
    pub(super) expiration: Gauge,
    pub(super) ca_expiration: Gauge,
    pub(super) ca_published: Family<Label, Gauge>,
    pub(super) agreement: Family<Label, Gauge>,
}

impl CertificateMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            reloads: Counters::of_results(
                registry,
                "certificate_reloads",
                "Reloads of the certificate or of the client CA, by result",
            ),
            expiration: registered(
                registry,
                "certificate_expiration_timestamp_seconds",
                "When the certificate in use expires, in seconds since the Unix epoch",
            ),
            ca_expiration: registered(
                registry,
                "ca_expiration_timestamp_seconds",
                "When the last CA in the published bundle expires, in seconds since the Unix epoch; \
             0 if the CA is managed elsewhere",
            ),
            ca_published: registered(
                registry,
                "ca_published",
                "1 if every entry of the webhook configuration trusts the CA of the certificate in use, \
             0 if not; absent if the CA is managed elsewhere",
            ),
            agreement: registered(
                registry,
                "webhook_configuration_in_agreement",
                "1 if the webhook configuration sends all Jobs that the policy matches, 0 if not",
            ),
        }
    }
}
