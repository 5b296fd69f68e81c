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
        None => "it is not set, so Helm prints no log when the hook fails".to_owned(),
    };
    Some(Breach::new(Annotation::HookOutputLogPolicy, detail))
}

const HOOK_FAILED: &str = "hook-failed";

fn expression(_: &Options) -> String {
    let hook = cel::annotation(Annotation::Hook);
    let tracked = cel::annotation(Annotation::ArgoCdTrackingId);
    format!("!{hook}.hasValue() || {tracked}.hasValue() || '{HOOK_FAILED}' in variables.logPolicy")
}

#[cfg(test)]
mod tests {
    use crate::core::policy::testing::{findings, job};
    use serde_json::{Value, json};

    const KEY: &str = "helm.sh/hook-output-log-policy";

    fn with(policy: Value) -> Vec<String> {
        findings(
            "MW023",
            &job(|j| j["metadata"]["annotations"][KEY] = policy),
        )
    }

    #[test]
    fn asks_for_the_log_of_a_failure() {
        let path = format!("metadata.annotations['{KEY}']");
        let without = job(|j| {
            j["metadata"]["annotations"]
                .as_object_mut()
                .unwrap()
                .remove(KEY);
        });
        assert_eq!(
            findings("MW023", &without),
            [format!(
                "{path}: it is not set, so Helm prints no log when the hook fails"
            )]
        );
        for wrong in ["hook-succeeded", "", "hook_failed", "failed"] {
            assert_eq!(with(json!(wrong)), [format!("{path}: found {wrong:?}")]);
        }
    }

    #[test]
    fn reads_it_as_helm_does() {
        for right in [
            "hook-failed",
            " Hook-Failed , x",
            "hook-succeeded,hook-failed",
        ] {
            assert!(with(json!(right)).is_empty(), "{right}");
        }
    }

    #[test]
    fn judges_helm_hooks_alone() {
        let plain =
            job(|j| j["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": "PreSync"}));
        assert!(findings("MW023", &plain).is_empty());
    }
}
