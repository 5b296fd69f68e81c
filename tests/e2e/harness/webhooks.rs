//! Webhook configurations for one namespace.

use k8s_openapi::ByteString;
use migration_warden::core::guard::webhook_config;
use migration_warden::core::policy_file;
use serde_json::{Value, json};

use super::{Cluster, Outcome, Recorder, Space, Warden, eventually};

/// What to register: where the reviews go, and which.
pub(crate) struct Webhooks {
    mutate: String,
    validate: String,
    ca: String,
    /// Of the configurations' names, by which the apiserver orders the mutating ones.
    prefix: &'static str,
    failure_policy: &'static str,
    reinvocation: &'static str,
    operations: &'static [&'static str],
    guarding: bool,
    mutating: bool,
    group: &'static str,
    resources: &'static [&'static str],
    seconds: u8,
}

/// Registered configurations; dropping them deletes them.
pub(crate) struct Registration {
    name: String,
}

impl Webhooks {
    /// As the webhook is meant to be installed: Jobs and `CronJobs`, when they are created.
    pub(crate) fn of(warden: &Warden) -> Self {
        Self::new(warden.url("/mutate"), warden.url("/validate"), warden.ca())
    }

    /// Both phases go to the recorder.
    pub(crate) fn recorded_by(recorder: &Recorder) -> Self {
        Self::new(
            recorder.url("/mutate"),
            recorder.url("/validate"),
            recorder.ca().to_owned(),
        )
    }

    fn new(mutate: String, validate: String, ca: String) -> Self {
        Self {
            mutate,
            validate,
            ca,
            prefix: "",
            failure_policy: "Fail",
            reinvocation: "Never",
            operations: &["CREATE"],
            guarding: false,
            mutating: true,
            group: "batch",
            resources: &["jobs", "cronjobs"],
            seconds: 5,
        }
    }

    pub(crate) fn failing_open(self) -> Self {
        Self {
            failure_policy: "Ignore",
            ..self
        }
    }

    /// Called again when a later webhook changed the object.
    pub(crate) fn reinvoked(self) -> Self {
        Self {
            reinvocation: "IfNeeded",
            ..self
        }
    }

    /// Called after the others.
    pub(crate) fn last(self) -> Self {
        Self {
            prefix: "zz-",
            ..self
        }
    }

    /// Sees what may be done to a migration Job later, too, by the entry that the chart has for it.
    pub(crate) fn guarding(self) -> Self {
        Self {
            guarding: true,
            ..self
        }
    }

    /// As if the mutating phase was left out.
    pub(crate) fn unstamped(self) -> Self {
        Self {
            mutating: false,
            ..self
        }
    }

    /// Sees everything that can be done to a Job.
    pub(crate) fn for_everything(self) -> Self {
        Self {
            operations: &["*"],
            resources: &["jobs", "jobs/status", "cronjobs"],
            ..self
        }
    }

    /// Sees what is deleted, in the validating phase.
    pub(crate) fn of_deletions(self) -> Self {
        Self {
            operations: &["DELETE"],
            resources: &["jobs"],
            mutating: false,
            ..self
        }
    }

    /// Sees which runs are made, in the validating phase.
    pub(crate) fn of_runs(self) -> Self {
        Self {
            group: "migration-warden.io",
            resources: &["migrationruns"],
            mutating: false,
            ..self
        }
    }

    /// Whose answer is waited for as long as Kubernetes allows.
    pub(crate) fn patient(self) -> Self {
        Self {
            seconds: 30,
            ..self
        }
    }

    /// Registers both phases for the namespace, and waits until the apiserver calls them.
    pub(crate) fn register(self, space: &Space) -> Registration {
        let name = format!("{}{}", self.prefix, space.name());
        let configurations = [
            ("Mutating", self.entries(space, "Mutating", &self.mutate)),
            (
                "Validating",
                self.entries(space, "Validating", &self.validate),
            ),
        ];
        register(space, &name, configurations)
    }

