//! MW104: a stamp that migration-warden did not set.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A stamp on a migration Job that migration-warden did not write, or that was changed later; or a stamped Job that
    /// loses its label.
    ///
    /// Stamps are the annotations `migration-warden.io/decision`, `migration-warden.io/requested-by`,
    /// `migration-warden.io/exceptions` and `migration-warden.io/patched`. A labelled migration Job gets them when it
    /// is created, in place of those in its manifest. The rule flags:
    ///
    /// - a new Job with the stamps of a user other than the one who creates it
    /// - stamps in a CronJob's template
    /// - each update that changes, adds or removes a stamp
    /// - each update that makes a stamped Job a migration Job
    /// - each update after which a stamped Job is not a migration Job: without its label, or with
    ///   `migration-warden.io/migration: "false"`
    ///
    /// ## Why is this bad?
    /// The stamps say who asked for a migration and which decision admitted it, after Helm, the pod and the pipeline's
    /// log are gone. A stamp that every user may change is not evidence. migration-warden neither guards nor records a Job
    /// without its label, so removing the label is the first step to deleting the evidence.
    ///
    /// ## Instead
    /// Leave the four annotations out of charts and manifests, and do not change them on a Job. `kubectl apply`, `helm
    /// upgrade` and Argo CD leave them alone if the manifest does not have them. A manifest from `kubectl get -o yaml`
    /// has them: remove them there. To remove a migration Job, delete it.
    ///
    /// Source: `kubernetes/kubernetes: staging/src/k8s.io/api/authentication/v1/types.go`, `UserInfo`: the one name
    /// that a user cannot choose.
    pub static FORGED_STAMP = {
        id: "MW104",
        name: "forged-stamp",
        reason: "migration-warden did not write a decision stamp",
        remediation: "leave stamps out of charts and manifests, and keep the label of a stamped Job",
        path: "metadata.annotations",
        guide: Deny,
        strict: Deny,
        scope: Scope::Cluster,
        patch: Patch::Refused("migration-warden stamps a Job when it is created, whatever the action of this rule"),
        cel: Cel::Refused("the rule depends on who asks, and the policy is evaluated only for creations"),
        check: Check::None,
    };
}

/// The breach of a new Job whose stamps have the name `named`, although `user` creates it.
pub fn brought(named: Option<&str>, user: &str) -> Breach {
    let user = shown(user);
    let detail = match named {
        Some(named) => format!("it is {}, but {user} creates the Job", shown(named)),
        None => format!("it is missing beside other stamps, and {user} creates the Job"),
    };
    Breach::new(Annotation::RequestedBy, detail)
}

/// The breach of an update that makes a Job with this `stamp` a migration Job.
pub fn carried(stamp: Annotation, value: &str) -> Breach {
    let value = shown(value);
    let detail = format!(
        "migration-warden did not write {value}, because the Job was not a migration Job when it was created (remove the \
         annotation to make it one)"
    );
    Breach::new(stamp, detail)
}

/// The breach of an update after which `job`, which has stamps, is not a migration Job.
pub fn unlabelled(namespace: &str, job: &str) -> Breach {
    let detail = format!(
        "{namespace}/{job} was admitted as a migration Job, and is not one after this update"
    );
    let delete = format!("kubectl delete job {job} -n {namespace}");
    Breach::new("metadata.labels", detail).command("To remove the Job", delete)
}

/// The breach of an update that changes a `stamp`.
pub fn changed(stamp: Annotation, old: Option<&str>, new: Option<&str>) -> Breach {
    let detail = match (old, new) {
        (Some(old), Some(new)) => {
            format!("it is {}, and may not become {}", shown(old), shown(new))
        }
        (Some(old), None) => format!("it is {}, and may not be removed", shown(old)),
        (None, new) => format!(
            "the Job was created without it, so {} may not be added",
            shown(new.unwrap_or_default())
        ),
    };
    Breach::new(stamp, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::testing::told;

    #[test]
    fn each_breach_has_its_words() {
        let stamp = Annotation::Exceptions;
        let path = "metadata.annotations['migration-warden.io/";
        for (breach, words) in [
            (
                brought(Some("alice"), "ci"),
                format!("{path}requested-by']: it is \"alice\", but \"ci\" creates the Job"),
            ),
            (
                brought(None, "ci"),
                format!(
                    "{path}requested-by']: it is missing beside other stamps, and \"ci\" creates the Job"
                ),
            ),
            (
                changed(stamp, Some("a"), Some("b")),
                format!("{path}exceptions']: it is \"a\", and may not become \"b\""),
            ),
            (
                changed(stamp, Some("a"), None),
                format!("{path}exceptions']: it is \"a\", and may not be removed"),
            ),
            (
                changed(stamp, None, Some("b")),
                format!(
                    "{path}exceptions']: the Job was created without it, so \"b\" may not be added"
                ),
            ),
        ] {
            assert_eq!(
                told(&FORGED_STAMP, breach),
                format!(
                    "MW104 forged-stamp: {words}; leave stamps out of charts and manifests, and keep the label of a \
                     stamped Job"
                )
            );
        }
    }
}
