//! The fallback for the webhook: a `ValidatingAdmissionPolicy` with the rules that CEL can express.
//!
//! The API server evaluates it, so it works while no replica answers. It does not know exceptions or other objects, it
//! does not patch, and a denial names only the first broken rule. The CEL of each rule is in the rule's own file.

use serde_json::{Value, json};

use crate::core::job;
use crate::core::policy::cel::{self, string};
use crate::core::policy::options::Options;
use crate::core::policy::rule::{Cel, Rule, Scope};
use crate::core::policy::rules::RULES;
use crate::core::policy::{Action, Mode, Policy};

/// Namespaces of the cluster itself, for which the webhook is not called either.
pub(crate) const SYSTEM_NAMESPACES: [&str; 2] = ["kube-system", "kube-node-lease"];

/// What the API server does with a Job that breaks a rule, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum ValidationAction {
    /// Add an annotation to the audit event.
    Audit,
    /// Warn the client.
    Warn,
    /// Deny the request.
    Deny,
}

/// What the API server does if a CEL expression fails at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum FailurePolicy {
    /// Treat the failure as a violation.
    Fail,
    /// Ignore the failure.
    Ignore,
}

/// The settings that are not in the policy.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the policy and its binding, and prefix of the names of the milder ones.
    pub name: String,
    /// What the API server does with a Job that breaks a rule whose action is `deny`.
    pub actions: Vec<ValidationAction>,
    /// What happens if an expression fails.
    pub failure_policy: FailurePolicy,
    /// Namespaces that are left out, besides those of the cluster itself.
    pub excluded_namespaces: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "migration-warden".to_owned(),
            actions: vec![ValidationAction::Warn, ValidationAction::Audit],
            failure_policy: FailurePolicy::Fail,
            excluded_namespaces: vec!["migration-warden".to_owned()],
        }
    }
}

/// The policies and bindings, each policy before its binding.
///
/// The actions of a binding apply to all rules of its policy. So there are separate policies for the rules that the
/// webhook denies, warns about and audits, and none is stricter than the webhook.
#[must_use]
pub fn manifests(policy: &Policy, settings: &Settings) -> Vec<Value> {
    use ValidationAction::{Audit, Deny, Warn};
    let groups = [
        (Action::Deny, Deny, ""),
        (Action::Warn, Warn, "-warn"),
        (Action::Audit, Audit, "-audit"),
    ];
    let mut manifests = Vec::new();
    for (action, strongest, suffix) in groups {
        let rules = RULES.iter().zip(&policy.actions);
        let rules: Vec<_> = rules
            // If the webhook patched a Job, it is correct by now; otherwise it is denied.
            .filter(|(_, done)| {
                (if **done == Action::Patch {
                    Action::Deny
                } else {
                    **done
                }) == action
            })
            .filter_map(|(rule, _)| Some((*rule, expression(rule, &policy.options)?)))
            .collect();
        if !rules.is_empty() {
            let name = format!("{}{suffix}", settings.name);
            manifests.push(validating_policy(&name, policy, settings, action, &rules));
            manifests.push(binding(&name, settings, strongest));
        }
    }
    manifests
}

/// The CEL expression of a rule, if it has one.
fn expression(rule: &Rule, options: &Options) -> Option<String> {
    match rule.cel {
        Cel::Expression(expression) if rule.scope == Scope::Hook => {
            Some(format!("!variables.runsHooks || ({})", expression(options)))
        }
        Cel::Expression(expression) => Some(expression(options)),
        Cel::Refused(_) => None,
    }
}

