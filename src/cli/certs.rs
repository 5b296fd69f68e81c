//! `migration-warden certs`: creates certificates for development.

mod make;

use std::process::ExitCode;

use clap::Subcommand;

/// Arguments of `certs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a CA and a server certificate for development.
    Make(make::Args),
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::Make(args) => args.run(),
        }
    }
}
