//! `check --format human`: each finding with the line it stands in, as compilers show errors.

use std::io::{self, Write};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::core::check::{Located, Report};
use crate::core::policy::Action;
use crate::core::text::one_line;

/// Writes one finding; `out` strips colour where there is no terminal.
pub fn finding(located: &Located, out: &mut impl Write) -> io::Result<()> {
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    writeln!(out, "{}\n", shown(&renderer, located))
}

/// Writes what else there is to say, and the numbers.
pub fn end(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for (what, problems) in [
        ("could not check", &report.problems),
        ("warning:", &report.warnings),
    ] {
        for problem in problems {
            let file = one_line(&problem.file);
            let place = match problem.position {
                Some(at) => format!("{file}:{}:{}", at.line, at.column),
                None => file.into_owned(),
            };
            writeln!(out, "{what} {place}: {}\n", one_line(&problem.message))?;
        }
    }
    for ignored in &report.ignored {
        let [file, name, message] =
            [&ignored.file, &ignored.name, &ignored.message].map(|text| one_line(text));
        let at = ignored.position;
        writeln!(
            out,
            "exception {name} is not honoured: {file}:{}:{}: {message}\n",
            at.line, at.column
        )?;
    }
    let documents = counted(report.documents, "document");
    if report.jobs == 0 {
        writeln!(
            out,
            "no migration Job among {documents}: nothing was judged. Helm leaves a Job with an unknown hook event out \
             of what it renders: look for `skipping unknown hook` on its stderr\n"
        )?;
    }
    let jobs = counted(report.jobs, "migration Job");
    let [deny, patch, warn, audit] =
        [Action::Deny, Action::Patch, Action::Warn, Action::Audit].map(|a| report.count(a));
    writeln!(
        out,
        "{documents}, {jobs}: {deny} denied, {patch} patched, {warn} warned, {audit} audited"
    )
}

fn shown(renderer: &Renderer, located: &Located) -> String {
    let found = &located.finding;
    let level = match found.action {
        Action::Deny | Action::Wait => Level::ERROR.with_name("denied"),
        Action::Patch => Level::WARNING.with_name("patched"),
        Action::Warn => Level::WARNING.with_name("warning"),
        Action::Audit | Action::Off => Level::NOTE.with_name("audit"),
    };
    let (level, help) = match &found.exception {
        Some(exception) => (
            Level::NOTE.with_name("excepted"),
            Level::NOTE.message(format!(
                "until {} by {}",
                exception.expires_at, exception.name
            )),
        ),
        None => (level, Level::HELP.message(&*found.remediation)),
    };
    let (line, part) = &located.source;
    let title = format!("{}: {}", found.rule.name, found.rule.reason);
    let file = one_line(&located.file);
    let snippet = Snippet::source(line.as_str())
        .path(&*file)
        .line_start(located.position.line)
        .annotation(
            AnnotationKind::Primary
                .span(part.clone())
                .label(&found.detail),
        );
    let report = [level
        .primary_title(title)
        .id(found.rule.id)
        .element(snippet)
        .element(Level::NOTE.message(format!("{} of {}", found.path, one_line(&located.job))))
        .element(help)];
    renderer.render(&report)
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
