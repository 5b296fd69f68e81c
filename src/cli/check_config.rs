//! `migration-warden check-config`: validates a policy file.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `check-config`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policy file to validate.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let policy = super::read_policy(&self.file)?;
        writeln!(
            anstream::stdout(),
            "{}: policy {} is valid",
            self.file.display(),
            policy.hash
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
