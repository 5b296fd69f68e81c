//! MW104: a stamp that nobody here has given.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A stamp on a migration Job that migration-warden did not give, or that was changed later; or a stamped Job
    /// that loses its label.
    ///
    /// Stamps are the annotations `migration-warden.io/decision`, `migration-warden.io/requested-by`,
    /// `migration-warden.io/exceptions` and `migration-warden.io/patched`. A labelled migration Job gets them when it is created, in place of
    /// what its manifest says. Flagged are a Job that still comes with the stamps of another user than the
    /// one who creates it, stamps in a CronJob's template, every update that changes, adds or removes one,
    /// every update that makes a migration of a Job that has some, and every update after which a Job that has
    /// some is no migration: without its label, or with `migration-warden.io/migration: "false"`.
    ///
    /// ## Why is this bad?
    /// The stamps say who asked for a migration and which decision let it in, after Helm, the pod and the
    /// pipeline's log are gone. What anybody may rewrite is evidence of nothing.
    /// Without its label a Job is neither guarded nor recorded: taking the label away is the first step to both.
    ///
    /// ## Instead
    /// Leave the four annotations out of charts and manifests, and as they are on a Job. Whoever applies a
    /// manifest without them, as `kubectl apply`, `helm upgrade` and Argo CD do, leaves them alone. A manifest
    /// that was made by `kubectl get -o yaml` has them: remove them there.
    /// To be rid of a migration Job, delete it.
    ///
    /// Source: `kubernetes/kubernetes: staging/src/k8s.io/api/authentication/v1/types.go`, `UserInfo`: the
    /// one name that nobody can choose for himself.
    pub static FORGED_STAMP = {
        id: "MW104",
        name: "forged-stamp",
        reason: "a stamp says what nobody here has stamped",
        remediation: "leave stamps out of charts and manifests, and leave a stamped Job its label",
        path: "metadata.annotations",
        guide: Deny,
        strict: Deny,
        scope: Scope::Cluster,
        patch: Patch::Refused("a stamp is set when a Job is created, whatever the action of this rule"),
        cel: Cel::Refused("who asks is not what the Job says, and the policy is asked about creations alone"),
        check: Check::None,
    };
}

/// The breach that a new Job has stamps, and this name for who asked, but `user` does.
pub fn brought(named: Option<&str>, user: &str) -> Breach {
    let user = shown(user);
    let detail = match named {
        Some(named) => format!("it says {}, and {user} creates it", shown(named)),
        None => format!("it is missing beside other stamps, and {user} creates it"),
    };
    Breach::new(Annotation::RequestedBy, detail)
}

/// The breach that a Job has this `stamp` while it is made a migration.
pub fn carried(stamp: Annotation, said: &str) -> Breach {
    let said = shown(said);
    let detail = format!(
        "the Job was no migration when it was created, so nobody stamped it, and it cannot say {said} (remove the \
         annotation, and it can become one)"
    );
    Breach::new(stamp, detail)
}

/// The breach that `job` has stamps and is to be a migration no more.
pub fn unlabelled(namespace: &str, job: &str) -> Breach {
    let detail = format!(
        "{namespace}/{job} was admitted as a migration Job, and would be none after this update (to be rid of it: \
         kubectl delete job {job} -n {namespace})"
    );
    Breach::new("metadata.labels", detail)
}

/// The breach that a Job's `stamp` was one thing and is to be another.
pub fn changed(stamp: Annotation, old: Option<&str>, new: Option<&str>) -> Breach {
    let detail = match (old, new) {
        (Some(old), Some(new)) => format!("it says {}, and not {}", shown(old), shown(new)),
        (Some(old), None) => format!("it says {}, and may not be removed", shown(old)),
        (None, new) => format!(
            "the Job was created without it, so it cannot say {}",
            shown(new.unwrap_or_default())
        ),
    };
    Breach::new(stamp, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::testing;

    fn told(breach: Breach) -> String {
        testing::told(&FORGED_STAMP, breach)
    }

    const END: &str =
        "; leave stamps out of charts and manifests, and leave a stamped Job its label";

    #[test]
    fn who_really_asks_is_told() {
        let path = "MW104 forged-stamp: metadata.annotations['migration-warden.io/requested-by']: ";
        assert_eq!(
            told(brought(Some("alice"), "ci")),
            format!("{path}it says \"alice\", and \"ci\" creates it{END}")
        );
        assert_eq!(
            told(brought(None, "ci")),
            format!("{path}it is missing beside other stamps, and \"ci\" creates it{END}")
        );
    }

    #[test]
    fn what_was_there_is_told() {
        let path = "MW104 forged-stamp: metadata.annotations['migration-warden.io/exceptions']: ";
        let changed = |old, new| told(changed(Annotation::Exceptions, old, new));
        assert_eq!(
            changed(Some("a"), Some("b")),
            format!("{path}it says \"a\", and not \"b\"{END}")
        );
        assert_eq!(
            changed(Some("a"), None),
            format!("{path}it says \"a\", and may not be removed{END}")
        );
        assert_eq!(
            changed(None, Some("b")),
            format!("{path}the Job was created without it, so it cannot say \"b\"{END}")
        );
    }
}
