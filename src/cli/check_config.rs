//! `migration-warden check-config`: validates a policy file, and prints the actions in force.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::output_args::{Format, Output};
use super::render::problems;
use crate::core::policy::rules::RULES;

/// Arguments of `check-config`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policy file to validate. `-` reads standard input.
    #[arg(value_name = "FILE", required_unless_present = "filename")]
    file: Option<PathBuf>,
    /// The same, as in `kubectl`.
    #[arg(long, short = 'f', value_name = "FILE", conflicts_with = "file")]
    filename: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let file = self.file.or(self.filename).unwrap_or_default();
        let read = super::read_policy(&file, None);
        if let (Err(error), Format::Json) = (&read, self.output.output) {
            let report = json!({"version": 1, "problems": problems(error)});
            writeln!(anstream::stdout(), "{report:#}")?;
        }
        let policy = read?;
        let rules = || RULES.iter().zip(&policy.actions);
        let mut out = anstream::stdout().lock();
        match self.output.output {
            Format::Human if self.output.quiet => {}
            Format::Human => {
                let file = super::files::name(&file);
                writeln!(out, "{file}: policy {} is valid\n", policy.hash)?;
                for (rule, action) in rules() {
                    writeln!(out, "{}  {:<22} {}", rule.id, rule.name, action.as_str())?;
                }
                let names: Vec<&str> = policy.fail_open().collect();
                if !names.is_empty() {
                    writeln!(
                        out,
                        "\nadopted as {}: fails open, because the API server cannot recognise tools",
                        names.join(", ")
                    )?;
                }
            }
            Format::Json => {
                let rules: Value = rules()
                    .map(|(rule, action)| json!({"id": rule.id, "name": rule.name, "action": action}))
                    .collect();
                let fail_open: Value = policy.fail_open().collect();
                let report = json!({"version": 1, "policy": policy.hash, "rules": rules, "failOpen": fail_open});
                writeln!(out, "{report:#}")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
