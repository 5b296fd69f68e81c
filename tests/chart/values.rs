//! The chart's values as types: `values.schema.json` is made of them, and `values.yaml` is read into them.
//!
//! The policy is the program's own type. What a value is for stands in `values.yaml`, not here.

#![allow(
    dead_code,
    reason = "the fields are there for serde and schemars alone"
)]

use std::collections::BTreeMap;

use migration_warden::core::policy_file::MigrationPolicy;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A part of a Kubernetes object, which only the API server validates.
type Object = Map<String, Value>;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Values {
    /// Global values, which Helm passes to a subchart.
    #[serde(default)]
    global: Object,
    #[schemars(regex(pattern = NAME_OR_EMPTY))]
    name_override: String,
    #[schemars(regex(pattern = NAME_OR_EMPTY))]
    fullname_override: String,
    #[schemars(range(min = 1))]
    replica_count: u32,
    image: Image,
    image_pull_secrets: Vec<Object>,
    pub(crate) policy: MigrationPolicy,
    crds: Enabled,
    webhooks: Webhooks,
    validating_admission_policy: ValidatingAdmissionPolicy,
    certificates: Certificates,
    service: Service,
    #[schemars(range(min = 1))]
    port: u16,
    #[schemars(range(min = 1))]
    admin_port: u16,
    host_network: bool,
    dns_policy: DnsPolicy,
    network_policy: NetworkPolicy,
    pod_disruption_budget: PodDisruptionBudget,
    topology_spread_constraints: Vec<Object>,
    affinity: Object,
    node_selector: BTreeMap<String, String>,
    tolerations: Vec<Object>,
    priority_class_name: String,
    resources: Object,
    listener: Listener,
    #[schemars(range(min = 0))]
    termination_grace_period_seconds: u32,
    pod_annotations: BTreeMap<String, String>,
    log_level: String,
    otlp: Otlp,
    flow_control: Enabled,
    service_monitor: Monitoring,
    prometheus_rule: Monitoring,
    dashboard: Monitoring,
    verify: Verify,
}

/// A DNS label, or nothing.
const NAME_OR_EMPTY: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$";
/// A duration as cert-manager, and Go, write them.
const GO_DURATION: &str = "^([0-9]+(h|m|s))+$";

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Image {
    #[schemars(length(min = 1))]
    repository: String,
    tag: String,
    pull_policy: PullPolicy,
}

#[derive(Deserialize, JsonSchema)]
enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Webhooks {
    failure_policy: FailurePolicy,
    #[schemars(range(min = 1, max = 5))]
    timeout_seconds: u8,
    excluded_namespaces: Vec<Name>,
    detection: Enabled,
}

#[derive(Deserialize, JsonSchema)]
struct Name(#[schemars(regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))] String);

#[derive(Deserialize, JsonSchema)]
enum FailurePolicy {
    Fail,
    Ignore,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ValidatingAdmissionPolicy {
    enabled: bool,
    #[schemars(length(min = 1))]
    actions: Vec<ValidationAction>,
    failure_policy: FailurePolicy,
}

#[derive(Deserialize, JsonSchema)]
enum ValidationAction {
    Audit,
    Warn,
    Deny,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Certificates {
    mode: CertificateMode,
    existing_secret: String,
    cert_manager: CertManager,
    #[serde(rename = "clientCA")]
    client_ca: ClientCa,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum CertificateMode {
    SelfManaged,
    CertManager,
    ExistingSecret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CertManager {
    issuer_ref: Object,
    #[schemars(regex(pattern = GO_DURATION))]
    duration: String,
    #[schemars(regex(pattern = GO_DURATION))]
    renew_before: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClientCa {
    secret_name: String,
    config_map_name: String,
    #[schemars(length(min = 1))]
    key: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Otlp {
    #[schemars(regex(pattern = r"^(http://[^/]+.*)?$"))]
    endpoint: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Service {
    #[schemars(range(min = 1))]
    port: u16,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Listener {
    resources: Object,
}

#[derive(Deserialize, JsonSchema)]
enum DnsPolicy {
    #[serde(rename = "")]
    ByNetwork,
    ClusterFirst,
    ClusterFirstWithHostNet,
    Default,
    None,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Enabled {
    enabled: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NetworkPolicy {
    enabled: bool,
    admin_from: Vec<Object>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PodDisruptionBudget {
    enabled: bool,
    max_unavailable: IntOrPercent,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum IntOrPercent {
    Int(u32),
    Percent(#[schemars(regex(pattern = "^[0-9]+%$"))] String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Monitoring {
    enabled: bool,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Verify {
    namespace: Name,
}
