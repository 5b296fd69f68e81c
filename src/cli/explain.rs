//! `migration-warden explain`: prints the documentation of a rule, or lists all rules.

use std::io::Write;
use std::process::ExitCode;

use crate::core::policy::rule::{Cel, Patch};
use crate::core::policy::rules::{self, RULES};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id or name of a rule, such as MW001 or untimestamped-name (default: list all rules).
    #[arg(value_name = "RULE")]
    rule: Option<String>,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = anstream::stdout().lock();
        let Some(wanted) = self.rule else {
            for rule in RULES {
                writeln!(out, "{}  {:<22} {}", rule.id, rule.name, rule.reason)?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        let Some(rule) = rules::find(&wanted) else {
            anyhow::bail!("there is no rule {wanted}; `migration-warden explain` lists them all");
        };
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
        if !rule.options.is_empty() {
            writeln!(out, "Options:  {}", rule.options.join(", "))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
