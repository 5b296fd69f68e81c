//! The generated `ValidatingAdmissionPolicy`, alone: no webhook is registered.

use serde_json::{Value, json};

use super::{Cluster, Outcome, RESTARTING_POD, Space, eventually, generate};

/// Applied policies and bindings, for one namespace; dropping them deletes them.
pub(crate) struct Net {
    name: String,
    manifests: Vec<Value>,
}

impl Net {
    /// Applies what is printed for this policy, for the namespace alone, and waits until it is in
    /// force.
    pub(crate) fn below(space: &Space, policy: &str, actions: &str) -> Self {
        let net = Self::apply(space, policy, actions);
        let refused = if actions.contains("Deny") {
            " denied request: MW004"
        } else {
            "': MW004"
        };
        net.eventually_says(space, refused);
        net
    }

    /// Has the apiserver warn of every rule that is broken, too; a denial names only the first.
    pub(crate) fn and_warns(self, space: &Space) -> Self {
        let name = format!("{}-all", self.name);
        Self::bind(space, &name, &self.name, &json!(["Warn"]));
        self.eventually_says(space, &format!("with binding '{name}': MW004"));
        self
    }

    /// Applies them without waiting.
    pub(crate) fn apply(space: &Space, policy: &str, actions: &str) -> Self {
        let name = space.name().to_owned();
        let args = ["--name", &name, "--action", actions];
        let yaml = generate("vap", policy, &args).succeeds().stdout;
        let manifests: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
        let net = Self { name, manifests };
        for binding in net.of_kind("ValidatingAdmissionPolicyBinding") {
            let name = binding["metadata"]["name"].as_str().unwrap();
            let policy = binding["spec"]["policyName"].as_str().unwrap();
            Self::bind(space, name, policy, &binding["spec"]["validationActions"]);
        }
        // The policies go as text, so that the apiserver's reading of the YAML is tested, too.
        let documents = yaml.split("---\n");
        let policies: Vec<_> = documents
            .filter(|text| !text.contains("Binding\n"))
            .collect();
        space
            .kubectl_with(&["create", "-f", "-"], &policies.join("---\n"))
            .succeeds();
        net
    }

    /// The policies as they were printed.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &Value> {
        self.of_kind("ValidatingAdmissionPolicy")
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        let manifests = self.manifests.iter();
        manifests.filter(move |manifest| manifest["kind"] == kind)
    }

    /// Binds a policy to the namespace.
    fn bind(space: &Space, name: &str, policy: &str, actions: &Value) {
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": policy,
                "validationActions": actions,
                "matchResources": {"namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": space.name()},
                }},
            },
        });
        space
            .kubectl_with(&["create", "-f", "-"], &binding.to_string())
            .succeeds();
    }

    /// Waits until the apiserver, which learns of a policy some time after it was stored, says this
    /// of a Job that breaks MW004.
    fn eventually_says(&self, space: &Space, text: &str) {
        let manifest = RESTARTING_POD.chart().render("tripwire");
        eventually(&format!("{} to say {text:?}", self.name), || {
            let tried = space.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &manifest);
            tried.stderr.contains(text).then_some(())
        });
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let names = ["", "-all", "-warn", "-audit"].map(|suffix| format!("{}{suffix}", self.name));
        let mut command = Cluster::get().kubectl();
        command.args([
            "delete",
            "--ignore-not-found",
            "validatingadmissionpolicybindings,validatingadmissionpolicies",
        ]);
        let _ = Outcome::of(command.args(names), "");
    }
}
