//! Limits each text in a log line to one line and a maximum length, because errors quote other programs.

use std::fmt::{self, Debug};

use serde_json::Value;
use tracing::field::Field;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::BACKTRACE;
use crate::core::text;

/// Fields of a human-readable line.
pub(super) fn fields() -> impl for<'w> FormatFields<'w> {
    let field = |out: &mut Writer<'_>, field: &Field, value: &dyn Debug| {
        let whole = format!("{value:?}");
        let value = if field.name() == BACKTRACE {
            whole.as_str().into()
        } else {
            text::bounded(&whole, text::DETAIL)
        };
        match field.name() {
            "message" => out.write_str(&value),
            name => write!(out, "{name}={value}"),
        }
    };
    format::debug_fn(field).delimited(" ")
}

/// A JSON line. The wrapped formatter writes it first, and long texts in it are cut afterwards.
pub(super) struct Json<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Json<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        // JSON escapes newlines, so a short line needs no change.
        if line.len() <= text::DETAIL && line.is_ascii() {
            return out.write_str(&line);
        }
        let mut value = serde_json::from_str(&line).map_err(|_| fmt::Error)?;
        shorten(&mut value);
        writeln!(out, "{value}")
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(whole) => *whole = text::bounded(whole, text::DETAIL).into_owned(),
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(fields) => {
            let fields = fields.iter_mut().filter(|(name, _)| *name != BACKTRACE);
            fields.for_each(|(_, value)| shorten(value));
        }
        _ => {}
    }
}
