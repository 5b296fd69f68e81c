//! MW022: it looks like a migration and is not labelled as one.

use crate::core::policy::rule::prelude::*;
use crate::core::policy::select::Selection;

rule! {
    /// A Job that looks like a migration and carries no label that says so.
    ///
    /// Recognised by the tool it runs, its image or its name.
    ///
    /// ## Why is this bad?
    /// Nothing is enforced for it: what is found in a Job that is only recognised is capped at
    /// `detection.maxAction`, which is `audit` unless the policy says otherwise.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   labels:
    ///     app.kubernetes.io/component: migration
    /// ```
    /// or, for a Job that is no migration, the label `migration-warden.io/migration: "false"`.
    ///
    /// Source: the default selectors of the policy file.
    pub(super) static UNLABELLED_MIGRATION = {
        id: "MW022",
        name: "unlabelled-migration",
        reason: "no label says that it is a migration",
        remediation: "write label app.kubernetes.io/component: migration",
        path: "metadata.labels",
        guide: Audit,
        strict: Warn,
        scope: Scope::Template,
        patch: Patch::Refused("a label would make rules binding for it that were not meant for it"),
        cel: Cel::Refused("only labelled Jobs are looked at"),
        check: Check::One(check),
    };
}

fn check(_: &Job<'_>, context: &Context<'_>) -> Option<Breach> {
    let Selection::Detected(detection) = context.selection else {
        return None;
    };
    let detail = format!("looks like a migration: {detection}");
    Some(Breach::new("metadata.labels", detail))
}

#[cfg(test)]
mod tests {
    use crate::core::policy::testing::{findings, job};
    use serde_json::json;

    #[test]
    fn says_what_gave_it_away() {
        let found = findings(
            "MW022",
            &job(|j| j["metadata"]["labels"] = json!({"app": "shop"})),
        );
        assert_eq!(
            found,
            ["metadata.labels: looks like a migration: it runs Atlas"]
        );
        assert!(findings("MW022", &job(|_| ())).is_empty());
    }
}
