//! `migration-warden schema`: the JSON Schema of the policy file.

use std::io::Write;
use std::process::ExitCode;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    let mut out = anstream::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &crate::config::schema())?;
    writeln!(out)?;
    Ok(ExitCode::SUCCESS)
}
