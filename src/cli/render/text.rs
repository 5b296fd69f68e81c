//! `--format human` of `check` and `scan`. A finding in a file is shown with its line, as compilers show errors; a
//! finding in a cluster is a line below its Job. The summary comes last.

use std::fmt::Write as _;
use std::io::{self, Write};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use clap::builder::styling::{AnsiColor, Style};

use super::Render;
use crate::core::job::Kind;
use crate::core::namespace::unknown_mode;
use crate::core::policy::Action;
use crate::core::policy::finding::Finding;
use crate::core::report::{Counts, Located, Objects, OptedOut, Problem, Report, Source};
use crate::core::text::one_line;

/// Most opted-out Jobs that are named.
const MAX_NAMES: usize = 20;

/// Writes for people; the caller strips colour if there is no terminal.
#[derive(Debug, Default)]
pub struct Text {
    /// Whether only findings and problems are written.
    quiet: bool,
    /// The object in a cluster whose findings are being written.
    object: Option<(Kind, String, String)>,
}

impl Render for Text {
    fn finding(&mut self, located: &Located, out: &mut dyn Write) -> io::Result<()> {
        match &located.source {
            Some(source) => writeln!(out, "{}\n", snippet(located, source)),
            None => self.line(located, out),
        }
    }

    fn end(&mut self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        if self.object.is_some() {
            writeln!(out)?;
        }
        if self.quiet {
            return problems(report, out);
        }
        if report.objects.is_some() && !report.rules.is_empty() {
            table(report, out)?;
        }
        problems(report, out)?;
        notes(report, out)?;
        writeln!(out, "{}: {}", looked_at(report), summary(report))?;
        match &report.help {
            Some(help) if report.counts.deny > 0 => writeln!(out, "{help}"),
            _ => Ok(()),
        }
    }
}

impl Text {
    /// Writes only findings and problems if `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self {
            quiet,
            object: None,
        }
    }

    /// A finding in a cluster, below the name of its Job.
    fn line(&mut self, located: &Located, out: &mut dyn Write) -> io::Result<()> {
        let (kind, namespace, job) = (located.kind, &located.namespace, &located.job);
        let is_same =
            |last: &(Kind, String, String)| (last.0, &last.1, &last.2) == (kind, namespace, job);
        if !self.object.as_ref().is_some_and(is_same) {
            if self.object.is_some() {
                writeln!(out)?;
            }
            let word = match kind {
                Kind::Job => "job",
                Kind::CronJob => "cronjob",
            };
            let bold = Style::new().bold();
            let (name, place) = (one_line(job), one_line(namespace));
            let adopted = adopted(located);
            writeln!(out, "{bold}{word}/{name} in {place}{bold:#}{adopted}")?;
            self.object = Some((kind, namespace.clone(), job.clone()));
        }
        let finding = &located.finding;
        let (word, colour, _) = verdict(finding);
        let colour = colour.on_default();
        let (id, path, detail) = (finding.rule.id, &finding.path, &finding.detail);
        write!(out, "  {colour}{word:<8}{colour:#}  {id} {path}: {detail}")?;
        if let Some(exception) = &finding.exception {
            let (until, name) = (exception.expires_at, &exception.name);
            write!(out, "; by {name} until {until}")?;
        }
        writeln!(out)
    }
}

/// The word for what happens to a finding, and how to show it.
fn verdict(finding: &Finding) -> (&'static str, AnsiColor, Level<'static>) {
    match (&finding.exception, finding.action) {
        (Some(_), _) => ("exempted", AnsiColor::Green, Level::NOTE),
        (None, Action::Deny | Action::Wait) => ("denied", AnsiColor::Red, Level::ERROR),
        (None, Action::Patch) => ("patched", AnsiColor::Yellow, Level::WARNING),
        (None, Action::Warn) => ("warning", AnsiColor::Yellow, Level::WARNING),
        (None, Action::Audit | Action::Off) => ("audit", AnsiColor::Green, Level::NOTE),
    }
}

/// Under which name the Job is adopted, if it is.
fn adopted(located: &Located) -> String {
    let name = located.adopted.as_ref();
    name.map_or_else(String::new, |name| {
        format!(", adopted as {}", one_line(name))
    })
}

/// A finding with the line of its file.
fn snippet(located: &Located, source: &Source) -> String {
    let found = &located.finding;
    let (word, _, level) = verdict(found);
    let help = match &found.exception {
        Some(exception) => {
            let (until, name) = (exception.expires_at, &exception.name);
            Level::NOTE.message(format!("by {name} until {until}"))
        }
        None => Level::HELP.message(&*found.remediation),
    };
    let title = format!("{}: {}", found.rule.name, found.rule.reason);
    let file = one_line(&source.file);
    let part = AnnotationKind::Primary.span(source.part.clone());
    let snippet = Snippet::source(source.line.as_str())
        .path(&*file)
        .line_start(source.position.line)
        .annotation(part.label(&found.detail));
    let report = [level
        .with_name(word)
        .primary_title(title)
        .id(found.rule.id)
        .element(snippet)
        .element(Level::NOTE.message(format!(
            "{} of {}{}",
            found.path,
            one_line(&located.job),
            adopted(located)
        )))
        .element(help)];
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    renderer.render(&report)
}

