//! `migration-warden history`: lists the runs that a cluster has recorded.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use jiff::Timestamp;
use kube::api::ListParams;
use terminal_size::{Width, terminal_size_of};

use super::kube_args::{Cluster, Namespaces, block_on};
use super::progress;
use crate::cli::render::history::{Layout, csv, table};
use crate::cluster::api::list::List;
use crate::core::history::{Entry, History};
use crate::core::runs::resource::MigrationRun;

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    namespaces: Namespaces,
    /// List only the runs of this release.
    #[arg(long, value_name = "NAME")]
    release: Option<String>,
    /// Output format.
    #[arg(long, short, alias = "format", value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Print only the runs and errors: no notes, no progress.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Wide,
    Json,
    Csv,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        progress::set_quiet(self.quiet);
        let output = self.output;
        let entries = block_on(self.read())?;
        let mut out = BufWriter::new(anstream::stdout().lock());
        match output {
            // A note on stderr already says that there are no runs.
            Format::Table | Format::Wide if entries.is_empty() => {}
            Format::Table | Format::Wide => {
                let layout = Layout {
                    wide: matches!(output, Format::Wide),
                    width: terminal_size_of(std::io::stdout())
                        .map(|(Width(columns), _)| columns.into()),
                };
                table(&entries, layout, Timestamp::now(), &mut out)?;
            }
            Format::Json => {
                serde_json::to_writer_pretty(&mut out, &entries)?;
                writeln!(out)?;
            }
            Format::Csv => csv::write(&entries, &mut out)?,
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    async fn read(self) -> anyhow::Result<Vec<Entry>> {
        let client = self.cluster.client().await?;
        let namespace = self.namespaces.of(&client);
        let namespaces = namespace.as_deref();
        let mut pages = List::of::<MigrationRun>(&client, namespaces, ListParams::default());
        let mut history = History::of(self.release.clone());
        fetch(&mut pages, &mut history).await?;
        if let Some(caveat) = pages.caveat() {
            progress::warning(&caveat);
        }
        if history.unreadable > 0 {
            let count = history.unreadable;
            progress::warning(&format!(
                "{count} runs are not listed: this version does not know their format"
            ));
        }
        let entries = history.in_order();
        if entries.is_empty() {
            let release = self
                .release
                .map_or_else(String::new, |name| format!(" of release {name}"));
            let place = namespace.map_or_else(String::new, |name| format!(" in namespace {name}"));
            progress::note(&format!("no runs{release} found{place}"));
        }
        Ok(entries)
    }
}

async fn fetch(pages: &mut List<'_>, history: &mut History) -> anyhow::Result<()> {
    let mut seen = 0;
    loop {
        match pages.next_of_report().await {
            Ok(Some(page)) => {
                seen += history
                    .page(&page)
                    .with_context(|| pages.failed_to_read())?;
                progress::show(&format!("{seen} runs"));
            }
            Ok(None) => {
                progress::clear();
                return Ok(());
            }
            Err(error) if error.code() == 404 => anyhow::bail!(
                "{error}; the cluster has no CRD migrationruns.migration-warden.io, so no runs are recorded; \
                 install the CRDs of the chart (crds.enabled)"
            ),
            Err(error) => return Err(error.into()),
        }
    }
}
