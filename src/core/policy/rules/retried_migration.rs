//! MW006: a failed migration is run again by the Job controller.

use crate::core::job::failure_policy::{Fate, MAX_RULES};
use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job that Kubernetes starts again after a failure: with `backoffLimit` above 0, which Kubernetes
    /// defaults to 6, or with a `podFailurePolicy` that ignores failures.
    ///
    /// Kubernetes reads the rules of a `podFailurePolicy` in order. `Ignore` starts the migration again even with
    /// `backoffLimit: 0`, and so does `Count` above 0. If a rule before them fails the Job on every exit code, any
    /// `backoffLimit` is fine.
    ///
    /// ## Why is this bad?
    /// Kubernetes runs a migration that failed halfway up to seven times, on a schema that is neither old nor new. Many
    /// tools then stop at their own "dirty" mark. That mark hides the first error, which is the one that matters.
    ///
    /// ## Instead
    /// ```yaml
    /// spec:
    ///   backoffLimit: 0
    /// ```
    /// If other rules of a `podFailurePolicy` need a higher limit, write this rule before them:
    /// ```yaml
    /// spec:
    ///   podFailurePolicy:
    ///     rules:
    ///       - action: FailJob
    ///         onExitCodes: {operator: NotIn, values: [0]}
    /// ```
    /// A pod on a lost node reports no exit code. Only `backoffLimit: 0` without `Ignore` covers it.
    ///
    /// Source: the Kubernetes documentation, "Jobs: Pod backoff failure policy" and "Pod failure policy";
    /// `matchPodFailurePolicy` in Kubernetes' `pkg/controller/job/pod_failure_policy.go` (1.37).
    pub(super) static RETRIED_MIGRATION = {
        id: "MW006",
        name: "retried-migration",
        reason: "a failed attempt is retried",
        remediation: "write backoffLimit: 0, and no podFailurePolicy that retries",
        path: "spec.backoffLimit",
        guide: Warn,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Refused("only its author knows whether a migration may be retried"),
        cel: Cel::Expression(expression),
        check: Check::All(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Breaches {
    let limit = job.backoff_limit();
    let retried = limit > 0 && job.spec.backoff_limit_per_index != Some(0);
    let rules = &job.spec.pod_failure_policy.rules;
    let rules = rules.get(..MAX_RULES).unwrap_or(rules);
    let mut restarting = [false; MAX_RULES];
    let mut counted = retried && rules.is_empty();
    for (list, _, container) in job.containers().take_while(|_| !rules.is_empty()) {
        let counts = retried && !Job::is_native_sidecar(list, container);
        match Fate::of(rules, container, counts) {
            Fate::Restarts(index) => restarting[index] = true,
            Fate::Counted if counts => counted = true,
            Fate::Counted | Fate::Fails => {}
        }
    }
    let limited = counted.then(|| {
        let is_default = limit == job.default_backoff_limit();
        let found = defaulted(
            "backoffLimit",
            limit,
            job.spec.backoff_limit.is_some(),
            is_default,
        );
        let detail = if rules.is_empty() {
            found
        } else {
            format!("{found}, and podFailurePolicy does not fail the Job on every exit code")
        };
        Breach::new("spec.backoffLimit", detail).advise("write backoffLimit: 0 in the Job's spec")
    });
    let restarting = rules
        .iter()
        .enumerate()
        .filter(|(index, _)| restarting[*index]);
    let restarting = restarting.map(|(index, rule)| {
        let path = FieldPath::of("spec.podFailurePolicy.rules");
        let action = shown(&rule.action);
        let detail = format!("found {action}, which starts a failed migration again");
        let breach = Breach::new(path.index(index).field("action"), detail);
        breach.advise("remove this rule of podFailurePolicy, or write action: FailJob")
    });
    limited.into_iter().chain(restarting).collect()
}

fn expression(_: &Options) -> String {
    // Each rule is a letter: `F` fails the Job on every exit code of the container, `f` on some or on none of
    // its own, or is never reached, `I` ignores the failure, `C` counts it. The first of them that matters decides.
    // A rule that others complete to every exit code counts as theirs wherever they stand: no stricter than the engine.
    const RULES: &str = "object.spec.?podFailurePolicy.?rules.orValue([])";
    let fails = |more: &str| {
        format!(
            "{RULES}.exists(q, q.action in ['FailJob', 'FailIndex'] && \
             q.?onExitCodes.?containerName.orValue(c.name) == c.name && {more})"
        )
    };
    let values = "q.?onExitCodes.?values.orValue([])";
    let is = |operator: &str| format!("q.?onExitCodes.?operator.orValue('') == '{operator}'");
    let has = format!(
        "({} ? v in {values} : {} && !(v in {values}))",
        is("In"),
        is("NotIn")
    );
    let before = format!("{RULES}.indexOf(q) < {RULES}.indexOf(r)");
    let completed = format!("(v == 0 || {})", fails(&has));
    let reached = format!("(v == 0 || {})", fails(&format!("{before} && {has}")));
    let rest = fails(&format!(
        "{before} && {} && {values}.all(v, v == 0 || v in r.onExitCodes.values)",
        is("NotIn")
    ));
    let condition = fails(&format!(
        "{before} && q.?onPodConditions.orValue([]).exists(o, o.type == p.type && \
         o.?status.orValue('True') == p.?status.orValue('True'))"
    ));
    let letters = format!(
        "{RULES}.map(r, r.?onExitCodes.?containerName.orValue(c.name) != c.name ? 'f' : \
         r.action in ['FailJob', 'FailIndex'] ? (r.?onExitCodes.?operator.orValue('') == 'NotIn' && \
         r.?onExitCodes.?values.orValue([1]).all(v, {completed}) ? 'F' : 'f') : \
         (r.?onExitCodes.?operator.orValue('') == 'In' ? r.onExitCodes.values.all(v, {reached}) : \
         r.?onExitCodes.hasValue() ? {rest} : \
         r.?onPodConditions.orValue([]).all(p, {condition})) ? 'f' : \
         r.action == 'Ignore' ? 'I' : 'C').join('')"
    );
    let retried = "object.spec.?backoffLimit.orValue(6) > 0 && \
         object.spec.?backoffLimitPerIndex.orValue(1) > 0";
    let fine = |retried: &str| format!("{letters}.matches({retried} ? '^f*F' : '^[fC]*(F|$)')");
    let pod = "object.spec.template.spec";
    format!(
        "{pod}.containers.all(c, {}) && {pod}.?initContainers.orValue([]).all(c, {})",
        fine(retried),
        fine(&format!(
            "{retried} && c.?restartPolicy.orValue('') != 'Always'"
        )),
    )
}