    fn entries(&self, space: &Space, phase: &str, url: &str) -> Value {
        let namespaces = json!({"matchLabels": {"kubernetes.io/metadata.name": space.name()}});
        let verb = if phase == "Mutating" {
            "mutate"
        } else {
            "validate"
        };
        let mut webhook = json!({
            "name": format!("{verb}.migration-warden.io"),
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": url, "caBundle": ByteString(self.ca.clone().into_bytes())},
            "failurePolicy": self.failure_policy,
            "namespaceSelector": namespaces,
            "rules": [{
                "apiGroups": [self.group],
                "apiVersions": ["*"],
                "operations": self.operations,
                "resources": self.resources,
            }],
            "sideEffects": "None",
            "timeoutSeconds": self.seconds,
        });
        if phase == "Mutating" {
            webhook["reinvocationPolicy"] = self.reinvocation.into();
            if !self.mutating {
                // Nobody connects to a Job.
                webhook["rules"][0]["operations"] = json!(["CONNECT"]);
            }
        }
        let guard = (phase == "Validating" && self.guarding).then(|| guard(&webhook));
        [webhook].into_iter().chain(guard).collect()
    }
}

/// Registers the entries of both phases, and waits until the apiserver calls them.
///
/// The apiserver learns of a configuration some time after it was stored. One more webhook, which cannot be called,
/// tells when: from then on a marked ConfigMap is refused.
pub(super) fn register(space: &Space, name: &str, phases: [(&str, Value); 2]) -> Registration {
    let configurations = phases.map(|(phase, mut webhooks)| {
        let last = tripwire(space, name, phase);
        webhooks.as_array_mut().unwrap().push(last);
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": format!("{phase}WebhookConfiguration"),
            "metadata": {"name": name},
            "webhooks": webhooks,
        })
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": configurations});
    space
        .kubectl_with(&["create", "-f", "-"], &list.to_string())
        .succeeds();
    let registration = Registration {
        name: name.to_owned(),
    };
    for phase in ["Mutating", "Validating"] {
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "tripwire", "labels": {"tripwire": mark(name, phase)}},
        });
        eventually("the webhook configuration to take effect", || {
            let args = ["create", "--dry-run=server", "-f", "-"];
            let created = space.kubectl_with(&args, &map.to_string());
            created
                .stderr
                .contains("failed calling webhook")
                .then_some(())
        });
    }
    registration
}

fn tripwire(space: &Space, name: &str, phase: &str) -> Value {
    json!({
        "name": "tripwire.migration-warden.io",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "failurePolicy": "Fail",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space.name()}},
        "objectSelector": {"matchLabels": {"tripwire": mark(name, phase)}},
        "rules": [{
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["configmaps"],
        }],
        "sideEffects": "None",
        "timeoutSeconds": 1,
    })
}

/// The entry for updates and deletions, which goes where this one for creations does.
fn guard(webhook: &Value) -> Value {
    // A Job that was adopted while it ran has no stamp.
    let mut selectors = policy_file::default_selectors();
    let adopted =
        json!({"matchExpressions": [{"key": "migration-warden.io/adopted", "operator": "Exists"}]});
    selectors.push(serde_json::from_value(adopted).unwrap());
    let conditions = webhook_config::conditions(&selectors)
        .map(|(name, expression)| json!({"name": name, "expression": expression}));
    let mut guard = webhook.clone();
    guard["name"] = "guard.migration-warden.io".into();
    guard["failurePolicy"] = "Ignore".into();
    guard["timeoutSeconds"] = 2.into();
    guard["sideEffects"] = "NoneOnDryRun".into();
    guard["rules"][0]["operations"] = json!(["UPDATE", "DELETE"]);
    guard["rules"][0]["resources"] = json!(["jobs", "jobs/status"]);
    guard["matchConditions"] = json!(conditions);
    guard
}

fn mark(name: &str, phase: &str) -> String {
    format!("{name}-{phase}")
}

impl Drop for Registration {
    fn drop(&mut self) {
        let kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
        let mut command = Cluster::get().kubectl();
        let _ = Outcome::of(command.args(["delete", kinds, &self.name]), "");
    }
}
