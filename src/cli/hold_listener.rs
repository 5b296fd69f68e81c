//! `migration-warden hold-listener`: the small process beside `serve --listener-holder`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::server::listener::holder;
use crate::server::stop_signal;

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
            // Even the signals' usual effect has to be asked for by the first process of a container.
            let stop = stop_signal()?;
            let clients = holder::listen(&self.socket)
                .with_context(|| format!("failed to create the socket {}", self.socket.display()))?;
            tokio::select! {
                // What is kept is not worth waiting for: `serve` has it too.
                _ = stop => Ok(ExitCode::SUCCESS),
                failed = holder::hold(clients) => match failed.context("failed to accept a connection")? {},
            }
        })
    }
}
