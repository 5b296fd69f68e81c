//! Prints a scan, and shows its progress.

use std::io::{self, BufWriter, StdoutLock, Write};

use anstream::AutoStream;

use super::Format;
use crate::cli::progress::Progress;
use crate::cli::render::scan::{human, json};
use crate::core::scan::{Judged, Tally};

/// Writes the report to stdout and the progress to stderr.
pub(super) struct Output {
    out: BufWriter<AutoStream<StdoutLock<'static>>>,
    /// `None` for the human-readable format.
    json: Option<json::Writer>,
    progress: Progress,
}

impl Output {
    pub(super) fn begin(format: Format) -> io::Result<Self> {
        let mut output = Self {
            out: BufWriter::new(anstream::stdout().lock()),
            json: None,
            progress: Progress::new(),
        };
        if let Format::Json = format {
            let writer = json::Writer::default();
            writer.begin(&mut output.out)?;
            output.json = Some(writer);
        }
        Ok(output)
    }

    /// Prints these migrations and updates the progress.
    pub(super) fn judged(&mut self, all: &[Judged], tally: &Tally) -> io::Result<()> {
        if !all.is_empty() {
            // stdout and stderr may be the same terminal.
            self.progress.clear();
            match &mut self.json {
                Some(json) => json.judged(all, &mut self.out)?,
                None => human::judged(all, &mut self.out)?,
            }
            self.out.flush()?;
        }
        self.progress.show(&human::progress(tally));
        Ok(())
    }

    /// Prints a note to stderr.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        self.progress.clear();
        writeln!(anstream::stderr(), "note: {text}")
    }

    pub(super) fn end(mut self, tally: &Tally, problems: &[String]) -> io::Result<()> {
        self.progress.clear();
        match &self.json {
            Some(json) => json.end(tally, problems, &mut self.out)?,
            None => human::end(tally, problems, &mut self.out)?,
        }
        self.out.flush()
    }
}
