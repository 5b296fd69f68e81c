//! `migration-warden verify`: creates three Jobs as dry runs, and prints whether the webhook reviewed them.

use std::io::Write;
use std::process::ExitCode;

use super::kube_args::{Cluster, Namespace, block_on};
use super::output_args::{Format, Output};
use crate::cluster::verify::{State, Verification};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    namespace: Namespace,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    cluster: Cluster,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        self.output.begin();
        let verification = block_on(self.verify())?;
        let state = verification.state();
        let mut out = anstream::stdout().lock();
        match self.output.output {
            Format::Json => writeln!(out, "{:#}", verification.json())?,
            Format::Human if self.output.quiet && state == State::InForce => {}
            Format::Human => write!(out, "{verification}")?,
        }
        Ok(match state {
            State::InForce => ExitCode::SUCCESS,
            State::NotInForce => ExitCode::FAILURE,
            State::Unknown => ExitCode::from(super::COULD_NOT),
        })
    }

    async fn verify(&self) -> anyhow::Result<Verification> {
        let client = self.cluster.client().await?;
        let namespace = self.namespace.of(&client);
        Ok(Verification::of(&client, namespace).await?)
    }
}
