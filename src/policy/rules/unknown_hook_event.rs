//! MW015: Helm drops the whole manifest.

use crate::job::hooks;
use crate::policy::rule::prelude::*;

rule! {
    /// A migration Job that names a hook event Helm does not know, an empty one included.
    ///
    /// A trailing comma makes an empty event. Spaces do not separate events.
    ///
    /// ## Why is this bad?
    /// Helm leaves out the whole manifest: the Job is neither a hook nor a resource, the release is deployed
    /// without its migration, and all that is said is a line in Helm's log. Such a Job never reaches a
    /// cluster through Helm, so only a check of the rendered chart finds it.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   annotations:
    ///     helm.sh/hook: pre-install,pre-upgrade
    /// ```
    ///
    /// Source: `(*manifestFile).sort` in `helm/helm: pkg/releaseutil/manifest_sorter.go`.
    pub(super) static UNKNOWN_HOOK_EVENT = {
        id: "MW015",
        name: "unknown-hook-event",
        reason: "Helm does not know an event and drops the manifest",
        remediation: "write helm.sh/hook: pre-install,pre-upgrade",
        path: "metadata.annotations['helm.sh/hook']",
        guide: Deny,
        strict: Deny,
        scope: Scope::Job,
        patch: HELM_READS_THE_CHART,
        options: &[],
        cel: Cel::Expression(expression),
        check: check,
    };
}

fn check(job: &Job<'_>, _: Selection, _: &Options, report: &mut Report) {
    let Some(value) = job.annotations.get(Annotation::Hook) else {
        return;
    };
    if let Some(unknown) = hooks::elements(value).find(|element| hooks::event(element).is_none()) {
        report.add(
            FieldPath::annotation(Annotation::Hook),
            format!(
                "found {}, in which Helm does not know {}",
                shown(value),
                shown(&unknown)
            ),
        );
    }
}

fn expression(_: &Options) -> String {
    format!("variables.hook.all(e, e in {})", cel::list(&cel::events()))
}

#[cfg(test)]
mod tests {
    use crate::policy::testing::{findings, job};
    use serde_json::json;

    #[test]
    fn an_empty_event_is_unknown() {
        let with = |value: &str| {
            findings(
                "MW015",
                &job(|j| j["metadata"]["annotations"]["helm.sh/hook"] = json!(value)),
            )
        };
        for (value, unknown) in [
            ("pre-install,pre-upgrade,", ""),
            ("", ""),
            ("pre-install,pre-upgrad", "pre-upgrad"),
            ("pre-install pre-upgrade", "pre-install pre-upgrade"),
            ("crd-install,pre-install,pre-upgrade", "crd-install"),
        ] {
            assert_eq!(
                with(value),
                [format!(
                    "metadata.annotations['helm.sh/hook']: found {value:?}, in which Helm does not know {unknown:?}"
                )]
            );
        }
        assert!(with("pre-install, PRE-UPGRADE,test-success").is_empty());
    }
}
