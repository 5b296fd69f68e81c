//! The effect of a `podFailurePolicy` on a failed pod.
//!
//! Its rules are read in order, as `matchPodFailurePolicy` in Kubernetes' `pkg/controller/job/pod_failure_policy.go`
//! (1.37) reads them. MW006 decides whether that is wrong for a migration.

use crate::core::job::object::{Container, ExitCodes, FailureRule, PodCondition};

/// Most rules that Kubernetes accepts, and most codes and conditions of each: 20, 255 and 20.
pub(crate) const MAX_RULES: usize = 20;
const MAX_CODES: usize = 255;
const MAX_CONDITIONS: usize = 20;
/// Number of exit codes in Linux; each is tracked by itself.
const CODES: usize = 256;

/// What follows when a container of a pod fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The Job or the index fails, whatever the exit code was.
    Fails,
    /// The rule at this index may start it again.
    Restarts(usize),
    /// `backoffLimit` decides, at least for some exit codes.
    Counted,
}

impl Fate {
    /// The effect if this container fails, or if its pod is evicted while it runs. An evicted container also ends with
    /// an exit code. `counts`: whether a counted failure may lead to another attempt.
    pub(crate) fn of(rules: &[FailureRule<'_>], container: &Container<'_>, counts: bool) -> Self {
        let mut failed = Failed::default();
        for (index, rule) in rules.iter().enumerate().take(MAX_RULES) {
            let codes = rule.on_exit_codes.as_ref();
            let only = codes.and_then(|codes| codes.container_name.as_deref());
            if only.is_some_and(|name| name != &*container.name) {
                continue;
            }
            match &*rule.action {
                "FailJob" | "FailIndex" => {
                    failed.add(rule);
                    if failed.codes.are_all() {
                        return Self::Fails;
                    }
                }
                "Ignore" if !failed.has_all(rule) => return Self::Restarts(index),
                "Ignore" => {}
                _ if counts && !failed.has_all(rule) => return Self::Restarts(index),
                _ => {}
            }
        }
        Self::Counted
    }
}

/// The failures that earlier rules have decided: Kubernetes does not read later rules for them.
#[derive(Default)]
struct Failed<'r> {
    codes: Codes,
    conditions: Vec<&'r PodCondition<'r>>,
}

impl<'r> Failed<'r> {
    fn add(&mut self, rule: &'r FailureRule<'r>) {
        match &rule.on_exit_codes {
            Some(codes) => self.codes.join(&Codes::of(codes)),
            None => self.conditions.extend(conditions(rule)),
        }
    }

    fn has_all(&self, rule: &FailureRule<'_>) -> bool {
        match &rule.on_exit_codes {
            Some(codes) => self.codes.have(&Codes::of(codes)),
            None => conditions(rule).all(|condition| {
                let mut failed = self.conditions.iter();
                failed.any(|failed| {
                    failed.kind == condition.kind && status(failed) == status(condition)
                })
            }),
        }
    }
}

/// The status of a condition, with the API server's default.
fn status<'c>(condition: &'c PodCondition<'_>) -> &'c str {
    condition.status.as_deref().unwrap_or("True")
}

fn conditions<'r>(rule: &'r FailureRule<'r>) -> impl Iterator<Item = &'r PodCondition<'r>> {
    rule.on_pod_conditions.iter().take(MAX_CONDITIONS)
}

/// A set of exit codes without 0: whether each is in it, and at the end whether all higher ones are.
struct Codes([bool; CODES + 1]);

impl Default for Codes {
    fn default() -> Self {
        Self([false; CODES + 1])
    }
}

impl Codes {
    fn of(codes: &ExitCodes<'_>) -> Self {
        let is_in = &*codes.operator == "In";
        let mut set = [!is_in; CODES + 1];
        for &code in codes.values.iter().take(MAX_CODES) {
            match usize::try_from(code) {
                Ok(code) if code < CODES => set[code] = is_in,
                // A single higher code is not tracked; it only means that not all of them match.
                _ => set[CODES] = false,
            }
        }
        set[0] = false;
        Self(set)
    }

    fn join(&mut self, more: &Self) {
        for (has, more) in self.0.iter_mut().zip(more.0) {
            *has |= more;
        }
    }

    fn are_all(&self) -> bool {
        self.0[1..].iter().all(|has| *has)
    }

    fn have(&self, these: &Self) -> bool {
        let mut pairs = self.0.iter().zip(these.0);
        pairs.all(|(has, this)| *has || !this)
    }
}
