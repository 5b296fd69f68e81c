//! `migration-warden check`: finds the manifests, checks them and prints the report.

mod exceptions;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use self::exceptions::Exceptions;
use super::files::{self, is_stdin};
use super::kube_args::namespace;
use super::output_args::{Output, ReportFormat};
use super::progress;
use super::render::{Printer, or_report};
use crate::core::check::Check;
use crate::core::manifest;
use crate::core::policy::Policy;
use crate::core::report::Problem;

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
    /// Exit with code 2 if no Job is a migration Job, for pipelines that expect one.
    #[arg(long)]
    require_migration: bool,
    #[command(flatten)]
    output: Output<ReportFormat>,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        self.output.begin();
        let read = or_report(self.output, self.read())?;
        let mut exceptions = read.exceptions;
        let honoured = std::mem::take(&mut exceptions.honoured);
        let mut check = Check::new(&read.policy, self.namespace(), honoured);
        check.report.ignored = std::mem::take(&mut exceptions.ignored);
        let mut run = Run {
            check,
            exceptions,
            out: Printer::begin(self.output),
        };
        let mut stdin = read.stdin;
        for path in self.paths() {
            let (before, documents) = (run.seen(), run.documents());
            if is_stdin(path) {
                run.bytes(&files::name(path), std::mem::take(&mut stdin));
            } else {
                run.path(path, path);
            }
            if run.seen() == before {
                let is_empty = run.documents() == documents;
                let why = if is_empty {
                    NO_MANIFESTS
                } else {
                    NOT_MANIFESTS
                };
                let problem = whole(path, why.to_owned());
                run.check.report.problems.push(problem);
            }
        }
        let mut report = run.check.report;
        let lacks_migration = report.lacks_migration().filter(|_| self.require_migration);
        report
            .problems
            .extend(lacks_migration.map(|message| Problem {
                file: None,
                position: None,
                message,
            }));
        run.out.end(&report)?;
        for note in run.exceptions.notes() {
            progress::note(&note);
        }
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
            exceptions: Exceptions::default(),
            stdin: Vec::new(),
        };
        for path in &self.exceptions {
            let max = read.policy.max_exception;
            read.exceptions.read(path, self.namespace(), max)?;
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
    exceptions: Exceptions,
    stdin: Vec<u8>,
}

/// The problem of a path without documents. Usually Helm has failed, or has skipped a chart's only manifest.
const NO_MANIFESTS: &str = "it has no manifests, so nothing was checked. If `helm template` wrote it, Helm's stderr says \
                            why: an error, or `skipping unknown hook` for a Job that Helm leaves out. To check a chart: \
                            helm template RELEASE CHART | migration-warden check -";
/// The problem of a path whose documents are not manifests.
const NOT_MANIFESTS: &str = "none of its documents has apiVersion and kind, so nothing was checked; give it rendered \
                             manifests, as in helm template RELEASE CHART | migration-warden check -";
/// How a file that gzip compressed begins.
const GZIP: &[u8] = &[0x1F, 0x8B];

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
    exceptions: Exceptions,
    out: Printer,
}

impl Run<'_> {
    /// A number that grows with each manifest, and with everything that could not be read.
    fn seen(&self) -> usize {
        let report = &self.check.report;
        report.manifests + report.problems.len()
    }

    fn documents(&self) -> usize {
        self.check.report.documents.unwrap_or_default()
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
        if bytes.starts_with(GZIP) {
            let chart = if file == files::STDIN { "CHART" } else { file };
            let message = format!(
                "it is compressed, as a packaged chart is; render it first: \
                 helm template RELEASE {chart} | migration-warden check -"
            );
            let problem = whole(Path::new(file), message);
            return self.check.report.problems.push(problem);
        }
        match manifest::decode(bytes) {
            Ok(text) => {
                let mut out = self.exceptions.noting(&mut self.out);
                self.check.file(file, &text, &mut out);
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
