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
        scope: Scope::Cluster(Promise::Guards),
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
    let (namespace, job) = (old.namespace, old.name.shown());
    let detail =
        format!("{namespace}/{job} has already finished, and applying it again runs nothing");
    let delete = format!("kubectl delete job {job} -n {namespace}");
    let breach = Breach::new("metadata.name", detail);
    Some(breach.command("For this upgrade, before you retry", delete))
}

/// Whether Helm, or a program that embeds it, applies the whole Job under this field manager.
///
/// Controllers also write labels and annotations under field managers of their own, but those updates are not an apply.
fn is_applied(new: &Job<'_>, manager: &str) -> bool {
    let fields = new.metadata.managed_fields.iter();
    let theirs = fields.filter(|field| &*field.manager == manager && field.subresource.is_empty());
    // The API server lists the fields. Without a list, nothing shows that the Job was not applied.
    let mut listed = theirs
        .filter_map(|field| Some((&*field.operation, field.fields.as_ref()?)))
        .filter(|(_, fields)| fields.metadata.is_some() || fields.spec.is_some())
        .peekable();
    let sets_the_spec = HELMS.contains(&manager)
        || listed.peek().is_none()
        || listed.any(|(operation, fields)| operation == "Apply" && fields.spec.is_some());
    deployer::may_embed_helm(manager) && sets_the_spec
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::policy::testing;

    fn is_reapplied(old: &Value, new: &Value, manager: &str) -> bool {
        testing::stored(old, |old| {
            testing::stored(new, |new| check(old, new, manager).is_some())
        })
    }

    /// A hook Job that has ended.
    fn done() -> Value {
        json!({
            "metadata": {"name": "web-migrate", "annotations": {"helm.sh/hook": "pre-install,pre-upgrade"}},
            "status": {"ready": 0, "conditions": [{"type": "Complete", "status": "True"}]},
        })
    }

    fn changed(change: &Value) -> Value {
        let mut job = done();
        json_patch::merge(&mut job, change);
        job
    }

    #[test]
    fn only_helm_may_not_apply_a_hook_that_has_ended() {
        let failed =
            changed(&json!({"status": {"conditions": [{"type": "Failed", "status": "True"}]}}));
        for job in [done(), failed] {
            for manager in [
                "helm",
                "helm-controller",
                "terraform-provider-helm_v3.0.2",
                "werf",
            ] {
                assert!(is_reapplied(&job, &job, manager), "{manager}");
            }
            for manager in [
                "kubectl-client-side-apply",
                "argocd-controller",
                "kustomize-controller",
                "kubectl",
                "",
            ] {
                assert!(!is_reapplied(&job, &job, manager), "{manager}");
            }
        }
        let (done, plain) = (done(), changed(&json!({"metadata": {"annotations": null}})));
        let running = changed(&json!({"status": {"ready": 1, "active": 1, "conditions": null}}));
        let late = changed(&json!({"metadata": {"annotations": {"helm.sh/hook": "post-upgrade"}}}));
        let going = changed(&json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        for (old, new) in [
            (&running, &running),
            (&plain, &plain),
            (&plain, &done),
            (&done, &plain),
            (&late, &late),
            (&going, &going),
            (&done, &going),
        ] {
            assert!(!is_reapplied(old, new, "helm"), "{old} {new}");
        }
    }

    /// Managed fields as the API server shows them: programs that embed Helm apply the spec, others only annotate or
    /// label the Job.
    #[test]
    fn only_an_apply_of_the_whole_job_is_one() {
        let whole = json!({"f:metadata": {}, "f:spec": {"f:template": {}}});
        let labels = json!({"f:metadata": {"f:labels": {}}});
        for (operation, fields, expected) in [
            ("Apply", &whole, true),
            ("Update", &whole, false),
            ("Apply", &labels, false),
        ] {
            let new = changed(&json!({"metadata": {"managedFields": [
                {"manager": "werf", "operation": operation, "fieldsV1": fields},
                {"manager": "werf", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
            ]}}));
            assert_eq!(
                is_reapplied(&done(), &new, "werf"),
                expected,
                "{operation} {fields}"
            );
        }
    }
}
