//! `migration-warden check-config`: validates a policy file, and prints what is in force: actions and entries of `adopt`.

mod against;

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::kube_args::block_on;
use super::output_args::{Format, Output};
use super::render::problems;
use crate::core::policy::adopt::{DETECTED, Entry, Promises};
use crate::core::policy::rules::RULES;
use crate::core::policy::{Action, Policy};

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
    #[command(flatten)]
    against: against::Against,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        self.output.begin();
        let file = self.file.or(self.filename).unwrap_or_default();
        let read = super::read_policy(&file, None);
        if let (Err(error), Format::Json) = (&read, self.output.output) {
            let report = json!({"version": 1, "problems": problems(error)});
            writeln!(anstream::stdout(), "{report:#}")?;
        }
        let policy = read?;
        let rules = || RULES.iter().zip(&policy.actions);
        let mut out = BufWriter::new(anstream::stdout().lock());
        match self.output.output {
            Format::Human if self.output.quiet => {}
            Format::Human => {
                let file = super::files::name(&file);
                writeln!(out, "{file}: policy {} is valid\n", policy.hash)?;
                for (rule, action) in rules() {
                    writeln!(out, "{}  {:<22} {}", rule.id, rule.name, action.as_str())?;
                }
                write!(out, "{}", adoption(&policy))?;
            }
            Format::Json => {
                let rules: Value = rules()
                    .map(|(rule, action)| json!({"id": rule.id, "name": rule.name, "action": action}))
                    .collect();
                let detection = json!({"maxAction": policy.detection, "promises": policy.promises});
                let fail_open: Value = policy.fail_open().collect();
                let report = json!({
                    "version": 1, "policy": policy.hash, "rules": rules, "adopt": policy.adopt.entries(),
                    "detection": detection, "failOpen": fail_open,
                });
                let report = format!("{report:#}");
                // The comparison goes on in the same object.
                let open = report
                    .strip_suffix("\n}")
                    .filter(|_| self.against.is_given());
                match open {
                    Some(open) => write!(out, "{open}")?,
                    None => writeln!(out, "{report}")?,
                }
            }
        }
        out.flush()?;
        if !self.against.is_given() {
            return Ok(ExitCode::SUCCESS);
        }
        let Output { output, quiet } = self.output;
        let problems = block_on(self.against.write(&policy, output, quiet, &mut out))?;
        out.flush()?;
        Ok(if problems.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(super::COULD_NOT)
        })
    }
}

/// The entries of `adopt`, and what detection adopts, each in a line.
fn adoption(policy: &Policy) -> String {
    let mut text = String::new();
    let line = |name: &str, rules: &str, promises: &Promises, rest: &str| {
        let promises: Vec<&str> = promises.0.iter().map(|&promise| promise.into()).collect();
        let promises = promises.join(", ");
        format!("{name:<29} {rest}; rules: {rules}; promises: {promises}\n")
    };
    for entry in policy.adopt.entries() {
        let rest = conditions(entry);
        text += &line(&entry.name, entry.rules.as_str(), &entry.promises, &rest);
    }
    if policy.detection != Action::Off && !policy.promises.0.is_empty() {
        let shape = "a pre-install, pre-upgrade or PreSync hook that runs a migration tool";
        let rules = policy.detection.as_str();
        text += &line(DETECTED, rules, &policy.promises, &format!("{shape}{OPEN}"));
    }
    if text.is_empty() {
        return "\nadopts no Job\n".to_owned();
    }
    format!("\nadopts, and the first entry that matches wins:\n{text}")
}

/// What only a replica can evaluate.
const OPEN: &str = " (not adopted while no replica answers)";

fn conditions(entry: &Entry) -> String {
    let lists = entry.matching.lists();
    let mut conditions: Vec<String> = lists
        .map(|(key, values)| format!("{key}: {}", values.join(", ")))
        .collect();
    let labels = entry.matching.labels.iter();
    let labels: Vec<String> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if !labels.is_empty() {
        conditions.push(format!("labels: {}", labels.join(", ")));
    }
    let open = if entry.matching.tools.is_empty() {
        ""
    } else {
        OPEN
    };
    let database = entry.database.as_ref();
    let database = database.map_or_else(String::new, |name| format!("; database: {name}"));
    format!("{}{open}{database}", conditions.join("; "))
}
