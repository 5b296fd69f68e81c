//! `migration-warden certs inspect`: finds the files, prints the report.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::ServerName;

use crate::cli::render::certificates;
use crate::core::pki::inspect::{Folder, Question, Report, Text};

/// Arguments of `certs inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// PEM files, and folders with ca.crt, tls.crt and tls.key as a mounted Secret has them.
    #[arg(value_name = "PATH", default_value = "certs/dev")]
    paths: Vec<PathBuf>,
    /// What clients call the server, such as migration-warden.migration-warden.svc; may be repeated.
    #[arg(long = "name", value_name = "NAME", value_parser = name)]
    names: Vec<ServerName<'static>>,
    /// Call it wrong when a certificate expires within this time.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = super::duration)]
    warn_before: SignedDuration,
    /// How to print.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t = Format::Human)]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Human,
    Json,
}

fn name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| "no DNS name and no IP address".to_owned())
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let question = Question {
            now: Timestamp::now(),
            warn_before: self.warn_before,
            names: self.names,
        };
        let mut report = Report::default();
        for path in &self.paths {
            inspect(&mut report, path, &question)?;
        }
        let mut out = anstream::stdout().lock();
        match self.output {
            Format::Human => certificates::human(&report, question.now, &mut out)?,
            Format::Json => certificates::json(&report, &mut out)?,
        }
        out.flush()?;
        Ok(if report.is_fine() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn inspect(report: &mut Report, path: &Path, question: &Question) -> anyhow::Result<()> {
    if !path.is_dir() {
        let text = text(path)?.with_context(|| format!("there is no {}", path.display()))?;
        return Ok(report.file(&text, question)?);
    }
    let (ca, cert) = (text(&path.join("ca.crt"))?, text(&path.join("tls.crt"))?);
    match (ca, cert) {
        (ca, Some(cert)) => {
            let key = text(&path.join("tls.key"))?;
            report.folder(&Folder { ca, cert, key }, question)?;
        }
        (Some(ca), None) => report.file(&ca, question)?,
        (None, None) => anyhow::bail!("there is no tls.crt and no ca.crt in {}", path.display()),
    }
    Ok(())
}

/// A file, if it is there.
fn text(path: &Path) -> anyhow::Result<Option<Text>> {
    match std::fs::read(path) {
        Ok(pem) => Ok(Some(Text {
            file: path.display().to_string(),
            pem,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
    }
}