fn validating_policy(
    name: &str,
    policy: &Policy,
    settings: &Settings,
    action: Action,
    rules: &[(&Rule, String)],
) -> Value {
    let excluded: Vec<&str> = SYSTEM_NAMESPACES
        .into_iter()
        .chain(settings.excluded_namespaces.iter().map(String::as_str))
        .collect();
    let milder = milder(action);
    let validations: Vec<Value> = rules
        .iter()
        .map(|(rule, expression)| {
            json!({
                "expression": format!("variables.mode in {milder} || ({expression})"),
                "message": message(rule),
                "reason": "Forbidden",
            })
        })
        .collect();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": match settings.failure_policy {
                FailurePolicy::Fail => "Fail",
                FailurePolicy::Ignore => "Ignore",
            },
            "matchConstraints": {
                "namespaceSelector": {"matchExpressions": [{
                    "key": "kubernetes.io/metadata.name",
                    "operator": "NotIn",
                    "values": excluded,
                }]},
                "resourceRules": [{
                    "apiGroups": ["batch"],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["jobs"],
                }],
            },
            "matchConditions": [
                {"name": cel::NOT_THE_CONTROL_PLANE, "expression": cel::ASKED_BY_OTHERS},
                {
                    "name": cel::MIGRATION,
                    "expression": cel::migration("object", policy.selectors.as_written()),
                },
            ],
            "variables": variables(policy, rules),
            "validations": validations,
        },
    })
}

fn binding(name: &str, settings: &Settings, strongest: ValidationAction) -> Value {
    let mut actions: Vec<_> = settings
        .actions
        .iter()
        .map(|action| *action.min(&strongest))
        .collect();
    actions.sort_unstable();
    actions.dedup();
    // The strongest first, as in Kubernetes' own examples.
    let actions: Vec<_> = actions.iter().rev().map(|a| format!("{a:?}")).collect();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": actions},
    })
}

/// The message of a denial, as by the webhook, but without the values found.
fn message(rule: &Rule) -> String {
    format!(
        "{} {}: {}; {}",
        rule.id, rule.name, rule.reason, rule.remediation
    )
}

/// The modes of a namespace that do not allow `action`, as a list.
fn milder(action: Action) -> String {
    let modes = [
        (Mode::Warn, "warn"),
        (Mode::Audit, "audit"),
        (Mode::Off, "off"),
    ];
    let names: Vec<_> = modes
        .iter()
        .filter(|(mode, _)| mode.cap() < action)
        .map(|(_, name)| *name)
        .collect();
    job::cel::list(&names)
}

/// The variables: the mode of the Job's namespace, and the facts that the rules use.
fn variables(policy: &Policy, rules: &[(&Rule, String)]) -> Vec<Value> {
    let mut used: Vec<(&str, String)> = Vec::new();
    for (name, text) in job::cel::variables().into_iter().rev() {
        let mention = format!("variables.{name}");
        let mut texts = rules
            .iter()
            .map(|(_, t)| t)
            .chain(used.iter().map(|(_, t)| t));
        if texts.any(|text| text.contains(&mention)) {
            used.push((name, text));
        }
    }
    used.push(("mode", mode(policy)));
    used.iter()
        .rev()
        .map(|(name, expression)| json!({"name": name, "expression": expression}))
        .collect()
}

/// The mode from the namespace's own label, or else from the first entry of the policy that matches its name. An
/// unknown mode means `enforce`, as for the webhook.
fn mode(policy: &Policy) -> String {
    let mut otherwise = "'enforce'".to_owned();
    for entry in policy.namespaces.iter().rev() {
        let matches: Vec<_> = entry
            .names
            .patterns()
            .iter()
            .map(|pattern| format!("request.namespace.matches({})", string(pattern)))
            .collect();
        let mode = match entry.mode {
            Mode::Enforce => "enforce",
            Mode::Warn => "warn",
            Mode::Audit => "audit",
            Mode::Off => "off",
        };
        otherwise = format!("{} ? '{mode}' : {otherwise}", matches.join(" || "));
    }
    format!(
        "namespaceObject.metadata.?labels[?'migration-warden.io/mode']\
         .optMap(v, v in ['warn', 'audit', 'off'] ? v : 'enforce').orValue({otherwise})"
    )
}

#[cfg(test)]
mod tests;
