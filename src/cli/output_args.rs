//! Arguments for how a verb prints its result.

use clap::ValueEnum;

use super::progress;

/// The output format of most verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Human,
    Json,
}

/// The output format of `check` and `scan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ReportFormat {
    /// For people.
    Human,
    /// For programs.
    Json,
    /// Entries for `adopt` in the policy file, for the detected Jobs. The exit code is 0 unless something could not be
    /// checked.
    Adopt,
}

/// Arguments of a verb that reports problems.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Output<F: ValueEnum + Send + Sync + 'static = Format> {
    /// Output format.
    #[arg(
        long,
        short,
        alias = "format",
        value_name = "FORMAT",
        value_enum,
        default_value = "human"
    )]
    pub(super) output: F,
    /// Print only problems: no summary, notes or progress.
    #[arg(long, short)]
    pub(super) quiet: bool,
}

impl<F: ValueEnum + Send + Sync + 'static> Output<F> {
    /// Applies `--quiet` to stderr.
    pub(super) fn begin(&self) {
        progress::set_quiet(self.quiet);
    }
}
