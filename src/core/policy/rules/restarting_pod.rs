//! MW004: the kubelet or the Job controller reuses the pod.

use crate::core::job::object::RestartRule;
use crate::core::policy::fix::Fix;
use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration whose pod, or one of its containers, has a `restartPolicy` other than `Never`.
    ///
    /// Since Kubernetes 1.35 a container's own `restartPolicy` and its `restartPolicyRules` override the pod's. This
    /// also applies to init containers. A native sidecar, which is an init container with `restartPolicy: Always`, is fine
    /// unless one of its rules restarts all containers.
    ///
    /// ## Why is this bad?
    /// With `OnFailure` the kubelet restarts a half-applied migration in the same pod. When the Job gives up,
    /// Kubernetes removes the pod and its logs. If `restartPolicy` is not set, Kubernetes defaults it to `Always`,
    /// which the API server refuses for Jobs.
    ///
    /// ## Instead
    /// ```yaml
    /// spec:
    ///   template:
    ///     spec:
    ///       restartPolicy: Never
    /// ```
    /// Write neither `restartPolicy` nor `restartPolicyRules` in a container.
    ///
    /// ## Patching
    /// migration-warden sets the pod's field and a container's own to `Never`, and removes `restartPolicyRules`.
    ///
    /// Source: the Kubernetes documentation, "Jobs: Handling Pod and container failures" and "Pod Lifecycle: Individual
    /// container restart policy and rules"; `ContainerShouldRestart` in Kubernetes' `pkg/api/v1/pod/util.go` (1.37).
    pub(super) static RESTARTING_POD = {
        id: "MW004",
        name: "restarting-pod",
        reason: "restartPolicy is not Never",
        remediation: "write restartPolicy: Never in the pod template",
        path: "spec.template.spec.restartPolicy",
        guide: Deny,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Possible,
        cel: Cel::Expression(expression),
        check: Check::All(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Breaches {
    let found = job.restart_policy();
    let pods = (found != "Never").then(|| {
        let is_set = own_policy(job.spec.template.spec.restart_policy.as_deref()).is_some();
        let detail = defaulted("restartPolicy", shown(found), is_set, found == "Always");
        never("spec.template.spec.restartPolicy".into(), detail)
    });
    let containers = job.containers().flat_map(|(list, index, container)| {
        let path = |field| FieldPath::of(list).index(index).field(field);
        let sidecar = Job::is_native_sidecar(list, container);
        let own = own_policy(container.restart_policy.as_deref());
        let own = own.filter(|policy| !sidecar && *policy != "Never");
        let own = own.map(|policy| {
            let breach = never(path("restartPolicy"), format!("found {}", shown(policy)));
            breach.advise("remove restartPolicy from the container")
        });
        let mut rules = container.restart_policy_rules.iter();
        let rule = rules.find(|rule| restarts(rule, sidecar)).map(|rule| {
            let path = path("restartPolicyRules");
            let detail = format!("found a rule with the action {}", shown(&rule.action));
            let breach = Breach::new(path.clone(), detail).fixed_by(Fix::remove(path));
            breach.advise("remove restartPolicyRules from the container")
        });
        own.into_iter().chain(rule)
    });
    pods.into_iter().chain(containers).collect()
}

/// The breach of a policy that is not `Never`.
fn never(path: FieldPath, detail: String) -> Breach {
    let fix = Fix::set(path.clone(), "Never");
    Breach::new(path, detail).fixed_by(fix)
}

/// A policy that is set: an empty one is not.
fn own_policy(policy: Option<&str>) -> Option<&str> {
    policy.filter(|policy| !policy.is_empty())
}

/// Whether a rule can restart the container, or for a sidecar, which is restarted anyway, the others.
fn restarts(rule: &RestartRule<'_>, sidecar: bool) -> bool {
    let never_applies = &*rule.exit_codes.operator == "In" && rule.exit_codes.values.is_empty();
    !(never_applies || sidecar && &*rule.action == "Restart")
}

fn expression(_: &Options) -> String {
    let pod = "object.spec.template.spec";
    let rules = |fine: &str| {
        format!(
            "c.?restartPolicyRules.orValue([]).all(r, {fine}r.?exitCodes.?operator.orValue('') == 'In' \
             && r.?exitCodes.?values.orValue([]).size() == 0)"
        )
    };
    let sidecar = "c.?restartPolicy.orValue('') == 'Always'";
    let own = "c.?restartPolicy.orValue('Never') in ['', 'Never']";
    format!(
        "{pod}.?restartPolicy.orValue('Always') == 'Never' && \
         {pod}.containers.all(c, {own} && {plain}) && \
         {pod}.?initContainers.orValue([]).all(c, {sidecar} ? {beside} : {own} && {plain})",
        plain = rules(""),
        beside = rules("r.action == 'Restart' || "),
    )
}
