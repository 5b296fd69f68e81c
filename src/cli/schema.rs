//! `migration-warden schema`: prints the JSON Schema of the policy file or of the decision log.

use std::io::Write;
use std::process::ExitCode;

use crate::core::decision;
use crate::core::policy_file;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which schema to print.
    #[arg(value_enum, default_value = "policy")]
    what: What,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// The policy file.
    Policy,
    /// A line of the decision log.
    DecisionLog,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let schema = match self.what {
            What::Policy => policy_file::JSON_SCHEMA,
            What::DecisionLog => decision::JSON_SCHEMA,
        };
        anstream::stdout().lock().write_all(schema.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
