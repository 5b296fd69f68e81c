//! `migration-warden certs`: certificates for development, and a look at any.

mod inspect;
mod make;

use std::process::ExitCode;

use clap::Subcommand;
use jiff::{SignedDuration, Span, SpanRelativeTo};

/// Arguments of `certs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a CA and a server certificate, for development.
    Make(make::Args),
    /// Tell what certificates hold, and whether they are any good.
    Inspect(inspect::Args),
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::Make(args) => args.run(),
            Verb::Inspect(args) => args.run(),
        }
    }
}

/// A duration that may be given in days, which have 24 hours here.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let parsed = text.parse::<Span>().ok();
    parsed
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
        .filter(|duration| !duration.is_negative())
        .ok_or_else(|| "no duration; write one such as 30d or 12h".to_owned())
}
