//! Writes what `check`, `scan` and `history` found, for people and for programs.

mod adopt;
pub(crate) mod history;
pub mod json;
pub mod text;

use std::io::{self, BufWriter, StdoutLock, Write};

use anstream::AutoStream;

use crate::cli::output_args::{Output, ReportFormat};
use crate::cli::progress;
use crate::core::job::Job;
use crate::core::policy::select::Selection;
use crate::core::policy_file::validate::InvalidPolicy;
use crate::core::report::{Located, Problem, Report, Sink};

/// Writes a report in one format, piece by piece.
pub trait Render {
    /// Writes what comes before the findings.
    fn begin(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    /// Takes one Job or CronJob, before its findings.
    fn job(&mut self, _job: &Job<'_>, _selection: Selection) {}

    /// Writes one finding.
    fn finding(&mut self, located: &Located, out: &mut dyn Write) -> io::Result<()>;

    /// Writes everything else.
    fn end(&mut self, report: &Report, out: &mut dyn Write) -> io::Result<()>;
}

/// Prints a report. Each finding is printed as soon as it is found, because all of them might not fit in memory.
pub(super) struct Printer {
    out: BufWriter<AutoStream<StdoutLock<'static>>>,
    render: Box<dyn Render>,
    /// The first write error. Nothing is written after it.
    result: io::Result<()>,
}

impl Printer {
    pub(super) fn begin(args: Output<ReportFormat>) -> Self {
        let mut output = Self {
            out: BufWriter::new(anstream::stdout().lock()),
            render: match args.output {
                ReportFormat::Human => Box::new(text::Text::new(args.quiet)),
                ReportFormat::Json => Box::new(json::Json::default()),
                ReportFormat::Adopt => Box::new(adopt::Adopt::default()),
            },
            result: Ok(()),
        };
        output.result = output.render.begin(&mut output.out);
        output
    }

    pub(super) fn end(mut self, report: &Report) -> io::Result<()> {
        progress::clear();
        self.result?;
        self.render.end(report, &mut self.out)?;
        self.out.flush()
    }
}

impl Sink for Printer {
    fn job(&mut self, job: &Job<'_>, selection: Selection, _: Option<&str>) {
        self.render.job(job, selection);
    }

    fn finding(&mut self, located: Located) {
        // stdout and stderr may be the same terminal.
        progress::clear();
        if self.result.is_ok() {
            self.result = self.render.finding(&located, &mut self.out);
        }
    }

    /// Shows on stderr how far a scan is.
    fn page(&mut self, so_far: &Report) -> io::Result<()> {
        std::mem::replace(&mut self.result, Ok(()))?;
        self.out.flush()?;
        progress::show(&text::progress(so_far));
        Ok(())
    }
}

/// Prints the error of a verb that could not begin as a report, too, if its output is for programs.
pub(super) fn or_report<T>(
    args: Output<ReportFormat>,
    result: anyhow::Result<T>,
) -> anyhow::Result<T> {
    let Err(error) = &result else { return result };
    if args.output == ReportFormat::Json {
        Printer::begin(args).end(&Report {
            problems: problems(error),
            ..Report::default()
        })?;
    }
    result
}

/// The faults of a policy file, or the one problem that an error tells.
pub(super) fn problems(error: &anyhow::Error) -> Vec<Problem> {
    match error.downcast_ref::<InvalidPolicy>() {
        Some(InvalidPolicy(faults)) => faults.clone(),
        None => vec![Problem {
            file: None,
            position: None,
            message: super::told(error),
        }],
    }
}

#[cfg(test)]
mod tests;
