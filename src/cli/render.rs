//! Writes what `check`, `scan` and `history` found, for people and for programs.

pub(crate) mod history;
pub mod json;
pub mod text;

use std::io::{self, BufWriter, StdoutLock, Write};

use anstream::AutoStream;

use crate::cli::output_args::{Format, Output};
use crate::cli::progress;
use crate::core::policy_file::validate::InvalidPolicy;
use crate::core::report::{Located, Problem, Report};

/// Writes a report in one format, piece by piece.
pub trait Render {
    /// Writes what comes before the findings.
    fn begin(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

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
    pub(super) fn begin(args: Output) -> Self {
        let mut output = Self {
            out: BufWriter::new(anstream::stdout().lock()),
            render: match args.output {
                Format::Human => Box::new(text::Text::new(args.quiet)),
                Format::Json => Box::new(json::Json::default()),
            },
            result: Ok(()),
        };
        output.result = output.render.begin(&mut output.out);
        output
    }

    pub(super) fn finding(&mut self, located: &Located) {
        // stdout and stderr may be the same terminal.
        progress::clear();
        if self.result.is_ok() {
            self.result = self.render.finding(located, &mut self.out);
        }
    }

    /// Shows on stderr how far a scan is.
    pub(super) fn progress(&mut self, report: &Report) -> io::Result<()> {
        std::mem::replace(&mut self.result, Ok(()))?;
        self.out.flush()?;
        progress::show(&text::progress(report));
        Ok(())
    }

    pub(super) fn end(mut self, report: &Report) -> io::Result<()> {
        progress::clear();
        self.result?;
        self.render.end(report, &mut self.out)?;
        self.out.flush()
    }
}

/// Prints the error of a verb that could not begin as a report, too, if its output is for programs.
pub(super) fn or_report<T>(args: Output, result: anyhow::Result<T>) -> anyhow::Result<T> {
    let Err(error) = &result else { return result };
    if args.output == Format::Json {
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
