//! MW003: Helm keeps or deletes the wrong Jobs.

use crate::job::hooks;
use crate::policy::fix::Fix;
use crate::policy::rule::prelude::*;

rule! {
    /// A migration Job whose delete policy is not exactly `before-hook-creation` and `hook-succeeded`.
    ///
    /// Read as Helm reads it: order, case, spaces and repetition do not matter; an absent annotation is
    /// `before-hook-creation` alone. With `argocd: true` in the rule's options Argo CD's own
    /// `BeforeHookCreation,HookSucceeded` will do instead.
    ///
    /// ## Why is this bad?
    /// Without `hook-succeeded` finished Jobs stay. With `hook-failed` the Job and the logs that say why it
    /// failed are gone. Without `before-hook-creation` a second attempt under the same name fails with
    /// "already exists" in Helm 3, and in Helm 4 it is skipped while the release is reported as deployed. A
    /// value that Helm does not know matches nothing and is not reported by Helm.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   annotations:
    ///     helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    /// ```
    ///
    /// ## Patching
    /// The annotation is set on the Job. Helm does not see that, because it has read the chart already; what
    /// the patched policy promises is carried out by whoever reads the annotation in the cluster.
    ///
    /// Source: `operateAnnotationValues` in `helm/helm: pkg/releaseutil/manifest_sorter.go`.
    pub(super) static WRONG_DELETE_POLICY = {
        id: "MW003",
        name: "wrong-delete-policy",
        reason: "the delete policy is not before-hook-creation,hook-succeeded",
        remediation: "write helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded",
        path: "metadata.annotations['helm.sh/hook-delete-policy']",
        guide: Deny,
        strict: Deny,
        scope: Scope::Job,
        patch: Patch::Possible,
        options: &["argocd"],
        cel: Cel::Expression(expression),
        check: check,
    };
}

fn check(job: &Job<'_>, _: Selection, options: &Options, report: &mut Report) {
    let argocd = job.annotations.get(Annotation::ArgoCdDeletePolicy);
    let wanted = ["BeforeHookCreation", "HookSucceeded"];
    if options.argocd_delete_policy
        && wanted
            .iter()
            .all(|policy| hooks::argocd_has(argocd, policy))
        && !hooks::argocd_has(argocd, "HookFailed")
    {
        return;
    }
    let value = job.annotations.get(Annotation::DeletePolicy);
    let (mut before, mut succeeded, mut failed, mut unknown) = (false, false, false, None);
    for element in value.into_iter().flat_map(hooks::elements) {
        match &*element {
            "before-hook-creation" => before = true,
            "hook-succeeded" => succeeded = true,
            "hook-failed" => failed = true,
            _ => unknown = Some(element),
        }
    }
    if before && succeeded && !failed && unknown.is_none() {
        return;
    }
    let detail = match (value, unknown) {
        (None, _) => "there is no such annotation, so finished Jobs stay".to_owned(),
        (Some(value), None) => format!("found {}", shown(value)),
        (Some(value), Some(unknown)) => {
            format!(
                "found {}, in which Helm does not know {}",
                shown(value),
                shown(&unknown)
            )
        }
    };
    let path = FieldPath::annotation(Annotation::DeletePolicy);
    let fix = Fix::set(path.clone(), "before-hook-creation,hook-succeeded");
    report.add_fixable(path, detail, Some(fix));
}

fn expression(options: &Options) -> String {
    let helm = "'before-hook-creation' in variables.deletePolicy && \
                'hook-succeeded' in variables.deletePolicy && \
                variables.deletePolicy.all(e, e in ['before-hook-creation', 'hook-succeeded'])";
    if !options.argocd_delete_policy {
        return helm.to_owned();
    }
    let argocd = cel::annotation(Annotation::ArgoCdDeletePolicy);
    format!(
        "{helm} || {argocd}.optMap(v, \
         ['BeforeHookCreation', 'HookSucceeded'].all(w, v.split(',').exists(e, e.trim() == w)) && \
         !v.split(',').exists(e, e.trim() == 'HookFailed')).orValue(false)"
    )
}

#[cfg(test)]
mod tests {
    use crate::policy::testing::{findings, job};
    use serde_json::json;

    #[test]
    fn tells_what_was_found() {
        let key = "helm.sh/hook-delete-policy";
        let with = |value: &str| {
            findings(
                "MW003",
                &job(|j| j["metadata"]["annotations"][key] = json!(value)),
            )
        };
        let path = "metadata.annotations['helm.sh/hook-delete-policy']";
        assert_eq!(
            with("hook-succeeded"),
            [format!(r#"{path}: found "hook-succeeded""#)]
        );
        assert_eq!(
            with("before-hook-creation,hook-succeded"),
            [format!(
                r#"{path}: found "before-hook-creation,hook-succeded", in which Helm does not know "hook-succeded""#
            )]
        );
        assert_eq!(
            with(""),
            [format!(
                r#"{path}: found "", in which Helm does not know """#
            )]
        );
        assert!(with(" Hook-Succeeded,before-hook-creation,hook-succeeded").is_empty());
        let none = job(|j| {
            drop(
                j["metadata"]["annotations"]
                    .as_object_mut()
                    .unwrap()
                    .remove(key),
            );
        });
        assert_eq!(
            findings("MW003", &none),
            [format!(
                "{path}: there is no such annotation, so finished Jobs stay"
            )]
        );
    }
}
