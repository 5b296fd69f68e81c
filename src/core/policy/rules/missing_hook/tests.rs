//! Jobs with and without hooks, under Helm, Argo CD and deployers without hooks, with exact messages.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ARGOCD, WRITE};
use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::policy::Action;
use crate::core::policy::options::Options;
use crate::core::policy::select::Selection;
use crate::core::policy::testing::{findings, job, told_of, told_of_with};
use crate::core::policy_file::validate;

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
            "{path}: it is not set, so Helm does not run this Job as a hook"
        )]
    );
}

fn accepting(argocd: bool) -> Options {
    Options {
        switches: vec![(&ARGOCD, argocd)],
        ..Options::default()
    }
}

fn annotated(annotations: Value, tweak: impl FnOnce(&mut Value)) -> Value {
    job(|j| {
        j["metadata"]["annotations"] = annotations;
        tweak(j);
    })
}

/// Following that advice would run a downgrade before every upgrade.
#[test]
fn only_a_migration_for_upgrades_is_told_to_run_before_them() {
    let told = |hook: &str, args: &[&str]| {
        let job = annotated(json!({"helm.sh/hook": hook}), |j| {
            j["spec"]["template"]["spec"]["containers"][0]["args"] = json!(args);
        });
        let told = told_of("MW002", &job);
        assert_eq!(told.len(), 1, "{told:?}");
        told.concat()
    };
    let up = &["alembic", "upgrade", "head"][..];
    assert!(told("pre-upgrade", up).ends_with(WRITE));
    let down = "a Job that undoes a migration must not run before upgrades: let a MigrationException admit it";
    assert_eq!(
        told("pre-rollback", up),
        format!(
            "MW002 missing-hook: metadata.annotations['helm.sh/hook']: found \"pre-rollback\", pre-install and \
             pre-upgrade are missing; {down}"
        )
    );
    assert!(told("pre-upgrade", &["alembic", "downgrade", "-1"]).ends_with(down));
    for hook in [
        "post-install",
        "post-install,post-upgrade",
        "post-install,pre-upgrade",
        "pre-install,post-upgrade",
        "test",
    ] {
        assert!(!told(hook, up).contains(WRITE), "{hook}");
    }
    let plain = annotated(json!({}), |j| {
        j["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["migrate", "down"]);
    });
    assert!(told_of("MW002", &plain).concat().ends_with(down));
}

#[test]
fn a_hook_that_stands_elsewhere_is_named_there() {
    let label = annotated(json!({}), |j| {
        j["metadata"]["labels"]["helm.sh/hook"] = json!("pre-install");
    });
    assert_eq!(
        told_of("MW002", &label),
        [
            "MW002 missing-hook: metadata.labels['helm.sh/hook']: found \"pre-install\" as a label, but only \
             annotations of the Job make it a hook; move it to the Job's metadata.annotations, as helm.sh/hook: \
             pre-install,pre-upgrade"
        ]
    );
    let pods = annotated(json!({}), |j| {
        j["spec"]["template"]["metadata"]["annotations"]["helm.sh/hook"] = json!("pre-rollback");
    });
    assert_eq!(
        told_of("MW002", &pods),
        [
            "MW002 missing-hook: spec.template.metadata.annotations['helm.sh/hook']: found \"pre-rollback\" as an \
             annotation of the pod template, but only annotations of the Job make it a hook; move it to the Job's \
             metadata.annotations"
        ]
    );
    let argocds = annotated(json!({}), |j| {
        j["metadata"]["labels"]["argocd.argoproj.io/hook"] = json!("PreSync");
    });
    let found = "MW002 missing-hook: metadata.labels['argocd.argoproj.io/hook']: found \"PreSync\" as a label, but only \
                 annotations of the Job make it a hook; move it to the Job's metadata.annotations, as \
                 argocd.argoproj.io/hook: PreSync";
    let accept = "in the policy, set argocd: true in the options of missing-hook";
    assert_eq!(
        told_of("MW002", &argocds),
        [format!("{found}, and {accept}")]
    );
    let argocd = accepting(true);
    assert_eq!(told_of_with("MW002", &argocds, &argocd), [found]);
}

/// The findings of a whole policy, by rule and action, with what each says.
fn judged(job: &Value, rules: &str) -> Vec<(&'static str, Action, String)> {
    let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
    let policy = validate::read("policy.yaml", &format!("{head}{rules}")).unwrap();
    let object = Object::deserialize(job).unwrap();
    let job = Job::new(&object, Kind::Job, "shop");
    let findings = policy.evaluate(&job, Selection::Labelled, Action::Deny);
    let told = findings.iter().map(|f| (f.rule.id, f.action, f.message()));
    told.collect()
}

/// MW001 to MW003 and MW014 to MW017 would all have something to say.
fn broken(tweak: impl FnOnce(&mut Value)) -> Value {
    annotated(
        json!({"helm.sh/hook": "pre-install,pre-install,test,x", "helm.sh/hook-weight": "high"}),
        |j| {
            j["metadata"]["name"] = json!("shop-migrate");
            tweak(j);
        },
    )
}

#[test]
fn a_deployer_without_hooks_is_warned_of_once_and_of_nothing_else() {
    let managed = |manager: &str| {
        broken(|j| {
            j["metadata"]["managedFields"] = json!([{"manager": manager, "operation": "Apply"}]);
        })
    };
    let labelled =
        broken(|j| j["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] = json!("shop"));
    let path = "MW002 missing-hook: metadata.annotations['helm.sh/hook']";
    let flux = format!(
        "{path}: Flux's kustomize-controller deploys this Job and does not run hooks; put the Job into its \
         own Kustomization with force: true and wait: true, and list that in the application's dependsOn"
    );
    let kubectl = format!(
        "{path}: kubectl deploys this Job and does not run hooks; before the new version starts, run kubectl wait \
         --for=condition=complete job/shop-migrate"
    );
    for (job, said) in [
        (&labelled, &flux),
        (&managed("kustomize-controller"), &flux),
        (&managed("kubectl-create"), &kubectl),
    ] {
        for rules in ["", "profile: strict\n", "rules: {missing-hook: warn}\n"] {
            let found = judged(job, rules);
            assert_eq!(found, [("MW002", Action::Warn, said.clone())], "{rules}");
        }
        assert_eq!(
            judged(job, "rules: {missing-hook: audit}\n")[0].1,
            Action::Audit
        );
        assert_eq!(judged(job, "rules: {missing-hook: off}\n"), []);
    }
    let ids: Vec<_> = judged(&managed("werf"), "")
        .into_iter()
        .map(|(id, ..)| id)
        .collect();
    assert_eq!(
        ids,
        [
            "MW001", "MW002", "MW003", "MW014", "MW015", "MW016", "MW017", "MW023"
        ]
    );
}

#[test]
fn a_job_made_of_a_cron_job_by_hand_gets_advice_for_that() {
    let by_hand = annotated(
        json!({"cronjob.kubernetes.io/instantiate": "manual"}),
        |j| {
            j["metadata"]["name"] = json!("nightly-1");
            j["metadata"]["managedFields"] =
                json!([{"manager": "kubectl-create", "operation": "Update"}]);
        },
    );
    let said = "MW002 missing-hook: metadata.annotations['helm.sh/hook']: started by hand from a CronJob, so no \
                deployer runs this Job as a hook; wait for its end with kubectl wait --for=condition=complete \
                job/nightly-1, and make changes in the CronJob's spec.jobTemplate";
    assert_eq!(
        judged(&by_hand, ""),
        [("MW002", Action::Warn, said.to_owned())]
    );
}

#[test]
fn argo_cds_hooks_are_judged_in_argo_cds_words() {
    let told = |hook: &str, argocd: bool| {
        let options = accepting(argocd);
        let job = annotated(json!({"argocd.argoproj.io/hook": hook}), |_| {});
        told_of_with("MW002", &job, &options).concat()
    };
    let head = "MW002 missing-hook: metadata.annotations['argocd.argoproj.io/hook']: found";
    let option = "in the policy, set argocd: true in the options of missing-hook";
    assert_eq!(told("PreSync", true), "");
    assert_eq!(
        told("PreSync", false),
        format!("{head} \"PreSync\", which the policy does not accept; {option}")
    );
    assert_eq!(
        told("Sync", true),
        format!("{head} \"Sync\", PreSync is missing; write argocd.argoproj.io/hook: PreSync")
    );
    assert_eq!(
        told("Sync", false),
        format!(
            "{head} \"Sync\", PreSync is missing; write argocd.argoproj.io/hook: PreSync, and {option}"
        )
    );
    for hook in ["PostSync", "SyncFail"] {
        let told = told(hook, true);
        assert!(
            told.contains("PreSync is missing; ") && !told.contains("write"),
            "{told}"
        );
    }
    let tracked = annotated(
        json!({"argocd.argoproj.io/tracking-id": "shop:batch/Job:shop/x"}),
        |_| {},
    );
    assert_eq!(
        told_of("MW002", &tracked),
        [format!(
            "MW002 missing-hook: metadata.annotations['argocd.argoproj.io/hook']: it is not set, so Argo CD \
             applies this Job together with the new version; write argocd.argoproj.io/hook: PreSync, and {option}"
        )]
    );
}

#[test]
fn argo_cd_counts_only_when_asked_for() {
    let argo = job(|j| {
        j["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": "Skip, PreSync"});
    });
    assert_eq!(findings("MW002", &argo).len(), 1);
    let options = accepting(true);
    assert!(crate::core::policy::testing::findings_with("MW002", &argo, &options).is_empty());
}
