//! MW103: a hook Job that has finished is applied again.

use crate::core::job::deployer;
use crate::core::policy::rule::prelude::*;

rule! {
    /// A finished hook Job that Helm applies again, so that nothing runs.
    ///
    /// The rule applies only if Helm would take the update for a run. The Job has ended, and it is a pre-install or
    /// pre-upgrade hook before and after the update. Helm 4 or a program that embeds Helm applies it. The rule allows
    /// all other updates.
    ///
    /// ## Why is this bad?
    /// Helm 4 applies hooks on the server side. If a Job of the same name is left from the upgrade before, the apply
    /// changes nothing and no pod starts. Helm finds the Job complete: STATUS deployed, and the new version starts
    /// without its migration. Helm 3 fails in the same place, with `already exists`.
    ///
    /// ## Instead
    /// Give each run its own name, `{{ .Release.Name }}-migrate-{{ now | unixEpoch }}`. Or let Helm delete the old Job
    /// first, with `before-hook-creation` in `helm.sh/hook-delete-policy`. For this upgrade, delete the old Job and
    /// retry.
    ///
    /// Source: `helm/helm: pkg/kube/client.go`, `patchResourceServerSide` (4.3.1).
    pub(crate) static REAPPLIED_JOB = {
        id: "MW103",
        name: "reapplied-job",
        reason: "the migration would not run again",
        remediation: "add a timestamp to the name, or before-hook-creation to the delete policy",
        path: "metadata.name",
        guide: Deny,
        strict: Deny,
        scope: Scope::Cluster,
        cel: NOT_A_CREATION,
        check: Check::None,
    };
}

/// The field managers of Helm and of Flux, which embeds Helm: every update of theirs applies a release.
const HELMS: [&str; 2] = ["helm", "helm-controller"];

/// The breach that `manager` applies a hook again that has ended.
#[must_use]
pub(crate) fn check(old: &Job<'_>, new: &Job<'_>, manager: &str) -> Option<Breach> {
    let is_hook = old.is_pre_hook() && new.is_pre_hook();
    let is_going = old.is_terminating() || new.is_terminating();
    if !old.is_finished() || !is_hook || is_going || !is_applied(new, manager) {
        return None;
    }
    Some(finished(old.namespace, old.name.shown()))
}

/// Whether Helm, or a program that embeds it, applies the whole Job under this field manager.
///
/// Controllers also write labels and annotations under field managers of their own, but those updates are not an apply.
fn is_applied(new: &Job<'_>, manager: &str) -> bool {
    let fields = new.metadata.managed_fields.iter();
    let mut theirs = fields
        .filter(|field| &*field.manager == manager && field.subresource.is_empty())
        // The API server lists the fields. Without a list, nothing shows that the Job was not applied.
        .filter(|field| field.fields.metadata.is_some() || field.fields.spec.is_some())
        .peekable();
    let sets_the_spec = HELMS.contains(&manager)
        || theirs.peek().is_none()
        || theirs.any(|field| &*field.operation == "Apply" && field.fields.spec.is_some());
    deployer::may_embed_helm(manager) && sets_the_spec
}

/// The breach of an update that applies `job`, which has finished, again.
fn finished(namespace: &str, job: &str) -> Breach {
    let detail =
        format!("{namespace}/{job} has already finished, and applying it again runs nothing");
    let delete = format!("kubectl delete job {job} -n {namespace}");
    Breach::new("metadata.name", detail).command("For this upgrade, before you retry", delete)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::policy::testing::{self, told};

    #[test]
    fn what_to_do_now_and_for_good_is_told() {
        assert_eq!(
            told(&REAPPLIED_JOB, finished("shop", "web-migrate")),
            "MW103 reapplied-job: metadata.name: shop/web-migrate has already finished, and applying it again runs \
             nothing; add a timestamp to the name, or before-hook-creation to the delete policy\n\
             For this upgrade, before you retry:\n  kubectl delete job web-migrate -n shop"
        );
    }

    fn running() -> Value {
        json!({
            "metadata": {
                "name": "web-migrate",
                "annotations": {"helm.sh/hook": "pre-install,pre-upgrade"},
            },
            "status": {"ready": 1, "active": 1},
        })
    }

    fn ended(condition: &str) -> Value {
        let mut job = running();
        job["status"] = json!({"ready": 0, "conditions": [
            {"type": "SuccessCriteriaMet", "status": "True"},
            {"type": condition, "status": "True"},
        ]});
        job
    }

    fn on_update(old: &Value, new: &Value, manager: &str) -> bool {
        testing::stored(old, |old| {
            testing::stored(new, |new| check(old, new, manager).is_some())
        })
    }

    #[test]
    fn what_has_ended_is_not_applied_again() {
        for condition in ["Complete", "Failed"] {
            let job = ended(condition);
            for manager in [
                "helm",
                "helm-controller",
                "terraform-provider-helm_v3.0.2",
                "werf",
            ] {
                assert!(on_update(&job, &job, manager), "{manager}");
            }
        }
    }

    /// Managed fields as the API server shows them: programs that embed Helm apply the spec, others only annotate or
    /// label the Job.
    #[test]
    fn only_an_apply_of_the_whole_job_is_one() {
        let job = ended("Complete");
        let with = |operation: &str, fields: Value| {
            let mut new = job.clone();
            new["metadata"]["managedFields"] = json!([
                {"manager": "werf", "operation": operation, "fieldsV1": fields},
                {"manager": "werf", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
            ]);
            on_update(&job, &new, "werf")
        };
        let whole = json!({"f:metadata": {}, "f:spec": {"f:template": {}}});
        assert!(with("Apply", whole.clone()));
        assert!(!with("Update", whole));
        assert!(!with("Apply", json!({"f:metadata": {"f:labels": {}}})));
    }

    #[test]
    fn every_other_update_passes() {
        let done = ended("Complete");
        let tweaked = |tweak: fn(&mut Value)| {
            let mut job = done.clone();
            tweak(&mut job);
            job
        };
        let plain = tweaked(|job| job["metadata"]["annotations"] = Value::Null);
        let late = tweaked(|job| {
            job["metadata"]["annotations"]["helm.sh/hook"] = json!("post-upgrade");
        });
        let going = tweaked(|job| {
            job["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        });
        for (old, new, manager) in [
            (&done, &done, "kubectl-client-side-apply"),
            (&done, &done, "argocd-controller"),
            (&done, &done, "kustomize-controller"),
            (&done, &done, "kubectl"),
            (&done, &done, ""),
            (&running(), &running(), "helm"),
            (&plain, &plain, "helm"),
            (&plain, &done, "helm"),
            (&done, &plain, "helm"),
            (&late, &late, "helm"),
            (&going, &going, "helm"),
            (&done, &going, "helm"),
        ] {
            assert!(!on_update(old, new, manager), "{old} {new} {manager}");
        }
    }
}
