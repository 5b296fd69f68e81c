//! `migration-warden check`: finds the manifests, checks them and prints the report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;

use super::files::{self, is_stdin};
use super::kube_args::namespace;
use super::output_args::{Output, ReportFormat};
use super::render::{Printer, or_report};
use crate::core::check::Check;
use crate::core::exception::file::Written;
use crate::core::exception::{self, Exception, Standing};
use crate::core::manifest;
use crate::core::policy::Policy;
use crate::core::report::{Ignored, Problem};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 if nothing is denied, 1 if something is denied, 2 if something could not be checked."
)]
pub(super) struct Args {
    /// Files and folders with rendered manifests (.yaml, .yml and .json). `-` reads standard input.
    #[arg(required_unless_present = "filename", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The same, as in `kubectl`. Can be given several times.
    #[arg(long, short = 'f', value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// Policy file (default: the built-in profile `guide`). `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Namespace for manifests that do not set one, as in `helm template --namespace`.
    #[arg(long, short, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
    /// File with the `MigrationException` objects to apply. Can be given several times.
    #[arg(long, value_name = "FILE")]
    exceptions: Vec<PathBuf>,
    /// Exit with code 2 if no migration Job is found, for pipelines that expect one.
    #[arg(long)]
    require_migration: bool,
    #[command(flatten)]
    output: Output<ReportFormat>,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let read = or_report(self.output, self.read())?;
        let mut check = Check::new(&read.policy, self.namespace(), read.honoured);
        check.report.ignored = read.ignored;
        let mut run = Run {
            check,
            out: Printer::begin(self.output),
        };
        let mut stdin = read.stdin;
        for path in self.paths() {
            let before = run.seen();
            if is_stdin(path) {
                run.bytes(&files::name(path), std::mem::take(&mut stdin));
            } else {
                run.path(path, path);
            }
            if run.seen() == before {
                let problem = whole(path, NO_MANIFESTS.to_owned());
                run.check.report.problems.push(problem);
            }
        }
        let mut report = run.check.report;
        if self.require_migration && report.jobs == 0 {
            report.problems.push(Problem {
                file: None,
                position: None,
                message: "no migration Job was found, but --require-migration requires one"
                    .to_owned(),
            });
        }
        run.out.end(&report)?;
        Ok(super::exit_code(self.output, &report))
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.iter().chain(&self.filename)
    }

    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// Reads everything but manifests, and fails if a path cannot be checked.
    fn read(&self) -> anyhow::Result<Read> {
        let all = self.paths().chain(&self.config).chain(&self.exceptions);
        anyhow::ensure!(
            all.filter(|path| is_stdin(path)).count() < 2,
            "standard input can be read only once; write - for one file"
        );
        let mut read = Read {
            policy: super::policy(self.config.as_ref())?,
            honoured: Vec::new(),
            ignored: Vec::new(),
            stdin: Vec::new(),
        };
        for path in &self.exceptions {
            read.exceptions(path, self.namespace())?;
        }
        for path in self.paths() {
            if is_stdin(path) {
                read.stdin = files::bytes(path, None)?;
            } else {
                named(path)?;
            }
        }
        Ok(read)
    }
}

/// What is read before the manifests.
struct Read {
    policy: Policy,
    honoured: Vec<Arc<Exception>>,
    ignored: Vec<Ignored>,
    stdin: Vec<u8>,
}

impl Read {
    fn exceptions(&mut self, path: &Path, namespace: &str) -> anyhow::Result<()> {
        let (file, text) = (files::name(path), files::text(path, Some("--exceptions"))?);
        let now = Timestamp::now();
        let read = exception::file::read(&file, &text, namespace, now).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!(lines.join("\n"))
        })?;
        for Written {
            exception,
            position,
        } in read
        {
            match exception.standing(now, self.policy.max_exception) {
                Standing::Honoured => self.honoured.push(Arc::new(exception)),
                other => self.ignored.push(Ignored {
                    name: exception.reference.name.clone(),
                    problem: Problem::at(&file, position, other.message()),
                }),
            }
        }
        Ok(())
    }
}

