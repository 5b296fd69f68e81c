//! `scan --format human`: each migration with its findings, then the rules with what to write instead.

use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Style};

use crate::core::job::Kind;
use crate::core::policy::Action;
use crate::core::policy::finding::Finding;
use crate::core::scan::{Judged, Tally};
use crate::core::text::one_line;

/// Writes some migrations; `out` strips colour where there is no terminal.
pub fn judged(all: &[Judged], out: &mut impl Write) -> io::Result<()> {
    for judged in all {
        let kind = match judged.kind {
            Kind::Job => "job",
            Kind::CronJob => "cronjob",
        };
        let bold = Style::new().bold();
        writeln!(
            out,
            "{bold}{kind}/{} in {}{bold:#}",
            one_line(&judged.name),
            one_line(&judged.namespace)
        )?;
        for found in &judged.findings {
            finding(found, out)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn finding(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let (word, colour) = match (&finding.exception, finding.action) {
        (Some(_), _) => ("excepted", AnsiColor::Green),
        (None, Action::Deny | Action::Wait) => ("denied", AnsiColor::Red),
        (None, Action::Patch) => ("patched", AnsiColor::Yellow),
        (None, Action::Warn) => ("warning", AnsiColor::Yellow),
        (None, Action::Audit | Action::Off) => ("audit", AnsiColor::Green),
    };
    let colour = colour.on_default();
    let (rule, path, detail) = (finding.rule, &finding.path, &finding.detail);
    write!(
        out,
        "  {colour}{word:<8}{colour:#}  {} {path}: {detail}",
        rule.id
    )?;
    if let Some(exception) = &finding.exception {
        write!(
            out,
            "; until {} by {}",
            exception.expires_at, exception.name
        )?;
    }
    writeln!(out)
}

/// Writes the rules that were broken, what could not be looked at, and the sum.
pub fn end(tally: &Tally, problems: &[String], out: &mut impl Write) -> io::Result<()> {
    if !tally.rules.is_empty() {
        let heads = ["DENIED", "PATCHED", "WARNED", "AUDITED"];
        let [deny, patch, warn, audit] = heads;
        writeln!(
            out,
            "{:<28}  {deny}  {patch}  {warn}  {audit}  INSTEAD",
            "RULE"
        )?;
        for of_rule in tally.rules.values() {
            let rule = of_rule.rule;
            write!(out, "{:<28}", format!("{} {}", rule.id, rule.name))?;
            for (action, head) in ACTIONS.iter().zip(heads) {
                write!(out, "  {:>1$}", of_rule.count(*action), head.len())?;
            }
            writeln!(out, "  {}", rule.remediation)?;
        }
        writeln!(out)?;
    }
    for (namespace, mode) in &tally.unknown_modes {
        writeln!(
            out,
            "label migration-warden.io/mode={mode} of namespace {namespace} is unknown, treated as enforce\n"
        )?;
    }
    for problem in problems {
        writeln!(out, "{}\n", one_line(problem))?;
    }
    let jobs = counted(tally.jobs, "Job");
    let cronjobs = counted(tally.cronjobs, "CronJob");
    let migrations = counted(tally.migrations, "migration");
    let [deny, patch, warn, audit] = ACTIONS.map(|action| tally.count(action));
    writeln!(
        out,
        "{jobs}, {cronjobs}, {migrations}: {deny} denied, {patch} patched, {warn} warned, {audit} audited"
    )
}

const ACTIONS: [Action; 4] = [Action::Deny, Action::Patch, Action::Warn, Action::Audit];

/// How far a scan is, for whoever waits.
#[must_use]
pub fn progress(tally: &Tally) -> String {
    let looked_at = match (tally.jobs, tally.cronjobs) {
        (jobs, 0) => counted(jobs, "Job"),
        (jobs, cronjobs) => format!("{}, {}", counted(jobs, "Job"), counted(cronjobs, "CronJob")),
    };
    format!("{looked_at}, {}", counted(tally.findings(), "finding"))
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
