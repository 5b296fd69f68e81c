//! MW015: Helm drops the whole manifest.

use std::borrow::Cow;

use crate::core::job::name::cut;
use crate::core::policy::rule::prelude::*;
use crate::core::text;

rule! {
    /// A migration Job that names a hook event that Helm does not know, or an empty one.
    ///
    /// A trailing comma makes an empty event. Spaces do not separate events.
    ///
    /// ## Why is this bad?
    /// Helm leaves out the whole manifest: the Job is neither a hook nor a resource. Helm deploys the release without
    /// its migration, and prints only the line `skipping unknown hook` to stderr. `helm template` leaves the Job out
    /// too, so this rule sees it only in a manifest that Helm has not rendered. In a pipeline, `check
    /// --require-migration` fails if no migration Job is left.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   annotations:
    ///     helm.sh/hook: pre-install,pre-upgrade
    /// ```
    ///
    /// Source: `(*manifestFile).sort` in `helm/helm: pkg/releaseutil/manifest_sorter.go`.
    pub(super) static UNKNOWN_HOOK_EVENT = {
        id: "MW015",
        name: "unknown-hook-event",
        reason: "Helm does not know an event and drops the manifest",
        remediation: "write only events that Helm knows, separated by commas",
        path: "metadata.annotations['helm.sh/hook']",
        guide: Deny,
        strict: Deny,
        scope: Scope::Hook,
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

/// Longer than any event.
const MAX: usize = 32;
/// Advice to write another event has to be right: it decides when a migration runs.
const SURELY: f64 = 0.9;

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let value = job.annotations.get(Annotation::Hook)?;
    let unknown = hooks::elements(value).find(|element| hooks::event(element).is_none())?;
    let detail = format!(
        "found {}, in which Helm does not know {}",
        shown(value),
        shown(&unknown)
    );
    let breach = Breach::new(Annotation::Hook, detail);
    Some(match remediation(&unknown, value) {
        Some(remediation) => breach.advise(remediation),
        None => breach,
    })
}

/// What to write instead of an event that Helm does not know, where that is plain.
fn remediation(unknown: &str, value: &str) -> Option<Cow<'static, str>> {
    if unknown.is_empty() {
        return Some("remove the comma that makes an empty event".into());
    }
    if unknown == "crd-install" {
        // An event of Helm 2 which looks like one of today.
        return Some("remove crd-install from helm.sh/hook".into());
    }
    let event = text::most_alike(cut(unknown, MAX), hooks::EVENTS, SURELY)?;
    let is_there = hooks::elements(value).any(|element| element == event);
    (!is_there).then(|| format!("write {event} instead").into())
}

fn expression(_: &Options) -> String {
    format!("variables.hook.all(e, e in {})", cel::list(&hooks::EVENTS))
}
