//! `migration-warden explain`: prints the documentation of a rule, or lists all rules.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::output_args::Format;
use crate::core::job::tool;
use crate::core::policy::rule::{Cel, Patch, Rule};
use crate::core::policy::rules::unlabelled_migration::UNLABELLED_MIGRATION;
use crate::core::policy::rules::{self, RULES};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id or name of a rule, such as MW001 or untimestamped-name (default: list all rules).
    #[arg(value_name = "RULE")]
    rule: Option<String>,
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t = Format::Human)]
    output: Format,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let wanted = self.rule.as_deref();
        let rule = wanted.map(|wanted| {
            rules::find(wanted).ok_or_else(|| anyhow::anyhow!(rules::unknown(wanted)))
        });
        let rule = rule.transpose()?;
        let mut out = anstream::stdout().lock();
        match (self.output, rule) {
            (Format::Human, Some(rule)) => print(rule, &mut out)?,
            (Format::Human, None) => {
                for rule in RULES {
                    writeln!(out, "{}  {:<22} {}", rule.id, rule.name, rule.reason)?;
                }
            }
            (Format::Json, Some(rule)) => writeln!(out, "{:#}", object(rule))?,
            (Format::Json, None) => {
                let all: Value = RULES.iter().copied().map(object).collect();
                writeln!(out, "{all:#}")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(rule: &Rule, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "{} {}\n\n{}\n", rule.id, rule.name, rule.markdown())?;
    writeln!(out, "Field:    {}", rule.path)?;
    writeln!(
        out,
        "Action:   {} (guide), {} (strict)",
        rule.guide.as_str(),
        rule.strict.as_str()
    )?;
    match rule.patch {
        Patch::Possible => writeln!(out, "Patch:    possible")?,
        Patch::Refused(reason) => writeln!(out, "Patch:    refused: {reason}")?,
    }
    match rule.cel {
        Cel::Expression(_) => writeln!(out, "CEL:      in `generate vap`")?,
        Cel::Refused(reason) => writeln!(out, "CEL:      not in `generate vap`: {reason}")?,
    }
    if rule.id == UNLABELLED_MIGRATION.id {
        writeln!(out, "Tools:    {}", tool::names().join(", "))?;
    }
    if !rule.options.is_empty() {
        writeln!(out, "Options:  {}", rule.option_keys().join(", "))?;
    }
    Ok(())
}

fn object(rule: &Rule) -> Value {
    let patch_refused = match rule.patch {
        Patch::Possible => None,
        Patch::Refused(reason) => Some(reason),
    };
    let cel_refused = match rule.cel {
        Cel::Expression(_) => None,
        Cel::Refused(reason) => Some(reason),
    };
    json!({
        "id": rule.id, "name": rule.name, "reason": rule.reason, "field": rule.path,
        "actions": {"guide": rule.guide, "strict": rule.strict},
        "patch_refused": patch_refused, "cel_refused": cel_refused,
        "options": rule.option_keys(), "documentation": rule.markdown(),
    })
}