/// The problem of a path without manifests. The usual cause is a chart whose only manifest is a Job that Helm skips.
const NO_MANIFESTS: &str = "it has no manifests, so nothing was checked. If `helm template` made it, look for \
                            `skipping unknown hook` on Helm's stderr: Helm leaves out a Job whose hook event has a \
                            typo. To check a chart: helm template RELEASE CHART | migration-warden check -";

/// Fails if a path from the command line cannot be checked, before anything is printed.
fn named(path: &Path) -> anyhow::Result<()> {
    let reading = || format!("failed to read {}", path.display());
    let metadata = std::fs::metadata(path).with_context(reading)?;
    if metadata.is_dir() {
        std::fs::read_dir(path).with_context(reading)?;
        anyhow::ensure!(
            !is_chart(path),
            "{0} is a Helm chart, not rendered manifests; render it first: \
             helm template RELEASE {0} | migration-warden check -",
            path.display()
        );
    } else if metadata.is_file() {
        std::fs::File::open(path).with_context(reading)?;
    }
    Ok(())
}

fn is_chart(folder: &Path) -> bool {
    folder.join("Chart.yaml").is_file()
}

/// A check of all paths.
struct Run<'p> {
    check: Check<'p>,
    out: Printer,
}

impl Run<'_> {
    /// A number that grows with each document, and with each file that could not be read.
    fn seen(&self) -> usize {
        let report = &self.check.report;
        report.documents.unwrap_or_default() + report.problems.len() + report.warnings.len()
    }

    /// Checks a file, or every manifest below a folder, as `kubectl apply --recursive` finds them. An unreadable file
    /// is reported as a problem, and the check continues with the others.
    fn path(&mut self, path: &Path, root: &Path) {
        if !path.is_dir() {
            match std::fs::read(path) {
                Ok(bytes) => self.bytes(&path.display().to_string(), bytes),
                Err(error) => self.unreadable(path, &error),
            }
            return;
        }
        if is_chart(path) {
            let name = path.display();
            let message = format!(
                "this is a Helm chart and is not checked; render it first: \
                 helm template RELEASE {name} | migration-warden check -"
            );
            return self.warning(path, message);
        }
        let mut paths = Vec::new();
        match std::fs::read_dir(path) {
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        Ok(entry) => paths.push(entry.path()),
                        Err(error) => self.unreadable(path, &error),
                    }
                }
            }
            Err(error) => self.unreadable(path, &error),
        }
        paths.sort();
        for path in paths {
            let extension = path.extension().unwrap_or_default();
            let is = |known| extension.eq_ignore_ascii_case(known);
            let is_manifest = ["yaml", "yml", "json"].into_iter().any(is);
            let is_folder = path.is_dir();
            if is_folder && path.is_symlink() {
                // Following links could loop. A target below `root` is checked at its own path anyway.
                if !leads_into(&path, root) {
                    let message =
                        "this is a link to a folder and is not followed; pass the folder itself";
                    self.warning(&path, message.to_owned());
                }
            } else if is_folder && path.file_name().is_some_and(|name| name == ".git") {
                // git's own files, which are not manifests.
            } else if is_folder || is_manifest && !is_special(&path) {
                self.path(&path, root);
            } else {
                self.check.report.skipped_files += 1;
            }
        }
    }

    fn bytes(&mut self, file: &str, bytes: Vec<u8>) {
        match manifest::decode(bytes) {
            Ok(text) => {
                self.check.file(file, &text, &mut self.out);
            }
            Err(error) => self.check.report.problems.push(Problem {
                file: Some(file.to_owned()),
                position: error.position,
                message: error.message,
            }),
        }
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        let error = super::told(&anyhow::Error::msg(error.to_string()));
        let problem = whole(path, format!("failed to read it: {error}"));
        self.check.report.problems.push(problem);
    }

    fn warning(&mut self, path: &Path, message: String) {
        self.check.report.warnings.push(whole(path, message));
    }
}

/// A problem of a whole file or folder.
fn whole(path: &Path, message: String) -> Problem {
    Problem {
        file: Some(files::name(path)),
        position: None,
        message,
    }
}

fn leads_into(link: &Path, folder: &Path) -> bool {
    let (Ok(target), Ok(folder)) = (link.canonicalize(), folder.canonicalize()) else {
        return false;
    };
    target.starts_with(folder)
}

/// Whether the path is a pipe, a socket or a device: reading it might never end.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}
