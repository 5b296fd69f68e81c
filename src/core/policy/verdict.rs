//! Turns findings into a verdict: the outcome, the corrections, and the messages for the user.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;

use crate::core::job::annotation::Annotation;
use crate::core::policy::Action;
use crate::core::policy::breach::Command;
use crate::core::policy::finding::Finding;
use crate::core::policy::fix::Fix;
use crate::core::policy::path::FieldPath;
use crate::core::policy::rules;
use crate::core::text;

/// Longest warning, in characters: the length at which Kubernetes cuts one
/// (`k8s.io/apiserver: pkg/endpoints/filters/warning.go`).
const MAX_WARNING: usize = 256;
/// Most characters of all warnings of one review. Kubernetes drops those beyond 4096, which other webhooks share.
const MAX_WARNINGS: usize = 3600;

/// The outcome of a review, mildest first.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Outcome {
    /// Admitted without findings to report.
    Allowed,
    /// Admitted with warnings for the client.
    Warned,
    /// Admitted after a change that the policy asks for.
    Patched,
    /// Refused for now: the client is asked to retry.
    Waiting,
    /// Refused for good: a retry of the same object gets the same verdict.
    Denied,
}

impl Outcome {
    /// The word for it in decisions and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Decides which findings can be patched; those that cannot are denied.
///
/// `patchable`: whether this object can be patched at all. Only a hook Job can, while it is being created, in the
/// mutating phase.
pub(crate) fn settle(findings: &mut [Finding], patchable: bool) {
    for finding in findings {
        if finding.action == Action::Patch && !(patchable && finding.fix.is_some()) {
            finding.action = Action::Deny;
        }
    }
}

/// The strongest outcome of settled findings.
#[must_use]
pub fn outcome(findings: &[Finding]) -> Outcome {
    match findings.iter().map(|finding| finding.action).max() {
        Some(Action::Deny) => Outcome::Denied,
        Some(Action::Wait) => Outcome::Waiting,
        Some(Action::Patch) => Outcome::Patched,
        Some(Action::Warn) => Outcome::Warned,
        Some(Action::Audit | Action::Off) | None => Outcome::Allowed,
    }
}

/// The corrections of the findings that are patched.
pub(crate) fn fixes(findings: &[Finding]) -> impl Iterator<Item = &Fix> {
    with(findings, Action::Patch).filter_map(|finding| finding.fix.as_ref())
}

/// The stamp that lists the rules whose findings were patched, now and `before`; `None` if nothing is patched now.
#[must_use]
pub(crate) fn stamp(findings: &[Finding], before: Option<&str>) -> Option<Fix> {
    let now: Vec<_> = with(findings, Action::Patch).map(|f| f.rule.id).collect();
    if now.is_empty() {
        return None;
    }
    // The API server may have called again after another webhook changed the Job. Anything but rule ids is dropped.
    let before = before
        .unwrap_or_default()
        .split(',')
        .filter_map(rules::find);
    let ids: BTreeSet<_> = before.map(|rule| rule.id).chain(now).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let path = FieldPath::annotation(Annotation::Patched);
    Some(Fix::set(path, ids.join(",")))
}

/// The findings with exactly this action.
pub fn with(findings: &[Finding], action: Action) -> impl Iterator<Item = &Finding> {
    findings
        .iter()
        .filter(move |finding| finding.action == action)
}

/// The message of a refusal: one line for each finding that causes it, with what to write instead.
#[must_use]
pub fn message(findings: &[Finding], action: Action) -> String {
    let all: Vec<_> = with(findings, action).collect();
    let told = all.iter().take(text::FINDINGS);
    let mut lines: Vec<_> = told.map(|finding| finding.message()).collect();
    if let untold @ 1.. = all.len() - lines.len() {
        lines.push(format!("and {untold} more findings"));
    }
    lines.join("\n")
}

/// A warning about a finding that is not denied: rule, path, what is wrong and what to write instead. A detail that is
/// too long is cut, because the decision has all of it.
#[must_use]
pub fn warning(finding: &Finding) -> String {
    let remediation = &finding.remediation;
    let (what, instead) = match (&finding.exception, finding.action) {
        (Some(exception), _) => {
            let (until, name) = (exception.expires_at, &exception.name);
            (
                format!("exempted by {name} until {until}").into(),
                String::new(),
            )
        }
        (None, Action::Patch) => ("patched".into(), format!("; in the chart, {remediation}")),
        (None, _) => (Cow::Borrowed(&*finding.detail), format!("; {remediation}")),
    };
    let start = format!("{} {}: ", finding.rule.id, finding.path);
    let room = MAX_WARNING.saturating_sub(start.chars().count());
    let instead = with_command(finding, instead, room.saturating_sub(what.chars().count()));
    let room = room.saturating_sub(instead.chars().count());
    one_line(&format!("{start}{}{instead}", shortened(&what, room)))
}

/// The advice in at most `room` characters, with the first command that helps. Without room for both, the command stands
/// alone: it is more precise. Without room for the command, the decision has it.
fn with_command(finding: &Finding, advice: String, room: usize) -> String {
    let is_exempted = finding.exception.is_some();
    let Some(Command { purpose, line }) = finding.commands.first().filter(|_| !is_exempted) else {
        return advice;
    };
    let command = format!(". {purpose}: {line}");
    let both = format!("{advice}{command}");
    let mut candidates = [both, command].into_iter();
    let fits = candidates.find(|text| text.chars().count() <= room);
    fits.unwrap_or(advice)
}

/// Makes a text fit for a warning: the API server drops warnings with control characters.
#[must_use]
pub(crate) fn one_line(text: &str) -> String {
    shortened(&text::one_line(text), MAX_WARNING).into_owned()
}

/// The beginning of a text, of at most `max` characters. A cut text ends in `…`.
fn shortened(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        None => text.into(),
        Some(_) => text
            .chars()
            .take(max.saturating_sub(1))
            .chain(['…'])
            .collect::<String>()
            .into(),
    }
}

