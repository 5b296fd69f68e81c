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
        remediation: "write backoffLimit: 0 and no podFailurePolicy that retries",
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
        let found = defaulted(limit, job.spec.backoff_limit.is_some(), is_default);
        let detail = if rules.is_empty() {
            found
        } else {
            format!("{found}, and podFailurePolicy does not fail the Job on every exit code")
        };
        Breach::new("spec.backoffLimit", detail)
    });
    let restarting = rules
        .iter()
        .enumerate()
        .filter(|(index, _)| restarting[*index]);
    let restarting = restarting.map(|(index, rule)| {
        let path = FieldPath::of("spec.podFailurePolicy.rules");
        let action = shown(&rule.action);
        let detail = format!("found {action}, which starts a failed migration again");
        Breach::new(path.index(index).field("action"), detail)
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

#[cfg(test)]
mod tests {
    use crate::core::policy::testing::{findings, job};
    use serde_json::{Value, json};
    use std::slice;

    #[test]
    fn absent_means_six() {
        let with = |value| findings("MW006", &job(|j| j["spec"]["backoffLimit"] = value));
        assert_eq!(
            with(json!(null)),
            ["spec.backoffLimit: it is not set, and Kubernetes defaults it to 6"]
        );
        assert_eq!(
            with(json!(6)),
            ["spec.backoffLimit: it is 6, Kubernetes' default if it is not set"]
        );
        assert_eq!(with(json!(3)), ["spec.backoffLimit: found 3"]);
        assert!(with(json!(0)).is_empty());
    }

    const LIMIT: &str =
        "spec.backoffLimit: found 3, and podFailurePolicy does not fail the Job on every exit code";

    fn rule(index: usize, action: &str) -> String {
        format!(
            "spec.podFailurePolicy.rules[{index}].action: found {action:?}, which starts a failed migration again"
        )
    }

    fn on(action: &str, operator: &str, values: &[i64]) -> Value {
        json!({"action": action, "onExitCodes": {"operator": operator, "values": values}})
    }

    fn evicted(action: &str) -> Value {
        json!({"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]})
    }

    fn with(limit: i64, rules: &[Value]) -> Vec<String> {
        findings(
            "MW006",
            &job(|j| {
                j["spec"]["backoffLimit"] = json!(limit);
                j["spec"]["podFailurePolicy"] = json!({"rules": rules});
            }),
        )
    }

    #[test]
    fn failing_on_every_exit_code_is_no_retry() {
        let every = on("FailJob", "NotIn", &[0]);
        for limit in [0, 3] {
            assert!(with(limit, slice::from_ref(&every)).is_empty());
            assert!(with(limit, &[every.clone(), evicted("Ignore")]).is_empty());
            assert!(
                with(
                    limit,
                    &[evicted("FailJob"), every.clone(), evicted("Ignore")]
                )
                .is_empty()
            );
        }
        let index = on("FailIndex", "NotIn", &[0]);
        assert!(with(3, &[index]).is_empty());
    }

    #[test]
    fn failing_on_some_exit_codes_leaves_the_others_to_the_limit() {
        for some in [
            on("FailJob", "NotIn", &[0, 42]),
            on("FailJob", "NotIn", &[42]),
            on("FailJob", "In", &[1, 2, 137, 143]),
            evicted("FailJob"),
        ] {
            assert_eq!(with(3, slice::from_ref(&some)), [LIMIT], "{some}");
            assert!(with(0, &[some]).is_empty());
        }
    }

    #[test]
    fn what_is_ignored_is_started_again_whatever_the_limit() {
        let every = on("FailJob", "NotIn", &[0]);
        assert_eq!(with(0, &[evicted("Ignore")]), [rule(0, "Ignore")]);
        assert_eq!(with(0, &[on("Ignore", "In", &[42])]), [rule(0, "Ignore")]);
        for limit in [0, 3] {
            assert_eq!(
                with(limit, &[evicted("Ignore"), every.clone()]),
                [rule(0, "Ignore")]
            );
            let behind = [on("FailJob", "In", &[1]), evicted("Ignore")];
            assert_eq!(with(limit, &behind), [rule(1, "Ignore")]);
        }
    }

    #[test]
    fn what_is_counted_is_started_again_up_to_the_limit() {
        let count = [on("Count", "In", &[42]), on("FailJob", "NotIn", &[0])];
        assert_eq!(with(3, &count), [rule(0, "Count")]);
        assert!(with(0, &count).is_empty());
    }

    #[test]
    fn a_rule_that_no_failure_reaches_starts_nothing() {
        for limit in [0, 3] {
            let every = on("FailJob", "NotIn", &[0]);
            for rules in [
                [evicted("FailJob"), evicted("Ignore"), every.clone()],
                [
                    on("FailJob", "In", &[1, 2]),
                    on("Ignore", "In", &[2, 1]),
                    every.clone(),
                ],
                [
                    on("FailJob", "NotIn", &[0, 9]),
                    on("Count", "NotIn", &[0, 9, 7]),
                    every,
                ],
                // Together they fail the Job on every exit code.
                [
                    on("FailJob", "In", &[1, 42]),
                    on("FailJob", "NotIn", &[0, 1]),
                    evicted("Ignore"),
                ],
            ] {
                assert!(with(limit, &rules).is_empty(), "{limit} {rules:?}");
            }
        }
        // Not all of it is failed before.
        assert_eq!(
            with(0, &[on("FailJob", "In", &[1]), on("Ignore", "In", &[1, 2])]),
            [rule(1, "Ignore")]
        );
        assert_eq!(
            with(
                0,
                &[on("FailJob", "In", &[1]), on("Ignore", "NotIn", &[0, 1])]
            ),
            [rule(1, "Ignore")]
        );
        let all: Vec<i64> = (1..=255).collect();
        let codes_of_linux = on("FailJob", "In", &all);
        assert_eq!(with(3, &[codes_of_linux]), [LIMIT]);
    }

    #[test]
    fn a_rule_for_one_container_says_nothing_of_another() {
        let named = |action: &str, name: &str| json!({"action": action, "onExitCodes": {"containerName": name, "operator": "NotIn", "values": [0]}});
        assert!(with(3, &[named("FailJob", "migrate")]).is_empty());
        assert_eq!(with(3, &[named("FailJob", "proxy")]), [LIMIT]);
        let two = |rules: &[Value], policy: Value| {
            findings(
                "MW006",
                &job(|j| {
                    j["spec"]["backoffLimit"] = json!(3);
                    j["spec"]["podFailurePolicy"] = json!({"rules": rules});
                    j["spec"]["template"]["spec"]["initContainers"] =
                        json!([{"name": "proxy", "restartPolicy": policy}]);
                }),
            )
        };
        // An init container fails the pod, a native sidecar does not.
        assert_eq!(two(&[named("FailJob", "migrate")], json!(null)), [LIMIT]);
        assert!(two(&[named("FailJob", "migrate")], json!("Always")).is_empty());
        assert!(
            two(
                &[named("FailJob", "migrate"), named("FailJob", "proxy")],
                json!(null)
            )
            .is_empty()
        );
        assert_eq!(
            two(
                &[named("Ignore", "proxy"), named("FailJob", "migrate")],
                json!("Always")
            ),
            [rule(0, "Ignore")]
        );
    }

    #[test]
    fn no_retry_per_index_is_none() {
        let per_index = |count: i64| {
            findings(
                "MW006",
                &job(|j| {
                    j["spec"]["backoffLimit"] = json!(null);
                    j["spec"]["backoffLimitPerIndex"] = json!(count);
                }),
            )
        };
        assert!(per_index(0).is_empty());
        assert_eq!(
            per_index(1),
            ["spec.backoffLimit: it is not set, and Kubernetes defaults it to 2147483647"]
        );
    }
}
