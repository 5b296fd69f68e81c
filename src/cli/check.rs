//! `migration-warden check`: finds the manifests, prints the report.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::ValueEnum;
use jiff::Timestamp;

use crate::check::{Ignored, Problem, Report};
use crate::exception::file::Written;
use crate::exception::{self, Standing};
use crate::policy::{Action, Policy};
use crate::render::{human, json};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files and folders of rendered manifests; `-` is standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Policy file; the built-in profile `guide` without one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Namespace of manifests that name none, as in `helm template --namespace`.
    #[arg(long, short, value_name = "NAME", default_value = "")]
    namespace: String,
    /// Exceptions to honour, a YAML stream of `MigrationException` objects; may be given several times.
    #[arg(long, value_name = "FILE")]
    exceptions: Vec<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Human,
    Json,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let policy = super::policy(self.config.as_ref())?;
        let mut run = Run {
            report: Report::default(),
            policy,
            namespace: self.namespace,
        };
        for path in &self.exceptions {
            run.exceptions(path)?;
        }
        for path in &self.paths {
            if path.as_os_str() == "-" {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .read_to_end(&mut bytes)
                    .context("failed to read stdin")?;
                run.bytes("<stdin>", bytes);
                let found = run.report.documents + run.report.problems.len();
                anyhow::ensure!(found > 0, "there is nothing to check on stdin");
            } else {
                run.path(path)?;
            }
        }
        let report = run.report;
        let mut out = std::io::BufWriter::new(anstream::stdout().lock());
        match self.format {
            Format::Human => human::write(&report, &mut out)?,
            Format::Json => json::write(&report, &mut out)?,
        }
        out.flush()?;
        Ok(if !report.problems.is_empty() {
            ExitCode::from(super::COULD_NOT)
        } else if report.count(Action::Deny) > 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// A run over all paths.
struct Run {
    report: Report,
    policy: Policy,
    namespace: String,
}

impl Run {
    fn exceptions(&mut self, path: &Path) -> anyhow::Result<()> {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).with_context(|| format!("failed to read {file}"))?;
        let now = Timestamp::now();
        let read = exception::file::read(&file, &text, &self.namespace, now).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!(lines.join("\n"))
        })?;
        for Written {
            exception,
            position,
        } in read
        {
            match exception.standing(now, self.policy.max_exception) {
                Standing::Honoured => self.report.exceptions.push(Arc::new(exception)),
                other => self.report.ignored.push(Ignored {
                    file: file.clone(),
                    position,
                    name: exception.name,
                    message: other.message(),
                }),
            }
        }
        Ok(())
    }

    /// Checks a file, or every manifest below a folder, as `kubectl apply --recursive` finds them.
    fn path(&mut self, path: &Path) -> anyhow::Result<()> {
        let reading = || format!("failed to read {}", path.display());
        if !path.is_dir() {
            let bytes = std::fs::read(path).with_context(reading)?;
            self.bytes(&path.display().to_string(), bytes);
            return Ok(());
        }
        if path.join("Chart.yaml").is_file() {
            anyhow::bail!(
                "{0} is a chart, not its manifests; render it: helm template RELEASE {0} | \
                 migration-warden check -",
                path.display()
            );
        }
        let entries = std::fs::read_dir(path).with_context(reading)?;
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        paths.sort();
        for path in paths {
            let extension = path.extension().and_then(|extension| extension.to_str());
            // A link to a folder may lead back here.
            let is_folder = path.is_dir() && !path.is_symlink();
            if is_folder || (path.is_file() && matches!(extension, Some("yaml" | "yml" | "json"))) {
                self.path(&path)?;
            }
        }
        Ok(())
    }

    fn bytes(&mut self, file: &str, bytes: Vec<u8>) {
        match String::from_utf8(bytes) {
            Ok(text) => self
                .report
                .check(file, &text, &self.policy, &self.namespace),
            Err(error) => self.report.problems.push(Problem {
                file: file.to_owned(),
                position: None,
                message: format!(
                    "not UTF-8 from byte {} on",
                    error.utf8_error().valid_up_to()
                ),
            }),
        }
    }
}
