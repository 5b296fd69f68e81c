//! MW016: Helm reads another weight than is written.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job with a hook weight that is not an integer.
    ///
    /// ## Why is this bad?
    /// Helm reads such a weight as 0 and prints no warning. So the migration may run before the Secret or the database
    /// that a lower weight should create first. Helm does not accept spaces, `0x5` or `1e1` as integers.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   annotations:
    ///     helm.sh/hook-weight: "5"
    /// ```
    ///
    /// Source: `calculateHookWeight` in `helm/helm: pkg/releaseutil/manifest_sorter.go`.
    pub(super) static BAD_HOOK_WEIGHT = {
        id: "MW016",
        name: "bad-hook-weight",
        reason: "Helm reads the weight as 0",
        remediation: "write an integer such as helm.sh/hook-weight: \"5\"",
        path: "metadata.annotations['helm.sh/hook-weight']",
        guide: Warn,
        strict: Deny,
        scope: Scope::Hook,
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Option<Breach> {
    let value = job.annotations.get(Annotation::HookWeight)?;
    let detail = || format!("found {}, which Helm reads as 0", shown(value));
    (!hooks::is_weight(value)).then(|| Breach::new(Annotation::HookWeight, detail()))
}

fn expression(_: &Options) -> String {
    // `int` fails on what it does not take, so the largest numbers are compared as strings.
    let weight = cel::annotation(Annotation::HookWeight);
    format!(
        "{weight}.optMap(v, v.matches('^[-+]?[0-9]+$') && [v.find('[1-9][0-9]*$')].all(n, \
         size(n) < 19 || size(n) == 19 && \
         n <= (v.startsWith('-') ? '9223372036854775808' : '9223372036854775807'))).orValue(true)"
    )
}