/// The warnings of a review, as many as the API server passes on.
#[must_use]
pub fn warnings<'f>(findings: impl Iterator<Item = &'f Finding>) -> Vec<String> {
    let mut lines: Vec<String> = findings.map(warning).collect();
    // An exception may cover several findings in one field.
    lines.dedup();
    let mut total = 0;
    let fit = lines.iter().take_while(|line| {
        total += line.chars().count();
        total <= MAX_WARNINGS
    });
    let untold = lines.len() - fit.count();
    if untold > 0 {
        lines.truncate(lines.len() - untold);
        lines.push(format!(
            "{untold} more findings of migration-warden are in its decision log"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::Kind;
    use crate::core::policy::breach::Breach;
    use crate::core::policy::rules::concurrent_migration::CONCURRENT_MIGRATION;

    #[test]
    fn a_warning_keeps_the_first_command_if_it_fits() {
        let start = "MW101 metadata.name: ";
        let advice = "; retry when that migration has finished";
        let command = ". To look: kubectl describe job a -n shop";
        let both = format!("{advice}{command}");
        let room = MAX_WARNING - start.len();
        for (length, end) in [
            (1, &*both),
            (room - both.len(), &both),
            (room - both.len() + 1, command),
            (room - command.len(), command),
            (room - command.len() + 1, advice),
        ] {
            let detail = "x".repeat(length);
            let breach = Breach::new("metadata.name", &*detail)
                .command("To look", "kubectl describe job a -n shop")
                .command("To give it up", "kubectl delete job a -n shop");
            let found = Finding::new(&CONCURRENT_MIGRATION, Action::Warn, Kind::Job, breach);
            assert_eq!(warning(&found), format!("{start}{detail}{end}"));
        }
    }
}
