//! MW003: Helm keeps or deletes the wrong Jobs.

use crate::core::policy::fix::Fix;
use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job whose delete policy is not exactly `before-hook-creation` and `hook-succeeded`.
    ///
    /// The rule reads the policy as Helm does: order, case, spaces and repetition do not matter, and a missing
    /// annotation means `before-hook-creation` alone. With `argocd: true` in the rule's options, Argo CD's own
    /// `BeforeHookCreation,HookSucceeded` is enough. Findings in an Argo CD hook use Argo CD's words.
    ///
    /// ## Why is this bad?
    /// Without `hook-succeeded`, finished Jobs stay. With `hook-failed`, Helm deletes the failed Job and the logs that
    /// say why it failed. Without `before-hook-creation`, a second attempt under the same name fails with "already
    /// exists" in Helm 3. Helm 4 does not run it and reports the release as deployed. Helm does not report a value that
    /// it does not know, and then deletes nothing.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   annotations:
    ///     helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    /// ```
    ///
    /// ## Patching
    /// migration-warden sets the annotation on the Job. Helm does not see it, because Helm has already read the chart.
    /// Programs that read the annotation in the cluster follow the patched policy.
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
        scope: Scope::Hook,
        patch: Patch::Possible,
        options: &[AnyOption::Switch(&ARGOCD)],
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

static ARGOCD: RuleOption<bool> = RuleOption {
    key: "argocd",
    about: "For `missing-hook` and `wrong-delete-policy`: accept Argo CD's own hook annotations too.",
    default: false,
};

/// What Argo CD's own delete policy should say.
const IN_ARGOCD: &str = "BeforeHookCreation,HookSucceeded";
const WRITE_IN_ARGOCD: &str =
    "write argocd.argoproj.io/hook-delete-policy: BeforeHookCreation,HookSucceeded";
const ACCEPT_ARGOCD: &str = "in the policy, set argocd: true in the options of wrong-delete-policy";
const WRITE_AND_ACCEPT_ARGOCD: &str = "write argocd.argoproj.io/hook-delete-policy: \
    BeforeHookCreation,HookSucceeded, and in the policy set argocd: true in the options of wrong-delete-policy";

fn check(job: &Job<'_>, context: &Context<'_>) -> Option<Breach> {
    let options = context.options;
    let argocd = job.annotations.get(Annotation::ArgoCdDeletePolicy);
    if options.is_on(&ARGOCD) && wrong_in_argocd(argocd).is_none() {
        return None;
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
        return None;
    }
    if argocd.is_some() || value.is_none() && is_argocds(job) {
        return Some(argocds(job, argocd, options));
    }
    if let (None, Some(stray)) = (value, Stray::of(job, Annotation::DeletePolicy)) {
        let detail = format!(
            "found {} as {}, but Helm reads only annotations of the Job",
            shown(stray.value),
            stray.place
        );
        let breach = Breach::new(stray.path, detail).fixed_by(fix());
        return Some(breach.advise(
            "move it to the Job's metadata.annotations, as helm.sh/hook-delete-policy: \
             before-hook-creation,hook-succeeded",
        ));
    }
    let detail = match (value, unknown) {
        (None, _) => {
            "it is not set, and Helm defaults it to before-hook-creation: finished Jobs stay"
                .to_owned()
        }
        (Some(value), None) => format!("found {}", shown(value)),
        (Some(value), Some(unknown)) => {
            format!(
                "found {}, in which Helm does not know {}",
                shown(value),
                shown(&unknown)
            )
        }
    };
    Some(Breach::new(Annotation::DeletePolicy, detail).fixed_by(fix()))
}

fn fix() -> Fix {
    Fix::set(
        FieldPath::annotation(Annotation::DeletePolicy),
        "before-hook-creation,hook-succeeded",
    )
}

/// Whether the hook is Argo CD's, or would be if its annotations stood where they are read.
fn is_argocds(job: &Job<'_>) -> bool {
    let stands_elsewhere = |annotation| Stray::of(job, annotation).is_some();
    job.is_in_argocds_words()
        || job.annotations.get(Annotation::Hook).is_none()
            && (stands_elsewhere(Annotation::ArgoCdHook)
                || stands_elsewhere(Annotation::ArgoCdDeletePolicy))
}

/// What is wrong with a delete policy of Argo CD's own.
fn wrong_in_argocd(policy: Option<&str>) -> Option<&'static str> {
    let has = |element| hooks::argocd_has(policy, element);
    let both = (has("BeforeHookCreation"), has("HookSucceeded"));
    match both {
        _ if has("HookFailed") => Some("HookFailed deletes the Job and its logs when it fails"),
        (true, true) => None,
        (true, false) => Some("HookSucceeded is missing"),
        (false, true) => Some("BeforeHookCreation is missing"),
        (false, false) => Some("BeforeHookCreation and HookSucceeded are missing"),
    }
}

