//! MW023: Helm does not show why the migration failed.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A Helm hook Job whose log Helm does not print when the hook fails.
    ///
    /// ## Why is this bad?
    /// When a hook fails, Helm reports only that it failed: "job shop-migrate failed". The error of the migration
    /// itself stays in the pod's log, which the author of the deploy may not be able to read. With this annotation Helm
    /// prints the log into the output of the deploy (measured with 3.22 and 4.3).
    ///
    /// The rule applies only to Jobs with the annotation `helm.sh/hook`.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   annotations:
    ///     helm.sh/hook-output-log-policy: hook-failed
    /// ```
    /// Helm prints the log as it is. Leave the annotation out if the migration tool logs secrets.
    ///
    /// Source: Helm's source, `outputLogsByPolicy` in `pkg/action/hooks.go` (3.22.0 and 4.3.1).
    pub(super) static SILENT_HOOK = {
        id: "MW023",
        name: "silent-hook",
        reason: "Helm does not print its log when it fails",
        remediation: "write helm.sh/hook-output-log-policy: hook-failed",
        path: "metadata.annotations['helm.sh/hook-output-log-policy']",
        guide: Audit,
        strict: Warn,
        scope: Scope::Hook,
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let has = |annotation| job.annotations.get(annotation).is_some();
    // Argo CD runs Helm's hooks, too, and prints no log of any.
    if !has(Annotation::Hook) || has(Annotation::ArgoCdTrackingId) {
        return None;
    }
    let policy = job.annotations.get(Annotation::HookOutputLogPolicy);
    if policy.is_some_and(|policy| hooks::elements(policy).any(|element| element == HOOK_FAILED)) {
        return None;
    }
    let detail = match policy {
        Some(policy) => format!("found {}", shown(policy)),
        None => format!(
            "{}, so Helm prints no log when the hook fails",
            missing(job, Annotation::HookOutputLogPolicy)
        ),
    };
    Some(Breach::new(Annotation::HookOutputLogPolicy, detail))
}

const HOOK_FAILED: &str = "hook-failed";

fn expression(_: &Options) -> String {
    let hook = cel::annotation(Annotation::Hook);
    let tracked = cel::annotation(Annotation::ArgoCdTrackingId);
    format!("!{hook}.hasValue() || {tracked}.hasValue() || '{HOOK_FAILED}' in variables.logPolicy")
}
