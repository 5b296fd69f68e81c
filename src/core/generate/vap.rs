//! The fallback for the webhook: a `ValidatingAdmissionPolicy` with the rules that CEL can express.
//!
//! The API server evaluates it, so it works while no replica answers. It does not know exceptions or other objects, it
//! does not patch, and a denial names only the first broken rule. The CEL of each rule is in the rule's own file.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::new_jobs;
use crate::core::job;
use crate::core::policy::cel::{self, string};
use crate::core::policy::name_patterns;
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
    let mut manifests = Vec::new();
    for (action, strongest, suffix) in [
        (Action::Deny, Deny, ""),
        (Action::Warn, Warn, "-warn"),
        (Action::Audit, Audit, "-audit"),
    ] {
        let rules = RULES.into_iter().zip(policy.actions);
        // If the webhook patched a Job, it is correct by now; otherwise it is denied.
        let rules = rules.filter(|(_, done)| {
            *done == action || (*done, action) == (Action::Patch, Action::Deny)
        });
        let rules = rules.filter_map(|(rule, _)| Some((rule, expression(rule, &policy.options)?)));
        let rules: Vec<_> = rules.collect();
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
    let Cel::Expression(expression) = rule.cel else {
        return None;
    };
    let expression = expression(options);
    Some(match rule.scope {
        Scope::Hook => format!("!variables.runsHooks || ({expression})"),
        _ => expression,
    })
}

fn validating_policy(
    name: &str,
    policy: &Policy,
    settings: &Settings,
    action: Action,
    rules: &[(&Rule, String)],
) -> Value {
    let modes = [Mode::Warn, Mode::Audit, Mode::Off].into_iter();
    let milder: Vec<_> = modes
        .filter(|mode| mode.cap() < action)
        .map(Mode::as_str)
        .collect();
    let milder = job::cel::list(&milder);
    let validation = |(rule, expression): &(&Rule, String)| {
        json!({
            "expression": format!("variables.mode in {milder} || ({expression})"),
            // As by the webhook, but without the values found.
            "message": format!("{} {}: {}; {}", rule.id, rule.name, rule.reason, rule.remediation),
            "reason": "Forbidden",
        })
    };
    let validations: Vec<_> = rules.iter().map(validation).collect();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": format!("{:?}", settings.failure_policy),
            "matchConstraints": new_jobs(&settings.excluded_namespaces),
            "matchConditions": [
                {"name": cel::NOT_THE_CONTROL_PLANE, "expression": cel::ASKED_BY_OTHERS},
                {"name": cel::MIGRATION, "expression": judged(policy)},
            ],
            "variables": variables(policy, rules),
            "validations": validations,
        },
    })
}

/// Whether the rules are enforced on the Job: as a migration Job, or as one of an entry of `adopt` with that mode.
fn judged(policy: &Policy) -> String {
    let entries = policy.adopt.entries().iter();
    let enforced = entries.filter(|entry| entry.rules == Mode::Enforce);
    let enforced: Vec<String> = enforced.map(|entry| entry.name.clone()).collect();
    cel::migration_or_of("object", policy.selectors.as_written(), &enforced)
}

fn binding(name: &str, settings: &Settings, strongest: ValidationAction) -> Value {
    let actions = settings.actions.iter().map(|action| action.min(&strongest));
    // The strongest first, as in Kubernetes' own examples.
    let actions = actions.collect::<BTreeSet<_>>().into_iter().rev();
    let actions: Vec<_> = actions.map(|action| format!("{action:?}")).collect();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": actions},
    })
}

/// The variables: the mode of the Job's namespace, and the facts that the rules use.
fn variables(policy: &Policy, rules: &[(&Rule, String)]) -> Vec<Value> {
    let mut texts: String = rules.iter().map(|(_, text)| text.as_str()).collect();
    let mut used = Vec::new();
    for (name, text) in job::cel::variables().into_iter().rev() {
        if texts.contains(&format!("variables.{name}")) {
            texts.push_str(&text);
            used.push((name, text));
        }
    }
    used.push(("mode", mode(policy)));
    let all = used.iter().rev();
    all.map(|(name, expression)| json!({"name": name, "expression": expression}))
        .collect()
}

/// The mode from the namespace's own label, or else from the first entry of the policy that matches its name. An
/// unknown mode means `enforce`, as for the webhook.
fn mode(policy: &Policy) -> String {
    let mut otherwise = "'enforce'".to_owned();
    for entry in policy.namespaces.iter().rev() {
        let patterns = entry.names.iter();
        let patterns = patterns.map(|pattern| name_patterns::expression(pattern));
        let matches: Vec<_> = patterns
            .map(|pattern| format!("request.namespace.matches({})", string(&pattern)))
            .collect();
        let (matches, mode) = (matches.join(" || "), entry.mode.as_str());
        otherwise = format!("{matches} ? '{mode}' : {otherwise}");
    }
    format!(
        "namespaceObject.metadata.?labels[?'migration-warden.io/mode']\
         .optMap(v, v in ['warn', 'audit', 'off'] ? v : 'enforce').orValue({otherwise})"
    )
}

#[cfg(test)]
mod tests;
