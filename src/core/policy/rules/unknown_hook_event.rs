//! MW015: Helm drops the whole manifest.

use std::borrow::Cow;

use crate::core::job::name::cut;
use crate::core::policy::rule::prelude::*;

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
    let nearest = cel::events()
        .into_iter()
        .map(|event| (strsim::jaro(cut(unknown, MAX), event), event))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let is_there = |event: &str| hooks::elements(value).any(|element| element == event);
    match nearest {
        // An event of Helm 2 which looks like one of today.
        _ if unknown == "crd-install" => Some("remove crd-install from helm.sh/hook".into()),
        Some((likeness, event)) if likeness > 0.9 && !is_there(event) => {
            Some(format!("write {event} instead").into())
        }
        _ => None,
    }
}

fn expression(_: &Options) -> String {
    format!("variables.hook.all(e, e in {})", cel::list(&cel::events()))
}

#[cfg(test)]
mod tests {
    use crate::core::policy::testing::{findings, job, told_of};
    use serde_json::json;

    #[test]
    fn an_empty_event_is_unknown() {
        let with = |value: &str| {
            findings(
                "MW015",
                &job(|j| j["metadata"]["annotations"]["helm.sh/hook"] = json!(value)),
            )
        };
        for (value, unknown) in [
            ("pre-install,pre-upgrade,", ""),
            ("", ""),
            ("pre-install,pre-upgrad", "pre-upgrad"),
            ("pre-install pre-upgrade", "pre-install pre-upgrade"),
            ("crd-install,pre-install,pre-upgrade", "crd-install"),
        ] {
            assert_eq!(
                with(value),
                [format!(
                    "metadata.annotations['helm.sh/hook']: found {value:?}, in which Helm does not know {unknown:?}"
                )]
            );
        }
        assert!(with("pre-install, PRE-UPGRADE,test-success").is_empty());
    }

    #[test]
    fn names_the_event_that_was_meant() {
        for (value, instead) in [
            ("pre-rollbak", "write pre-rollback instead"),
            ("pre-install,pre-upgrad", "write pre-upgrade instead"),
            ("pre_install,pre-upgrade", "write pre-install instead"),
            ("pre-install,", "remove the comma that makes an empty event"),
            (
                "crd-install,pre-upgrade",
                "remove crd-install from helm.sh/hook",
            ),
            (
                "pre-install pre-upgrade",
                "write only events that Helm knows, separated by commas",
            ),
            (
                "pre-install,pre-instal",
                "write only events that Helm knows, separated by commas",
            ),
            (
                "PreSync",
                "write only events that Helm knows, separated by commas",
            ),
        ] {
            let job = job(|j| j["metadata"]["annotations"]["helm.sh/hook"] = json!(value));
            let told = told_of("MW015", &job).concat();
            assert!(told.ends_with(&format!("; {instead}")), "{told}");
        }
    }
}
