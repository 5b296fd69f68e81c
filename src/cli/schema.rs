//! `migration-warden schema`: the JSON Schemas of what others write for the program, and read from it.

use std::io::Write;
use std::process::ExitCode;

use crate::{config, record};

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Of what.
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
        let mut out = anstream::stdout().lock();
        match self.what {
            What::Policy => {
                serde_json::to_writer_pretty(&mut out, &config::schema())?;
                writeln!(out)?;
            }
            What::DecisionLog => out.write_all(record::JSON_SCHEMA.as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
