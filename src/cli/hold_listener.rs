//! `migration-warden hold-listener`: the small process that keeps the socket of `serve --listener-holder` open.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::server::StopSignals;
use crate::server::listener::holder;

/// Arguments of `hold-listener`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Unix socket to create. Pass the same path to `serve --listener-holder`.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        runtime.block_on(async {
            // The first process of a container ignores SIGTERM unless it installs a handler.
            let mut stop = StopSignals::new()?;
            let clients = holder::listen(&self.socket)
                .with_context(|| format!("failed to create the socket {}", self.socket.display()))?;
            tokio::select! {
                // Stopping at once loses no connection: `serve` holds the same socket.
                _ = stop.next() => Ok(ExitCode::SUCCESS),
                failed = holder::hold(clients) => match failed.context("failed to accept a connection")? {},
            }
        })
    }
}