/// The broken rules, with what to write instead.
fn table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    const HEADS: [&str; 5] = ["DENIED", "PATCHED", "WARNED", "AUDITED", "EXEMPTED"];
    writeln!(out, "{:<28}  {}  INSTEAD", "RULE", HEADS.join("  "))?;
    for (rule, counts) in report.rules.values() {
        write!(out, "{:<28}", format!("{} {}", rule.id, rule.name))?;
        for (count, head) in columns(counts).iter().zip(HEADS) {
            write!(out, "  {count:>0$}", head.len())?;
        }
        writeln!(out, "  {}", rule.remediation)?;
    }
    writeln!(out)
}

/// Each finding once: denied, patched, warned, audited or exempted.
fn columns(counts: &Counts) -> [usize; 5] {
    let audited = counts.audit - counts.exempted;
    [
        counts.deny,
        counts.patch,
        counts.warn,
        audited,
        counts.exempted,
    ]
}

/// What could not be checked, or not as it was meant.
fn problems(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for unknown in report.objects.iter().flat_map(|all| &all.unknown_modes) {
        let message = unknown_mode(&unknown.mode);
        writeln!(out, "{}: {}\n", unknown.namespace, one_line(&message))?;
    }
    for problem in &report.problems {
        writeln!(out, "{}\n", told(problem, "could not check "))?;
    }
    for warning in &report.warnings {
        writeln!(out, "{}\n", told(warning, "warning: "))?;
    }
    for ignored in &report.ignored {
        let lead = format!("exception {} is not honoured: ", one_line(&ignored.name));
        writeln!(out, "{}\n", told(&ignored.problem, &lead))?;
    }
    Ok(())
}

/// What a reader should know besides the findings and problems.
fn notes(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let OptedOut { count, jobs } = &report.opted_out;
    if *count > 0 {
        let names: Vec<_> = jobs.iter().take(MAX_NAMES).map(|n| one_line(n)).collect();
        let more = match count - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        writeln!(
            out,
            "{} opted out (migration-warden.io/migration: \"false\"): {}{more}\n",
            counted(*count, "Job"),
            names.join(", ")
        )?;
    }
    if report.skipped_files > 0 {
        let files = counted(report.skipped_files, "file");
        writeln!(
            out,
            "{files} skipped: only names that end in .yaml, .yml or .json are read\n"
        )?;
    }
    if report.jobs == 0 && report.documents.is_some() && report.problems.is_empty() {
        let why = no_migrations(report);
        writeln!(
            out,
            "no migration Job among {}: nothing was checked{why}\n",
            looked_at(report)
        )?;
    }
    Ok(())
}

/// What may be the reason that `check` found no migration Job.
fn no_migrations(report: &Report) -> String {
    if report.others > 0 {
        let others = counted(report.others, "Job");
        return format!(
            ". No selector of the policy matches the labels of {others}, and nothing else shows that one is a \
             migration. Unless the policy has other selectors, a migration Job needs this label:\n  \
             app.kubernetes.io/component: migration"
        );
    }
    if report.opted_out.count > 0 {
        return String::new();
    }
    ". Helm does not render a Job with an unknown hook event: look for `skipping unknown hook` on its stderr".to_owned()
}

/// A problem, after `lead` and its place if it is about a file.
fn told(problem: &Problem, lead: &str) -> String {
    let lead = if problem.file.is_some() { lead } else { "" };
    format!("{lead}{}", one_line(&problem.to_string()))
}

fn looked_at(report: &Report) -> String {
    match &report.objects {
        None => counted(report.documents.unwrap_or_default(), "document"),
        Some(Objects { all, cronjobs, .. }) => format!(
            "{}, {}",
            counted(all - cronjobs, "Job"),
            counted(*cronjobs, "CronJob")
        ),
    }
}

/// `2 problems in 1 of 3 migration Jobs (1 denied, 1 warned), 1 finding exempted`.
fn summary(report: &Report) -> String {
    if report.jobs == 0 {
        let is_unread = report.problems.iter().any(|problem| problem.file.is_some());
        let none = if is_unread {
            "no migration Job could be checked"
        } else {
            "no migration Jobs"
        };
        return none.to_owned();
    }
    let jobs = counted(report.jobs, "migration Job");
    let mut text = match report.counts.problems() {
        0 => format!("no problems in {jobs}"),
        problems => {
            let (problems, faulty) = (counted(problems, "problem"), report.jobs_with_problems);
            let counts = columns(&report.counts);
            let by_action = counts[..4]
                .iter()
                .zip(["denied", "patched", "warned", "audited"]);
            let parts = by_action.filter(|(count, _)| **count > 0);
            let parts: Vec<_> = parts
                .map(|(count, word)| format!("{count} {word}"))
                .collect();
            format!("{problems} in {faulty} of {jobs} ({})", parts.join(", "))
        }
    };
    if report.counts.exempted > 0 {
        let exempted = counted(report.counts.exempted, "finding");
        let _ = write!(text, ", {exempted} exempted");
    }
    text
}

/// How far a scan is.
pub(super) fn progress(report: &Report) -> String {
    format!(
        "{}, {}",
        looked_at(report),
        counted(report.counts.problems() + report.counts.exempted, "finding")
    )
}

pub(crate) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