/// The same finding in Argo CD's words.
fn argocds(job: &Job<'_>, value: Option<&str>, options: &Options) -> Breach {
    let path = FieldPath::annotation(Annotation::ArgoCdDeletePolicy);
    let wrong = wrong_in_argocd(value);
    let stray = Stray::of(job, Annotation::ArgoCdDeletePolicy);
    let detail = match (value.map(|value| (value, wrong)), stray) {
        (None, Some(stray)) => format!(
            "found {} as {}, but Argo CD reads only annotations of the Job",
            shown(stray.value),
            stray.place
        ),
        (None, None) => {
            "it is not set, and Argo CD defaults it to BeforeHookCreation: finished Jobs stay"
                .to_owned()
        }
        (Some((value, Some(wrong))), _) => format!("found {}, {wrong}", shown(value)),
        (Some((value, None)), _) => {
            format!("found {}, which the policy does not accept", shown(value))
        }
    };
    let (fix, remediation) = match (options.is_on(&ARGOCD), wrong) {
        (true, _) => (Fix::set(path.clone(), IN_ARGOCD), WRITE_IN_ARGOCD),
        (false, None) => (fix(), ACCEPT_ARGOCD),
        (false, Some(_)) => (fix(), WRITE_AND_ACCEPT_ARGOCD),
    };
    Breach::new(path, detail).fixed_by(fix).advise(remediation)
}

fn expression(options: &Options) -> String {
    let helm = "'before-hook-creation' in variables.deletePolicy && \
                'hook-succeeded' in variables.deletePolicy && \
                variables.deletePolicy.all(e, e in ['before-hook-creation', 'hook-succeeded'])";
    if !options.is_on(&ARGOCD) {
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
    use super::*;
    use crate::core::policy::testing::{findings, job, told_of_with};
    use serde_json::json;

    /// Argo CD reads Helm's words as well, and Helm only those.
    #[test]
    fn a_hook_of_helms_that_argo_cd_deploys_is_told_helms_words() {
        let tracked = job(|j| {
            j["metadata"]["annotations"] =
                json!({"helm.sh/hook": "pre-upgrade", "argocd.argoproj.io/tracking-id": "shop:x"});
        });
        let told = told_of_with("MW003", &tracked, &Options::default()).concat();
        assert!(
            told.ends_with(
                "; write helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded"
            ),
            "{told}"
        );
    }

    #[test]
    fn what_argo_cd_would_read_elsewhere_is_told_in_its_words() {
        let stray = job(|j| {
            j["metadata"]["annotations"] = json!({});
            j["metadata"]["labels"]["argocd.argoproj.io/hook"] = json!("PreSync");
        });
        let told = findings("MW003", &stray).concat();
        assert!(
            told.contains("Argo CD defaults it to BeforeHookCreation"),
            "{told}"
        );
        let stray = job(|j| {
            j["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": "PreSync"});
            j["metadata"]["labels"]["argocd.argoproj.io/hook-delete-policy"] =
                json!("HookSucceeded");
        });
        let told = findings("MW003", &stray).concat();
        assert!(
            told.ends_with(
                "found \"HookSucceeded\" as a label, but Argo CD reads only annotations of the Job"
            ),
            "{told}"
        );
    }

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
                "{path}: it is not set, and Helm defaults it to before-hook-creation: finished Jobs stay"
            )]
        );
    }

    #[test]
    fn argo_cds_hooks_are_judged_in_argo_cds_words() {
        let key = "argocd.argoproj.io/hook-delete-policy";
        let told = |value: serde_json::Value, argocd: bool| {
            let job = job(|j| {
                j["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": "PreSync"});
                if !value.is_null() {
                    j["metadata"]["annotations"][key] = value;
                }
            });
            let options = Options {
                switches: vec![(&ARGOCD, argocd)],
                ..Options::default()
            };
            told_of_with("MW003", &job, &options)
        };
        let head = format!("MW003 wrong-delete-policy: metadata.annotations['{key}']");
        let write = format!("write {key}: BeforeHookCreation,HookSucceeded");
        let option = "set argocd: true in the options of wrong-delete-policy";
        assert_eq!(
            told(json!("BeforeHookCreation"), true),
            [format!(
                "{head}: found \"BeforeHookCreation\", HookSucceeded is missing; {write}"
            )]
        );
        assert_eq!(
            told(json!(null), true),
            [format!(
                "{head}: it is not set, and Argo CD defaults it to BeforeHookCreation: finished Jobs stay; {write}"
            )]
        );
        assert_eq!(
            told(json!("HookSucceeded,BeforeHookCreation,HookFailed"), true),
            [format!(
                "{head}: found \"HookSucceeded,BeforeHookCreation,HookFailed\", HookFailed deletes the Job and its \
                 logs when it fails; {write}"
            )]
        );
        let both = json!("HookSucceeded, BeforeHookCreation");
        assert!(told(both.clone(), true).is_empty());
        assert_eq!(
            told(both, false),
            [format!(
                "{head}: found \"HookSucceeded, BeforeHookCreation\", which the policy does not accept; in the \
                 policy, {option}"
            )]
        );
        assert_eq!(
            told(json!("HookSucceeded"), false),
            [format!(
                "{head}: found \"HookSucceeded\", BeforeHookCreation is missing; {write}, and in the policy {option}"
            )]
        );
    }

    #[test]
    fn a_label_is_no_annotation() {
        let stray = job(|j| {
            j["metadata"]["annotations"] = json!({"helm.sh/hook": "pre-install,pre-upgrade"});
            j["metadata"]["labels"]["helm.sh/hook-delete-policy"] = json!("hook-succeeded");
        });
        assert_eq!(
            findings("MW003", &stray),
            [
                "metadata.labels['helm.sh/hook-delete-policy']: found \"hook-succeeded\" as a label, but Helm reads \
                 only annotations of the Job"
            ]
        );
    }
}
