//! MW014: Helm runs the Job twice.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job that names a hook event twice.
    ///
    /// ## Why is this bad?
    /// Helm keeps both and runs the hook twice for the event. The second run meets the first Job under the same name.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   annotations:
    ///     helm.sh/hook: pre-install,pre-upgrade
    /// ```
    ///
    /// Source: `(*manifestFile).sort` in `helm/helm: pkg/releaseutil/manifest_sorter.go`.
    pub(super) static DUPLICATE_HOOK_EVENT = {
        id: "MW014",
        name: "duplicate-hook-event",
        reason: "it names an event twice",
        remediation: "write each event of helm.sh/hook once",
        path: "metadata.annotations['helm.sh/hook']",
        guide: Warn,
        strict: Deny,
        scope: Scope::Hook,
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let value = job.annotations.get(Annotation::Hook)?;
    let known = hooks::elements(value).filter(|element| hooks::event(element).is_some());
    // Helm 2's name of the same event.
    let mut elements: Vec<_> = known
        .map(|e| {
            if e == "test-success" {
                "test".into()
            } else {
                e
            }
        })
        .collect();
    let count = elements.len();
    elements.sort_unstable();
    elements.dedup();
    let is_repeated = elements.len() < count;
    is_repeated.then(|| Breach::new(Annotation::Hook, format!("found {}", shown(value))))
}

fn expression(_: &Options) -> String {
    let others: Vec<_> = hooks::EVENTS
        .into_iter()
        .filter(|e| !e.starts_with("test"))
        .collect();
    // Helm 2's name of the same event.
    format!(
        "{}.all(k, variables.hook.filter(e, e == k).size() <= 1) && \
         variables.hook.filter(e, e in ['test', 'test-success']).size() <= 1",
        cel::list(&others)
    )
}
