//! `migration-warden scan`: lists the Jobs and CronJobs of a cluster, checks them and prints the findings.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Client, Resource};

use super::kube_args::{Cluster, Namespaces, block_on};
use super::output_args::{Output, ReportFormat};
use super::progress;
use super::render::{Printer, or_report};
use crate::cluster::api::ApiError;
use crate::cluster::api::list::{self, List};
use crate::core::exception::resource::MigrationException;
use crate::core::generate::vap::SYSTEM_NAMESPACES;
use crate::core::job::Kind;
use crate::core::policy::Policy;
use crate::core::report::{Problem, Report, Sink};
use crate::core::scan::{Scan, World};

/// Arguments of `scan`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    namespaces: Namespaces,
    /// Policy file (default: the built-in profile `guide`). `-` reads standard input.
    #[arg(long, short_alias = 'f', value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: Output<ReportFormat>,
    #[command(flatten)]
    cluster: Cluster,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let policy = or_report(self.output, super::policy(self.config.as_ref()))?;
        self.output.begin();
        block_on(self.scan(&policy))
    }

    async fn scan(self, policy: &Policy) -> anyhow::Result<ExitCode> {
        let client = or_report(self.output, self.cluster.client().await)?;
        let namespace = self.namespaces.of(&client);
        let mut asked = Asked::new(&client, namespace.as_deref());
        let world = or_report(self.output, asked.world(policy).await)?;
        let mut scan = Scan::new(policy, world);
        let mut output = Printer::begin(self.output);
        asked
            .objects::<Job>(Kind::Job, &mut scan, &mut output)
            .await?;
        asked
            .objects::<CronJob>(Kind::CronJob, &mut scan, &mut output)
            .await?;
        let report = Report {
            problems: asked.problems,
            ..scan.report
        };
        output.end(&report)?;
        Ok(super::exit_code(self.output, &report))
    }
}

/// The requests of a scan, and what they could not read.
pub(super) struct Asked<'a> {
    client: &'a Client,
    /// All namespaces if `None`.
    namespace: Option<&'a str>,
    /// One message for each kind or namespace that could not be read.
    pub(super) problems: Vec<Problem>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(client: &'a Client, namespace: Option<&'a str>) -> Self {
        Self {
            client,
            namespace,
            problems: Vec::new(),
        }
    }

    /// Reads namespaces and exceptions. A user without the right to read them gets a message, and the scan continues.
    pub(super) async fn world(&mut self, policy: &Policy) -> anyhow::Result<World> {
        let mut world = World::default();
        let modes = self.namespaces(&mut world).await;
        self.unless_forbidden(modes, "Jobs are checked without its mode and mesh")?;
        let exceptions = self.exceptions(&mut world, policy).await;
        self.unless_forbidden(exceptions, "Jobs are checked without exceptions")?;
        Ok(world)
    }

    async fn namespaces(&self, world: &mut World) -> anyhow::Result<()> {
        if let Some(name) = self.namespace {
            let text = list::get::<Namespace>(self.client, name).await?;
            return world
                .namespace(&text)
                .with_context(|| format!("failed to read namespace {name}"));
        }
        let mut pages = List::of::<Namespace>(self.client, None, ListParams::default());
        while let Some(page) = pages.next_of_report().await? {
            let read = world.namespaces(&page);
            read.with_context(|| pages.failed_to_read())?;
        }
        Ok(())
    }

    async fn exceptions(&self, world: &mut World, policy: &Policy) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let all = ListParams::default();
        let mut pages = List::of::<MigrationException>(self.client, self.namespace, all);
        loop {
            match pages.next_of_report().await {
                Ok(Some(page)) => {
                    let read = world.exceptions(&page, now, policy.max_exception);
                    read.with_context(|| pages.failed_to_read())?;
                }
                // A cluster without the CRD has no exceptions.
                Err(error) if error.code() == 404 => return Ok(()),
                Ok(None) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn unless_forbidden(&mut self, known: anyhow::Result<()>, so: &str) -> anyhow::Result<()> {
        match known {
            Err(error) if is_forbidden(&error) => self.problem(format!("{error}; {so}")),
            other => other?,
        }
        Ok(())
    }

    fn problem(&mut self, message: String) {
        self.problems.push(Problem {
            file: None,
            position: None,
            message,
        });
    }

    /// Checks all objects of a kind. A failure is reported as a problem instead of returned, so that a report whose
    /// beginning is already printed still gets its end.
    pub(super) async fn objects<K: Resource<DynamicType = ()>>(
        &mut self,
        kind: Kind,
        scan: &mut Scan<'_>,
        sink: &mut dyn Sink,
    ) -> anyhow::Result<()> {
        let mut params = ListParams::default();
        if self.namespace.is_none() {
            let others = SYSTEM_NAMESPACES.map(|name| format!("metadata.namespace!={name}"));
            params = params.fields(&others.join(","));
        }
        let mut pages = List::of::<K>(self.client, self.namespace, params);
        loop {
            let page = pages.next_of_report().await.map_err(anyhow::Error::from);
            let judged = match page {
                Ok(None) => break,
                Ok(Some(page)) => scan
                    .page(kind, &page, sink)
                    .with_context(|| pages.failed_to_read()),
                Err(error) => Err(error),
            };
            if let Err(error) = judged {
                self.problem(super::told(&error));
                break;
            }
            sink.page(&scan.report)?;
        }
        if let Some(caveat) = pages.caveat() {
            progress::warning(&caveat);
        }
        Ok(())
    }
}

fn is_forbidden(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<ApiError>();
    error.is_some_and(|error| error.code() == 403)
}
