//! `-o adopt` of `check` and `scan`: entries for the policy's `adopt`, ready to be pasted into the policy file or below
//! `policy` in the chart's values. Everything else is a comment.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::Render;
use super::text::counted;
use crate::core::job::Job;
use crate::core::policy::adopt::Entry;
use crate::core::policy::select::Selection;
use crate::core::proposal::{Proposal, Proposed, Seen};
use crate::core::report::{Located, Report};
use crate::core::text::one_line;

/// Most Jobs that a comment names.
const MAX_NAMES: usize = 5;

/// Writes the entries at the end, from all Jobs.
#[derive(Debug, Default)]
pub(crate) struct Adopt(Proposal);

impl Render for Adopt {
    fn job(&mut self, job: &Job<'_>, selection: Selection) {
        self.0.add(job, selection);
    }

    fn finding(&mut self, _: &Located, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        for problem in &report.problems {
            writeln!(out, "# could not check: {}", one_line(&problem.to_string()))?;
        }
        if self.0.is_full {
            let advice = "read one namespace at a time with --namespace";
            writeln!(
                out,
                "# There are too many Jobs, and some are not compared; {advice}."
            )?;
        }
        let none = BTreeSet::new();
        let known = report.objects.as_ref().map_or(&none, |of| &of.namespaces);
        let (proposed, left) = self.0.entries(known, &report.entries);
        if !left.is_empty() {
            let (jobs, names) = (counted(left.len(), "detected Job"), names(&left));
            writeln!(
                out,
                "# No entry is proposed for {jobs}, because it would match other Jobs, or be too long: {names}"
            )?;
        }
        if proposed.is_empty() {
            return writeln!(out, "# No detected Job needs an entry.\nadopt: []");
        }
        if !report.entries.is_empty() {
            writeln!(
                out,
                "# Write these entries after those that the policy has."
            )?;
        }
        writeln!(out, "adopt:")?;
        proposed.iter().try_for_each(|of| proposal(of, out))
    }
}

fn proposal(proposed: &Proposed<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Proposed {
        entry,
        jobs,
        others,
    } = proposed;
    writeln!(
        out,
        "  # Matches {}: {}",
        counted(jobs.len(), "Job"),
        names(jobs)
    )?;
    if !others.is_empty() {
        let (count, names) = (counted(others.len(), "other Job"), names(others));
        writeln!(out, "  # Does not match {count} here: {names}")?;
    }
    if entry.database.is_some() {
        writeln!(
            out,
            "  # The names change besides a timestamp, so `database` makes the attempts wait for each other."
        )?;
    }
    write(entry, out)
}

fn write(entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  - name: {:?}\n    match:", entry.name)?;
    for (key, values) in entry.matching.lists() {
        let values: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
        writeln!(out, "      {key}: [{}]", values.join(", "))?;
    }
    for (key, value) in &entry.matching.labels {
        writeln!(out, "      labels: {{{key:?}: {value:?}}}")?;
    }
    writeln!(out, "    rules: {}", entry.rules.as_str())?;
    match &entry.database {
        Some(database) => writeln!(out, "    database: {database:?}"),
        None => Ok(()),
    }
}

/// The first of these Jobs.
fn names(jobs: &[&Seen]) -> String {
    let name = |job: &&Seen| {
        let slash = if job.namespace.is_empty() { "" } else { "/" };
        let name = format!("{}{slash}{}", job.namespace, job.name);
        one_line(&name).into_owned()
    };
    let first: Vec<_> = jobs.iter().take(MAX_NAMES).map(name).collect();
    let more = match jobs.len() - first.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", first.join(", "))
}
