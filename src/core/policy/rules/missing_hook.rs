//! MW002: Helm does not run the Job before the new version starts.

use crate::core::job::hooks::Event;
use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job that is not both a `pre-install` and a `pre-upgrade` hook.
    ///
    /// Order, case, spaces and other events do not matter. With `argocd: true` in the rule's options,
    /// `argocd.argoproj.io/hook: PreSync` is enough.
    ///
    /// Some deployers do not run hooks: Flux's kustomize-controller and kubectl. Their Jobs are admitted with one
    /// warning of this rule, even if its action is `deny`. The warning names the deployer and what it offers instead of
    /// hooks. The rules about hooks and names do not apply to such a Job. migration-warden sets no TTL on it, does not
    /// patch it and does not tidy it up, because the deployer would create the Job again.
    ///
    /// ## Why is this bad?
    /// Helm creates a Job without a hook together with the new version, and does not wait for it. With `pre-install`
    /// alone, no upgrade migrates. With `pre-upgrade` alone, the first install does not migrate. Helm retries a failed
    /// first install as an upgrade, so the Job needs both.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   annotations:
    ///     helm.sh/hook: pre-install,pre-upgrade
    /// ```
    ///
    /// ## What a hook may use
    /// A `pre-install` hook runs before the release's other objects exist. It may use only these:
    ///
    /// - an external database, which does not belong to the release
    /// - a Secret, a ConfigMap and a `ServiceAccount` that are hooks themselves, with a lower `helm.sh/hook-weight`, so
    ///   that Helm creates them first
    /// - objects that were in the namespace before the install
    ///
    /// A chart with a bundled database cannot migrate before the install, because the database does not exist yet. Make
    /// its Job a `post-install,pre-upgrade` hook, and let a `MigrationException` for MW002 and MW017 admit it.
    ///
    /// Do not follow this rule for a Job that undoes a migration (`pre-rollback`, `alembic downgrade`). As a
    /// `pre-upgrade` hook it would run before each upgrade.
    ///
    /// Source: `helm/helm: pkg/releaseutil/manifest_sorter.go`; the Helm documentation, "Chart Hooks".
    pub(super) static MISSING_HOOK = {
        id: "MW002",
        name: "missing-hook",
        reason: "it is not both a pre-install and a pre-upgrade hook",
        remediation: "if it migrates before upgrades, write helm.sh/hook: pre-install,pre-upgrade",
        path: "metadata.annotations['helm.sh/hook']",
        guide: Deny,
        strict: Deny,
        scope: Scope::Job,
        patch: HOOKS_NOT_PATCHABLE,
        options: &[AnyOption::Switch(&ARGOCD)],
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

static ARGOCD: RuleOption<bool> = ARGOCD_OPTION;

/// What a migration before upgrades needs.
const WRITE: &str = "write helm.sh/hook: pre-install,pre-upgrade";
/// What lets Argo CD's own hook pass.
const ACCEPT_ARGOCD: &str = "in the policy, set argocd: true in the options of missing-hook";

fn check(job: &Job<'_>, context: &Context<'_>) -> Option<Breach> {
    if !job.deployer.runs_hooks() {
        return Some(without_hooks(job));
    }
    let options = context.options;
    let argocd = job.annotations.get(Annotation::ArgoCdHook);
    if options.is_on(&ARGOCD) && hooks::argocd_has(argocd, "PreSync") {
        return None;
    }
    let value = job.annotations.get(Annotation::Hook);
    let mut keys = [Annotation::Hook, Annotation::ArgoCdHook].into_iter();
    if value.is_none()
        && argocd.is_none()
        && let Some(stray) = keys.find_map(|annotation| Stray::of(job, annotation))
    {
        return Some(misplaced(job, &stray, options));
    }
    if value.is_none() && job.is_in_argocds_words() {
        return Some(argocds(job, argocd, options));
    }
    let (mut install, mut upgrade) = (false, false);
    for element in value.into_iter().flat_map(hooks::elements) {
        match hooks::event(&element) {
            Some(Event::PreInstall) => install = true,
            Some(Event::PreUpgrade) => upgrade = true,
            Some(Event::Other) | None => {}
        }
    }
    let lacks = match (install, upgrade) {
        (true, true) => return None,
        (true, false) => "pre-upgrade is missing",
        (false, true) => "pre-install is missing",
        (false, false) => "pre-install and pre-upgrade are missing",
    };
    let detail = match value {
        None => format!(
            "{}, so Helm does not run this Job as a hook",
            missing(job, Annotation::Hook)
        ),
        Some(value) => format!("found {}, {lacks}", shown(value)),
    };
    let purpose = Purpose::of(job, value.unwrap_or_default());
    let breach = Breach::new(Annotation::Hook, detail);
    let write = if hooks::argocd_has(argocd, "PreSync") {
        format!("{WRITE}; or {ACCEPT_ARGOCD}").into()
    } else {
        WRITE.into()
    };
    Some(breach.advise(purpose.advice(write)))
}

/// The one finding about a Job whose deployer runs no hooks: a warning, because there is nothing to put right.
fn without_hooks(job: &Job<'_>) -> Breach {
    let deployer = job.deployer.name();
    let name = shown(job.name.shown());
    let name = name.trim_matches('"');
    let wait = format!("kubectl wait --for=condition=complete job/{name}");
    let (detail, instead) = if job.is_started_by_hand() {
        (
            "started by hand from a CronJob, so no deployer runs this Job as a hook".to_owned(),
            format!(
                "wait for its end with {wait}, and make changes in the CronJob's spec.jobTemplate"
            ),
        )
    } else if job.deployer == Deployer::KustomizeController {
        (
            format!("{deployer} deploys this Job and does not run hooks"),
            "put the Job into its own Kustomization with force: true and wait: true, and list that in the \
             application's dependsOn"
                .to_owned(),
        )
    } else {
        (
            format!("{deployer} deploys this Job and does not run hooks"),
            format!("before the new version starts, run {wait}"),
        )
    };
    Breach::new(Annotation::Hook, detail)
        .at_most(Warn)
        .advise(instead)
}

/// A hook that no deployer reads.
fn misplaced(job: &Job<'_>, stray: &Stray<'_>, options: &Options) -> Breach {
    let detail = format!(
        "found {} as {}, but only annotations of the Job make it a hook",
        shown(stray.value),
        stray.place
    );
    let move_it = "move it to the Job's metadata.annotations";
    let is_argocds = stray.annotation == Annotation::ArgoCdHook;
    let purpose = if is_argocds {
        Purpose::of_argocds(job, stray.value)
    } else {
        Purpose::of(job, stray.value)
    };
    Breach::new(stray.path.clone(), detail).advise(match purpose {
        Purpose::Upgrade if is_argocds && options.is_on(&ARGOCD) => {
            format!("{move_it}, as argocd.argoproj.io/hook: PreSync")
        }
        Purpose::Upgrade if is_argocds => {
            format!("{move_it}, as argocd.argoproj.io/hook: PreSync, and {ACCEPT_ARGOCD}")
        }
        Purpose::Upgrade => format!("{move_it}, as helm.sh/hook: pre-install,pre-upgrade"),
        _ => move_it.to_owned(),
    })
}

/// The finding in Argo CD's words.
fn argocds(job: &Job<'_>, value: Option<&str>, options: &Options) -> Breach {
    let detail = match value {
        None => format!(
            "{}, so Argo CD applies this Job together with the new version",
            missing(job, Annotation::ArgoCdHook)
        ),
        Some(value) if hooks::argocd_has(Some(value), "PreSync") => {
            format!("found {}, which the policy does not accept", shown(value))
        }
        Some(value) => format!("found {}, PreSync is missing", shown(value)),
    };
    let write = "write argocd.argoproj.io/hook: PreSync";
    let purpose = Purpose::of_argocds(job, value.unwrap_or_default());
    let write = if options.is_on(&ARGOCD) {
        write.into()
    } else if hooks::argocd_has(value, "PreSync") {
        ACCEPT_ARGOCD.into()
    } else {
        format!("{write}, and {ACCEPT_ARGOCD}").into()
    };
    Breach::new(Annotation::ArgoCdHook, detail).advise(purpose.advice(write))
}

fn expression(options: &Options) -> String {
    let helm = "!variables.runsHooks || 'pre-install' in variables.hook && 'pre-upgrade' in variables.hook";
    if !options.is_on(&ARGOCD) {
        return helm.to_owned();
    }
    let argocd = cel::annotation(Annotation::ArgoCdHook);
    format!(
        "{helm} || {argocd}.optMap(v, v.split(',').exists(e, e.trim() == 'PreSync')).orValue(false)"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::policy::Action;
    use crate::core::policy::select::Selection;
    use crate::core::policy::testing::{self, job};

    /// The findings of a whole policy, by rule and action, with what each says. `metadata` is a merge patch.
    fn judged(rules: &str, metadata: &Value) -> Vec<(&'static str, Action, String)> {
        let policy = testing::policy(rules);
        // MW001 to MW003 and MW014 to MW017 would all have something to say.
        let job = job(|job| {
            job["metadata"]["name"] = json!("shop-migrate");
            job["metadata"]["annotations"] = json!({
                "helm.sh/hook": "pre-install,pre-install,test,x", "helm.sh/hook-weight": "high",
            });
            json_patch::merge(&mut job["metadata"], metadata);
        });
        let findings = testing::stored(&job, |job| {
            policy.evaluate(job, Selection::Labelled, Action::Deny)
        });
        let told = findings.iter().map(|f| (f.rule.id, f.action, f.message()));
        told.collect()
    }

    #[test]
    fn a_deployer_without_hooks_is_warned_of_once_and_of_nothing_else() {
        let sent =
            |manager: &str| json!({"managedFields": [{"manager": manager, "operation": "Apply"}]});
        let labelled = json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}});
        let flux = "Flux's kustomize-controller deploys this Job and does not run hooks; put the Job into its own \
                    Kustomization with force: true and wait: true, and list that in the application's dependsOn";
        let kubectl = "kubectl deploys this Job and does not run hooks; before the new version starts, run kubectl \
                       wait --for=condition=complete job/shop-migrate";
        for (deployer, words) in [
            (labelled, flux),
            (sent("kustomize-controller"), flux),
            (sent("kubectl-create"), kubectl),
        ] {
            let said = format!("MW002 missing-hook: metadata.annotations['helm.sh/hook']: {words}");
            for (rules, action) in [
                ("", Warn),
                ("profile: strict\n", Warn),
                ("rules: {missing-hook: warn}\n", Warn),
                ("rules: {missing-hook: audit}\n", Audit),
            ] {
                let found = judged(rules, &deployer);
                assert_eq!(found, [("MW002", action, said.clone())], "{rules}");
            }
            assert_eq!(judged("rules: {missing-hook: off}\n", &deployer), []);
        }
        let found = judged("", &sent("werf")).into_iter();
        let ids = found.map(|(id, ..)| id).collect::<Vec<_>>().join(" ");
        assert_eq!(ids, "MW001 MW002 MW003 MW014 MW015 MW016 MW017 MW023");
    }
}
