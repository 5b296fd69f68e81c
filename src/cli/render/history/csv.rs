//! `history --output csv`: a line for each migration, with the fields of `--output json` (RFC 4180).
//!
//! It is made to be opened in a spreadsheet, which takes a text that begins like a formula for one. Such a text
//! gets an apostrophe before it.

use std::io::{self, Write};

use ::csv::{Terminator, WriterBuilder};

use super::shown;
use crate::core::history::Entry;

/// Writes the entries below a line with the names of the fields.
pub(crate) fn write(entries: &[Entry], out: &mut impl Write) -> io::Result<()> {
    let mut csv = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(out);
    csv.write_record(FIELDS.map(|(name, _)| name))?;
    for entry in entries {
        csv.write_record(FIELDS.map(|(_, value)| value(entry)))?;
    }
    csv.flush()
}

type Field = (&'static str, fn(&Entry) -> String);

const FIELDS: [Field; 25] = [
    ("namespace", |entry| no_formula(&entry.namespace)),
    ("release", |entry| no_formula(&entry.release)),
    ("migration", |entry| no_formula(&entry.migration)),
    ("job", |entry| no_formula(&entry.job)),
    ("job_uid", |entry| no_formula(&entry.job_uid)),
    ("attempt", |entry| entry.attempt.to_string()),
    ("outcome", |entry| <&str>::from(entry.outcome).to_owned()),
    ("admitted_at", |entry| known(entry.admitted_at)),
    ("started_at", |entry| known(entry.started_at)),
    ("finished_at", |entry| known(entry.finished_at)),
    ("duration_seconds", |entry| known(entry.duration_seconds)),
    ("reason", |entry| text(entry.reason.as_ref())),
    ("exit_code", |entry| known(entry.exit_code)),
    ("message", |entry| text(entry.message.as_ref())),
    ("requested_by", |entry| text(entry.requested_by.as_ref())),
    ("deployer", |entry| <&str>::from(entry.deployer).to_owned()),
    ("chart", |entry| text(entry.chart.as_ref())),
    ("tool", |entry| text(entry.tool.as_ref())),
    ("images", |entry| no_formula(&entry.images.join(" "))),
    ("image_ids", |entry| no_formula(&entry.image_ids.join(" "))),
    ("reviewed", |entry| entry.reviewed.to_string()),
    ("decision", |entry| text(entry.decision.as_ref())),
    ("exceptions", |entry| {
        no_formula(&entry.exceptions.join(" "))
    }),
    ("run", |entry| no_formula(&entry.run)),
    ("adopted", |entry| text(entry.adopted.as_ref())),
];

fn known(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn text(text: Option<&String>) -> String {
    text.map_or_else(String::new, |text| no_formula(text))
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
