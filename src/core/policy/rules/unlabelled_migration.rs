//! MW022: it looks like a migration and is not labelled as one.

use crate::core::policy::rule::prelude::*;
use crate::core::policy::select::Selection;

rule! {
    /// A Job that looks like a migration and has no label that says so.
    ///
    /// The rule recognises it by the tool it runs, its image or its name.
    ///
    /// ## Why is this bad?
    /// The policy enforces nothing for it: `detection.maxAction` limits every action for such a Job, and its default is
    /// `audit`.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   labels:
    ///     app.kubernetes.io/component: migration
    /// ```
    /// If the Job is not a migration, write the label `migration-warden.io/migration: "false"`.
    ///
    /// Source: the default selectors of the policy file.
    pub(super) static UNLABELLED_MIGRATION = {
        id: "MW022",
        name: "unlabelled-migration",
        reason: "no label says that it is a migration",
        remediation: "write the label app.kubernetes.io/component: migration",
        path: "metadata.labels",
        guide: Audit,
        strict: Warn,
        scope: Scope::Template,
        patch: Patch::Refused("the label would enforce rules that its author did not choose"),
        cel: Cel::Refused("the policy is evaluated only for labelled Jobs"),
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
