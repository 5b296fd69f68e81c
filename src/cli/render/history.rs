//! `history --output table` and `wide`: a line for each migration, below the name of its release.
//!
//! The names and messages in it are written by users, and by the programs that they run.

pub(crate) mod csv;

use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Style};
use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use jiff::{SignedDuration, Timestamp};

use crate::core::history::Entry;
use crate::core::runs::resource::Outcome;
use crate::core::text;

/// How much is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Also what deployed it, which chart, and the decision.
    pub wide: bool,
    /// Columns of the terminal, if there is one.
    pub width: Option<usize>,
}

/// Where the reason of a failure begins: below the outcome.
const INDENT: usize = 23;

/// Writes the entries, which are in order; `out` strips colour if there is no terminal.
pub(crate) fn table(
    entries: &[Entry],
    layout: Layout,
    now: Timestamp,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut heads = vec!["WHEN (UTC)", "OUTCOME", "TOOK", "TRY", "JOB", "BY"];
    if layout.wide {
        heads.extend(["DEPLOYER", "CHART", "DECISION"]);
    }
    let rows: Vec<_> = entries.iter().map(|e| cells(e, layout, now)).collect();
    let widths: Vec<_> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default().max(head.len())
        })
        .collect();
    let heads: Vec<_> = heads.into_iter().map(str::to_owned).collect();
    let plain = Style::new();
    line(&heads, &widths, plain, out)?;
    let mut release = None;
    for (entry, row) in entries.iter().zip(&rows) {
        let of = (&entry.namespace, &entry.release);
        if release != Some(of) {
            let bold = Style::new().bold();
            let (namespace, name) = (shown(&entry.namespace), shown(&entry.release));
            writeln!(out, "{bold}release {name} in namespace {namespace}{bold:#}")?;
            release = Some(of);
        }
        line(row, &widths, colour(entry.outcome), out)?;
        let why = why(entry);
        if !why.is_empty() {
            let room = layout.width.map(|width| width.saturating_sub(INDENT));
            writeln!(out, "{:INDENT$}{}", "", cut(&why, room))?;
        }
    }
    Ok(())
}

fn cells(entry: &Entry, layout: Layout, now: Timestamp) -> Vec<String> {
    let when = entry
        .began()
        .map_or_else(none, |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string());
    let running = entry.outcome == Outcome::Running;
    let so_far = entry.started_at.or(entry.began()).filter(|_| running);
    let took = entry
        .duration_seconds
        .or(so_far.map(|began| now.duration_since(began).as_secs()));
    let text = |text: &Option<String>| text.as_deref().map_or_else(none, shown);
    let mut cells = vec![
        when,
        <&str>::from(entry.outcome).to_owned(),
        took.map_or_else(none, duration),
        entry.attempt.to_string(),
        shown(&entry.job),
        text(&entry.requested_by),
    ];
    if layout.wide {
        cells.extend([
            <&str>::from(entry.deployer).to_owned(),
            text(&entry.chart),
            text(&entry.decision),
        ]);
    }
    cells
}

fn line(
    cells: &[String],
    widths: &[usize],
    outcome: Style,
    out: &mut impl Write,
) -> io::Result<()> {
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let style = if column == 1 { outcome } else { Style::new() };
        // No blanks at the end of a line.
        let width = if column + 1 == cells.len() { 0 } else { *width };
        write!(out, "  {style}{cell:<width$}{style:#}")?;
    }
    writeln!(out)
}

/// How it ended, beyond the outcome, and how it came in.
fn why(entry: &Entry) -> String {
    let mut parts = Vec::new();
    // What succeeded has 0.
    let code = entry
        .exit_code
        .filter(|_| entry.outcome != Outcome::Succeeded);
    let code = code.map(|code| format!("exit code {code}"));
    let ended: Vec<_> = [entry.reason.as_deref().map(shown), code]
        .into_iter()
        .flatten()
        .collect();
    match (ended.join(", "), entry.message.as_deref().map(shown)) {
        (ended, None) => parts.push(ended),
        (ended, Some(message)) if ended.is_empty() => parts.push(message),
        (ended, Some(message)) => parts.push(format!("{ended}: {message}")),
    }
    if let Some(name) = &entry.adopted {
        parts.push(format!("adopted as {}", shown(name)));
    }
    if !entry.reviewed {
        parts.push("unreviewed: created without a decision".to_owned());
    }
    if !entry.exceptions.is_empty() {
        parts.push(format!(
            "exempted by {}",
            shown(&entry.exceptions.join(", "))
        ));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}

fn colour(outcome: Outcome) -> Style {
    let colour = match outcome {
        Outcome::Succeeded => AnsiColor::Green,
        Outcome::Failed => AnsiColor::Red,
        Outcome::Running => AnsiColor::Cyan,
        Outcome::Deleted | Outcome::Lost => AnsiColor::Yellow,
    };
    colour.on_default()
}

fn none() -> String {
    "-".to_owned()
}

fn duration(seconds: i64) -> String {
    let printer = SpanPrinter::new()
        .spacing(Spacing::None)
        .designator(Designator::Compact);
    printer.duration_to_string(&SignedDuration::from_secs(seconds))
}

/// A foreign text in one line, without what a terminal would obey.
fn shown(text: &str) -> String {
    text::one_line(text.trim_end()).into_owned()
}

/// The text, or as much of it as there is room for.
fn cut(text: &str, room: Option<usize>) -> String {
    const MORE: &str = "...";
    match room {
        Some(room) if text.chars().count() > room => {
            let kept = text.chars().take(room.saturating_sub(MORE.len()));
            kept.chain(MORE.chars()).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
