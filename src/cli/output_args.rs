//! Arguments for how a verb prints its result.

use super::progress;

/// The output format of most verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Human,
    Json,
}

/// Arguments of a verb that reports problems.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Output {
    /// Output format.
    #[arg(long, short, alias = "format", value_name = "FORMAT", value_enum, default_value_t = Format::Human)]
    pub(super) output: Format,
    /// Print only problems: no summary, notes or progress.
    #[arg(long, short)]
    pub(super) quiet: bool,
}

impl Output {
    /// Applies `--quiet` to stderr.
    pub(super) fn begin(self) {
        progress::set_quiet(self.quiet);
    }
}
