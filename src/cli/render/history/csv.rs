//! `history --output csv`: a line for each migration, with the fields of `--output json` (RFC 4180).
//!
//! It is made to be opened in a spreadsheet, which takes a text that begins like a formula for one. Such a text
//! gets an apostrophe before it.

use std::io::{self, Write};

use ::csv::{Terminator, WriterBuilder};
use jiff::Timestamp;

use super::shown;
use crate::core::history::Entry;

/// Writes the entries below a line with the names of the fields.
pub(crate) fn write(entries: &[Entry], out: &mut impl Write) -> io::Result<()> {
    let mut csv = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(out);
    csv.write_record(FIELDS)?;
    for entry in entries {
        csv.write_record(record(entry))?;
    }
    csv.flush()
}

const FIELDS: [&str; 24] = [
    "namespace",
    "release",
    "migration",
    "job",
    "job_uid",
    "attempt",
    "outcome",
    "admitted_at",
    "started_at",
    "finished_at",
    "duration_seconds",
    "reason",
    "exit_code",
    "message",
    "requested_by",
    "deployer",
    "chart",
    "tool",
    "images",
    "image_ids",
    "reviewed",
    "decision",
    "exceptions",
    "run",
];

fn record(entry: &Entry) -> [String; FIELDS.len()] {
    let time = |time: Option<Timestamp>| time.map_or_else(String::new, |time| time.to_string());
    let text = |text: &Option<String>| text.as_deref().map_or_else(String::new, no_formula);
    let list = |list: &[String]| no_formula(&list.join(" "));
    [
        no_formula(&entry.namespace),
        no_formula(&entry.release),
        no_formula(&entry.migration),
        no_formula(&entry.job),
        no_formula(&entry.job_uid),
        entry.attempt.to_string(),
        <&str>::from(entry.outcome).to_owned(),
        time(entry.admitted_at),
        time(entry.started_at),
        time(entry.finished_at),
        entry
            .duration_seconds
            .map_or_else(String::new, |seconds| seconds.to_string()),
        text(&entry.reason),
        entry
            .exit_code
            .map_or_else(String::new, |code| code.to_string()),
        text(&entry.message),
        text(&entry.requested_by),
        format!("{:?}", entry.deployer),
        text(&entry.chart),
        text(&entry.tool),
        list(&entry.images),
        list(&entry.image_ids),
        entry.reviewed.to_string(),
        text(&entry.decision),
        list(&entry.exceptions),
        no_formula(&entry.run),
    ]
}

fn no_formula(text: &str) -> String {
    let text = shown(text);
    // Those of full width count, too, where people write so.
    let begins = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    if text.trim_start().starts_with(begins) {
        format!("'{text}")
    } else {
        text
    }
}
