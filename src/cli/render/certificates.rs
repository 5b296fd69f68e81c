//! What `certs inspect` prints.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use crate::core::pki::inspect::{Report, about, shown};
use crate::core::text::one_line;

/// Version of the JSON's shape. Fields are added, never changed.
const VERSION: u32 = 1;

/// Writes a block for each certificate, as `kubectl describe` does, then a line for each check.
pub fn human(report: &Report, now: Timestamp, out: &mut impl Write) -> io::Result<()> {
    for found in &report.certificates {
        let facts = &found.facts;
        let left = facts.not_after.duration_since(now);
        let left = if left.is_negative() {
            format!("expired {} ago", about(left))
        } else {
            format!("{} left", about(left))
        };
        writeln!(out, "{}", one_line(&found.file))?;
        writeln!(out, "  Subject:     {}", one_line(&facts.subject))?;
        writeln!(out, "  Issuer:      {}", one_line(&facts.issuer))?;
        if !facts.names.is_empty() {
            writeln!(out, "  Names:       {}", one_line(&facts.names.join(", ")))?;
        }
        writeln!(out, "  Not before:  {}", shown(facts.not_before))?;
        writeln!(out, "  Not after:   {} ({left})", shown(facts.not_after))?;
        writeln!(
            out,
            "  CA:          {}",
            if facts.is_ca { "yes" } else { "no" }
        )?;
        writeln!(out, "  Key:         {}\n", facts.key)?;
    }
    for check in &report.checks {
        let word = if check.ok { "ok" } else { "failed" };
        let [file, message] = [&check.file, &check.message].map(|text| one_line(text));
        writeln!(out, "{word:<6}  {file}: {message}")?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Output<'a> {
    version: u32,
    #[serde(flatten)]
    report: &'a Report,
    ok: bool,
}

/// Writes the report as one JSON object.
pub fn json(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let output = Output {
        version: VERSION,
        report,
        ok: report.is_fine(),
    };
    serde_json::to_writer_pretty(&mut *out, &output)?;
    writeln!(out)
}
