//! MW002: Helm does not run the Job before the new version starts.

use crate::job::hooks::{self, Event};
use crate::policy::rule::prelude::*;

rule! {
    /// A migration Job that is not both a `pre-install` and a `pre-upgrade` hook.
    ///
    /// Order, case, spaces and further events do not matter here. With `argocd: true` in the rule's options
    /// `argocd.argoproj.io/hook: PreSync` will do instead.
    ///
    /// ## Why is this bad?
    /// Without a hook Helm creates the Job together with the new version and waits for nothing. With
    /// `pre-install` alone no upgrade migrates. With `pre-upgrade` alone the first install does not migrate;
    /// a first install that failed is retried as an upgrade, so both are needed.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   annotations:
    ///     helm.sh/hook: pre-install,pre-upgrade
    /// ```
    ///
    /// Source: `helm/helm: pkg/releaseutil/manifest_sorter.go`; the Helm documentation, "Chart Hooks".
    pub(super) static MISSING_HOOK = {
        id: "MW002",
        name: "missing-hook",
        reason: "it is not both a pre-install and a pre-upgrade hook",
        remediation: "write helm.sh/hook: pre-install,pre-upgrade",
        path: "metadata.annotations['helm.sh/hook']",
        guide: Deny,
        strict: Deny,
        scope: Scope::Job,
        patch: HELM_READS_THE_CHART,
        options: &["argocd"],
        cel: Cel::Expression(expression),
        check: check,
    };
}

fn check(job: &Job<'_>, _: Selection, options: &Options, report: &mut Report) {
    let argocd = job.annotations.get(Annotation::ArgoCdHook);
    if options.argocd_hook && hooks::argocd_has(argocd, "PreSync") {
        return;
    }
    let value = job.annotations.get(Annotation::Hook);
    let (mut install, mut upgrade) = (false, false);
    for element in value.into_iter().flat_map(hooks::elements) {
        match hooks::event(&element) {
            Some(Event::PreInstall) => install = true,
            Some(Event::PreUpgrade) => upgrade = true,
            Some(Event::Other) | None => {}
        }
    }
    let missing = match (install, upgrade) {
        (true, true) => return,
        (true, false) => "pre-upgrade is missing",
        (false, true) => "pre-install is missing",
        (false, false) => "pre-install and pre-upgrade are missing",
    };
    let detail = match value {
        None => "there is no such annotation, so Helm runs it as no hook".to_owned(),
        Some(value) => format!("found {}, {missing}", shown(value)),
    };
    report.add(FieldPath::annotation(Annotation::Hook), detail);
}

fn expression(options: &Options) -> String {
    let helm = "'pre-install' in variables.hook && 'pre-upgrade' in variables.hook";
    if !options.argocd_hook {
        return helm.to_owned();
    }
    let argocd = cel::annotation(Annotation::ArgoCdHook);
    format!(
        "{helm} || {argocd}.optMap(v, v.split(',').exists(e, e.trim() == 'PreSync')).orValue(false)"
    )
}

#[cfg(test)]
mod tests {
    use crate::policy::testing::{findings, job};
    use serde_json::json;

    #[test]
    fn tells_what_is_missing() {
        let with = |value| {
            findings(
                "MW002",
                &job(|j| j["metadata"]["annotations"]["helm.sh/hook"] = value),
            )
        };
        let path = "metadata.annotations['helm.sh/hook']";
        assert_eq!(
            with(json!("pre-install")),
            [format!(
                r#"{path}: found "pre-install", pre-upgrade is missing"#
            )]
        );
        assert_eq!(
            with(json!("Pre-Upgrade ")),
            [format!(
                r#"{path}: found "Pre-Upgrade ", pre-install is missing"#
            )]
        );
        assert_eq!(
            with(json!("post-install")),
            [format!(
                r#"{path}: found "post-install", pre-install and pre-upgrade are missing"#
            )]
        );
        let none = job(|j| j["metadata"]["annotations"] = json!({}));
        assert_eq!(
            findings("MW002", &none),
            [format!(
                "{path}: there is no such annotation, so Helm runs it as no hook"
            )]
        );
    }

    #[test]
    fn argo_cd_counts_only_when_asked_for() {
        let argo = job(|j| {
            j["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": "Skip, PreSync"});
        });
        assert_eq!(findings("MW002", &argo).len(), 1);
        let options = crate::policy::rule::Options {
            argocd_hook: true,
            ..Default::default()
        };
        assert!(crate::policy::testing::findings_with("MW002", &argo, &options).is_empty());
    }
}
