//! MW022: it looks like a migration and is not labelled as one.

use crate::core::job::tool;
use crate::core::policy::rule::prelude::*;
use crate::core::policy::select::{Adopter, Selection};

rule! {
    /// A Job that looks like a migration and has no label that says so.
    ///
    /// The rule recognises it by the tool it runs, its image or its name.
    ///
    /// ## Why is this bad?
    /// `detection.maxAction` limits the action of every rule for such a Job, and its default is `audit`. If Helm or Argo
    /// CD runs it before the release, and its command or image shows that it migrates, it is adopted. Then it gets the
    /// promises in `detection.promises`, and this finding is a warning by default. Any other such Job gets no promise:
    /// two may run at once, and nothing guards it or records it.
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
    pub(crate) static UNLABELLED_MIGRATION = {
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

fn check(job: &Job<'_>, context: &Context<'_>) -> Option<Breach> {
    let detection = match context.selection {
        Selection::Detected(detection) => detection,
        Selection::Adopted(Adopter::Detection) => tool::detect(job)?,
        _ => return None,
    };
    let detail = format!("looks like a migration: {detection}");
    Some(Breach::new("metadata.labels", detail))
}
