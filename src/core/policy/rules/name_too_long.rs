//! MW013: the Job's pods cannot be created.

use crate::core::job::name::appended_by_argocd;
use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job whose name is longer than 63 characters.
    ///
    /// ## Why is this bad?
    /// The name becomes the value of a label on the Job's pods, which may have 63 characters. The API server refuses
    /// the Job with a message about that label. A release name may have 53 characters, and `-migrate-` with ten digits
    /// takes 19. So a release name of 45 characters is already too long.
    ///
    /// ## Instead
    /// Cut the part before the timestamp, never the timestamp. With ten digits that part may have 52 characters:
    /// ```yaml
    /// metadata:
    ///   name: "{{ printf "%s-migrate" .Release.Name | trunc 52 | trimSuffix "-" }}-{{ now | unixEpoch }}"
    /// ```
    ///
    /// Argo CD appends 26 characters to the `generateName` of a `PreSync` hook, so that `generateName` may have 37.
    ///
    /// Source: the Kubernetes documentation, "Jobs: Job name"; `maxReleaseNameLen` in Helm's
    /// `pkg/chart/v2/util/validate_name.go`.
    pub(super) static NAME_TOO_LONG = {
        id: "MW013",
        name: "name-too-long",
        reason: "the name is longer than 63 characters",
        remediation: "cut the part before the timestamp to 52 characters",
        path: "metadata.name",
        guide: Deny,
        strict: Deny,
        scope: Scope::Job,
        patch: Patch::Refused("a shortened name may be another Job's"),
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

/// Longest value of a label.
const MAX: usize = 63;
/// A dash and ten digits.
const SECONDS: usize = 11;

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let name = job.name.full();
    if name.is_empty() {
        return made_by_argocd(job);
    }
    let length = name.chars().count();
    if length <= MAX {
        return None;
    }
    let over = length - MAX;
    let detail = format!("{} has {length} characters, {over} too many", shown(name));
    let breach = Breach::new("metadata.name", detail);
    let base = job.name.base();
    let end = name.len().saturating_sub(base.len());
    let Some(stamp) = job.name.stamp().filter(|_| end > SECONDS) else {
        return Some(breach);
    };
    let room = MAX.saturating_sub(end);
    let what = if base.len() < stamp.base.len() {
        "the part before the commit"
    } else {
        "the part before the timestamp"
    };
    Some(breach.advise(format!("cut {what} to {room} characters")))
}

/// The name that Argo CD will make of a manifest's `generateName`. The API server cuts what it makes a name of.
fn made_by_argocd(job: &Job<'_>) -> Option<Breach> {
    let get = |annotation| job.annotations.get(annotation);
    let hook_type = hooks::argocd_type(get(Annotation::ArgoCdHook), get(Annotation::Hook));
    let (generate, hook_type) = (job.name.generate()?, hook_type?);
    if job.is_sent || !job.deployer.runs_hooks() || !job.is_argocd_hook() {
        return None;
    }
    let appended = appended_by_argocd(hook_type);
    let length = generate.chars().count() + appended;
    let over = length.checked_sub(MAX).filter(|over| *over > 0)?;
    let detail = format!(
        "Argo CD appends {appended} characters to {}, and that makes {length}, {over} too many",
        shown(generate)
    );
    let breach = Breach::new("metadata.generateName", detail);
    Some(breach.advise(format!("cut generateName to {} characters", MAX - appended)))
}

fn expression(_: &Options) -> String {
    format!("size(object.metadata.name) <= {MAX}")
}
