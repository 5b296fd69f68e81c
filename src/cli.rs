//! The command line. Each verb has a file that parses its arguments and prints its report.
//!
//! Exit codes: 0 if nothing is wrong, 1 if something is denied, 2 if the verb could not do its work.

mod certs;
mod check;
mod check_config;
mod client;
mod explain;
mod files;
mod generate;
mod history;
mod hold_listener;
mod kube_args;
mod output_args;
mod progress;
pub mod render;
mod scan;
mod schema;
mod serve;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::output_args::{Output, ReportFormat};
use crate::core::policy::Policy;
use crate::core::policy_file::validate;
use crate::core::report::Report;

/// Admission webhook and CLI for schema-migration Jobs that run as Helm hooks.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the admission webhook.
    Serve(Box<serve::Args>),
    /// Check rendered manifests against the policy.
    Check(check::Args),
    /// Check the Jobs that already exist in a cluster.
    Scan(scan::Args),
    /// List past migrations and their outcomes.
    History(history::Args),
    /// Validate a policy file.
    CheckConfig(check_config::Args),
    /// Explain a rule, or list all rules.
    Explain(explain::Args),
    /// Generate manifests from the policy.
    Generate(generate::Args),
    /// Print the JSON Schema of the policy file or of the decision log.
    Schema(schema::Args),
    /// Test whether the webhook is enforced in a namespace.
    Verify(verify::Args),
    /// Create certificates for development.
    Certs(certs::Args),
    /// Hold the listening socket open while `serve` restarts (internal).
    #[command(hide = true)]
    HoldListener(hold_listener::Args),
}

/// Exit code of a verb that could not do its work: 2, as for `diff` and `grep`.
const COULD_NOT: u8 = 2;

impl Args {
    /// Runs the verb and prints its error, if any, to stderr.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let result = match self.verb {
            Verb::Serve(args) => args.run(),
            Verb::Check(args) => args.run(),
            Verb::Scan(args) => args.run(),
            Verb::History(args) => args.run(),
            Verb::CheckConfig(args) => args.run(),
            Verb::Explain(args) => args.run(),
            Verb::Generate(args) => args.run(),
            Verb::Schema(args) => args.run(),
            Verb::Verify(args) => args.run(),
            Verb::Certs(args) => args.run(),
            Verb::HoldListener(args) => args.run(),
        };
        result.unwrap_or_else(|error| {
            if is_broken_pipe(&error) {
                return ExitCode::SUCCESS;
            }
            progress::clear();
            let _ = writeln!(anstream::stderr(), "error: {}", told(&error));
            ExitCode::from(COULD_NOT)
        })
    }
}

/// The exit code of `check` and `scan`.
fn exit_code(output: Output<ReportFormat>, report: &Report) -> ExitCode {
    if !report.problems.is_empty() {
        ExitCode::from(COULD_NOT)
    } else if report.counts.deny > 0 && output.output != ReportFormat::Adopt {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Formats an error with its causes. A cause that the error already ends with is left out: the errors of this crate
/// include their causes, because the log prints only the error itself. The system's number of an error is left out,
/// too, because its words are there.
fn told(error: &anyhow::Error) -> String {
    let mut told = error
        .chain()
        .map(ToString::to_string)
        .reduce(|told, cause| {
            if told.ends_with(&cause) {
                told
            } else {
                format!("{told}: {cause}")
            }
        })
        .unwrap_or_default();
    while let Some(start) = told.find(" (os error ")
        && let Some(length) = told[start..].find(')')
    {
        told.replace_range(start..=start + length, "");
    }
    told
}

/// Whether the reader of stdout has closed it, as `| head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        kind == Some(std::io::ErrorKind::BrokenPipe)
    })
}

/// Reads the policy from `config`, or returns the built-in policy.
fn policy(config: Option<&PathBuf>) -> anyhow::Result<Policy> {
    match config {
        Some(path) => read_policy(path, Some("--config")),
        None => Ok(validate::builtin()),
    }
}

/// Reads a policy file. `flag` is the one that names it, for the message.
fn read_policy(path: &Path, flag: Option<&str>) -> anyhow::Result<Policy> {
    Ok(validate::read(
        &files::name(path),
        &files::text(path, flag)?,
    )?)
}
