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
    /// Tidy-up removes the finished Job in its place, and programs that read the annotation in the cluster follow it.
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

static ARGOCD: RuleOption<bool> = ARGOCD_OPTION;

/// What Argo CD's own delete policy should say.
const IN_ARGOCD: &str = "BeforeHookCreation,HookSucceeded";
const WRITE_IN_ARGOCD: &str =
    "write argocd.argoproj.io/hook-delete-policy: BeforeHookCreation,HookSucceeded";
const ACCEPT_ARGOCD: &str = "in the policy, set argocd: true in the options of wrong-delete-policy";

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
        (None, _) => format!(
            "{}, and Helm defaults it to before-hook-creation: finished Jobs stay",
            missing(job, Annotation::DeletePolicy)
        ),
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
        (None, None) => format!(
            "{}, and Argo CD defaults it to BeforeHookCreation: finished Jobs stay",
            missing(job, Annotation::ArgoCdDeletePolicy)
        ),
        (Some((value, Some(wrong))), _) => format!("found {}, {wrong}", shown(value)),
        (Some((value, None)), _) => {
            format!("found {}, which the policy does not accept", shown(value))
        }
    };
    let (fix, remediation) = match (options.is_on(&ARGOCD), wrong) {
        (true, _) => (Fix::set(path.clone(), IN_ARGOCD), WRITE_IN_ARGOCD.into()),
        (false, None) => (fix(), ACCEPT_ARGOCD.into()),
        (false, Some(_)) => (fix(), format!("{WRITE_IN_ARGOCD}, and {ACCEPT_ARGOCD}")),
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
