//! Prints a check. Each finding is printed as soon as it is found, because all of them might not fit in memory.

use std::io::{self, BufWriter, StdoutLock, Write};

use anstream::AutoStream;

use super::Format;
use crate::cli::render::{human, json};
use crate::core::check::{Located, Report};

/// Writes the report to stdout.
pub(super) struct Output {
    out: BufWriter<AutoStream<StdoutLock<'static>>>,
    /// `None` for the human-readable format.
    json: Option<json::Writer>,
    /// The first write error. Nothing is written after it.
    result: io::Result<()>,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self {
            out: BufWriter::new(anstream::stdout().lock()),
            json: matches!(format, Format::Json).then(json::Writer::default),
            result: Ok(()),
        }
    }

    pub(super) fn begin(&mut self) -> io::Result<()> {
        match &self.json {
            Some(json) => json.begin(&mut self.out),
            None => Ok(()),
        }
    }

    /// Prints one finding.
    pub(super) fn finding(&mut self, located: &Located) {
        if self.result.is_ok() {
            self.result = match &mut self.json {
                Some(json) => json.finding(located, &mut self.out),
                None => human::finding(located, &mut self.out),
            };
        }
    }

    pub(super) fn end(mut self, report: &Report) -> io::Result<()> {
        self.result?;
        match &self.json {
            Some(json) => json.end(report, &mut self.out)?,
            None => human::end(report, &mut self.out)?,
        }
        self.out.flush()
    }
}
