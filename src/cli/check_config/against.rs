//! `check-config --against`: what the policy does with each existing Job, and what changes against the policy in use.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use k8s_openapi::api::batch::v1::Job as StoredJob;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::ListParams;
use serde_json::json;

use crate::cli::files;
use crate::cli::kube_args::{Cluster, Namespaces};
use crate::cli::output_args::Format;
use crate::cli::progress;
use crate::cli::render::text::counted;
use crate::cli::scan::Asked;
use crate::cluster::api::list::List;
use crate::core::check::Check;
use crate::core::comparison::{Change, Compared, Treatment};
use crate::core::job::{Job, Kind};
use crate::core::json::Page;
use crate::core::policy::Policy;
use crate::core::policy::select::Selection;
use crate::core::policy_file::validate;
use crate::core::report::{Located, Problem, Sink};
use crate::core::scan::Scan;
use crate::core::text::one_line;

/// The word for the Jobs of the cluster.
const CLUSTER: &str = "cluster";

/// Arguments for the comparison with existing Jobs.
#[derive(Debug, clap::Args)]
pub(super) struct Against {
    /// Also print what the policy does with each Job of the cluster, or of a file with manifests. `cluster` reads it as
    /// `scan` does. Can be given several times.
    #[arg(long = "against", id = "against", value_name = "cluster|FILE")]
    jobs: Vec<PathBuf>,
    /// The policy in use, to print what changes for those Jobs (default: that of the installation in the cluster, or the
    /// built-in policy).
    #[arg(long, value_name = "FILE", requires = "against")]
    current: Option<PathBuf>,
    #[command(flatten)]
    namespaces: Namespaces,
    #[command(flatten)]
    cluster: Cluster,
}

impl Against {
    pub(super) fn is_given(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Writes the comparison. Returns what could not be read.
    pub(super) async fn write(
        &self,
        policy: &Policy,
        format: Format,
        quiet: bool,
        out: &mut dyn Write,
    ) -> anyhow::Result<Vec<Problem>> {
        let is_cluster = |path: &&PathBuf| path.as_os_str() == CLUSTER;
        let client = match self.jobs.iter().find(is_cluster) {
            Some(_) => Some(self.cluster.client().await?),
            None => None,
        };
        let (current, name) = self.current(client.as_ref()).await?;
        let mut listing = Listing::begin((policy, &current), format, quiet, out)?;
        let mut problems = Vec::new();
        for path in &self.jobs {
            problems.extend(match client.as_ref().filter(|_| is_cluster(&path)) {
                Some(client) => self.of_cluster(client, policy, &mut listing).await?,
                None => self.of_file(path, policy, &mut listing)?,
            });
        }
        listing.end(&name, &problems)?;
        Ok(problems)
    }

    fn of_file(
        &self,
        path: &Path,
        policy: &Policy,
        listing: &mut Listing<'_>,
    ) -> anyhow::Result<Vec<Problem>> {
        let text = files::text(path, Some("--against"))?;
        let namespace = self.namespaces.given().unwrap_or_default();
        let mut check = Check::new(policy, namespace, Vec::new());
        check.file(&files::name(path), &text, listing);
        Ok(check.report.problems)
    }

    async fn of_cluster(
        &self,
        client: &Client,
        policy: &Policy,
        listing: &mut Listing<'_>,
    ) -> anyhow::Result<Vec<Problem>> {
        let namespace = self.namespaces.of(client);
        let mut asked = Asked::new(client, namespace.as_deref());
        let mut scan = Scan::new(policy, asked.world(policy).await?);
        asked
            .objects::<StoredJob>(Kind::Job, &mut scan, listing)
            .await?;
        progress::clear();
        Ok(asked.problems)
    }

    /// The policy in use, and where it was found.
    async fn current(&self, client: Option<&Client>) -> anyhow::Result<(Policy, String)> {
        if let Some(path) = &self.current {
            let policy = super::super::read_policy(path, Some("--current"))?;
            return Ok((policy, files::name(path)));
        }
        let found = match client {
            Some(client) => installed(client).await?,
            None => None,
        };
        Ok(found.unwrap_or_else(|| (validate::builtin(), "the built-in policy".to_owned())))
    }
}

/// The policy of the only installation in the cluster, if the user may read it.
async fn installed(client: &Client) -> anyhow::Result<Option<(Policy, String)>> {
    let ours = ListParams::default().labels("app.kubernetes.io/name=migration-warden");
    let mut pages = List::of::<ConfigMap>(client, None, ours);
    let mut found = Vec::new();
    loop {
        let page = match pages.next_of_report().await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err(error) => {
                progress::warning(&format!("{error}; --current FILE names the policy in use"));
                return Ok(None);
            }
        };
        let page: Page<'_, ConfigMap> =
            serde_json::from_str(&page).with_context(|| pages.failed_to_read())?;
        for map in page.items {
            let text = map.data.and_then(|mut data| data.remove("policy.yaml"));
            let metadata = map.metadata;
            let namespace = metadata.namespace.unwrap_or_default();
            let name = format!(
                "configmap/{} in {namespace}",
                metadata.name.unwrap_or_default()
            );
            found.extend(text.map(|text| (name, text)));
        }
    }
    let [(name, text)] = &found[..] else {
        if found.len() > 1 {
            let several =
                "the cluster has several installations; --current FILE names the policy in use";
            progress::warning(several);
        }
        return Ok(None);
    };
    Ok(Some((validate::read(name, text)?, name.clone())))
}

/// Writes each Job as soon as it is compared.
struct Listing<'a> {
    /// The policy, and the policy in use.
    policies: (&'a Policy, &'a Policy),
    format: Format,
    quiet: bool,
    out: &'a mut dyn Write,
    /// The first write error. Nothing is written after it.
    result: io::Result<()>,
    jobs: usize,
    selections: BTreeMap<&'static str, usize>,
    changes: BTreeMap<Change, usize>,
    twice: usize,
}

impl<'a> Listing<'a> {
    fn begin(
        policies: (&'a Policy, &'a Policy),
        format: Format,
        quiet: bool,
        out: &'a mut dyn Write,
    ) -> io::Result<Self> {
        match format {
            Format::Human if quiet => {}
            Format::Human => writeln!(out)?,
            Format::Json => write!(out, ",\n  \"jobs\": [")?,
        }
        Ok(Self {
            policies,
            format,
            quiet,
            out,
            result: Ok(()),
            jobs: 0,
            selections: BTreeMap::new(),
            changes: BTreeMap::new(),
            twice: 0,
        })
    }

    fn job(&mut self, compared: &Compared) -> io::Result<()> {
        let is_first = self.jobs == 0;
        self.jobs += 1;
        *self.selections.entry(compared.now.selection).or_default() += 1;
        if let Some(change) = compared.change {
            *self.changes.entry(change).or_default() += 1;
        }
        self.twice += usize::from(!compared.also_matched_by.is_empty());
        match self.format {
            Format::Human if self.quiet && compared.change.is_none() => Ok(()),
            Format::Human => writeln!(self.out, "{}", line(compared)),
            Format::Json => {
                let comma = if is_first { "" } else { "," };
                write!(self.out, "{comma}\n    {}", json!(compared))
            }
        }
    }

    fn end(self, current: &str, problems: &[Problem]) -> io::Result<()> {
        self.result?;
        if self.format == Format::Json {
            let close = if self.jobs > 0 { "\n  ]" } else { "]" };
            let changes: BTreeMap<String, usize> = self
                .changes
                .iter()
                .map(|(change, count)| {
                    (
                        json!(change).as_str().unwrap_or_default().to_owned(),
                        *count,
                    )
                })
                .collect();
            let summary = json!({
                "jobs": self.jobs, "selections": self.selections, "changes": changes,
                "matched_twice": self.twice,
            });
            let (current, problems) = (json!(current), json!(problems));
            let tail = format!(
                "\"current\": {current},\n  \"summary\": {summary},\n  \"problems\": {problems}"
            );
            return writeln!(self.out, "{close},\n  {tail}\n}}");
        }
        for problem in problems {
            writeln!(
                self.out,
                "\ncould not check {}",
                one_line(&problem.to_string())
            )?;
        }
        if self.quiet {
            return Ok(());
        }
        let selections = self.selections.iter();
        let selections = selections.map(|(word, count)| format!("{count} {}", shown(word)));
        let changes = self.changes.iter().map(|(change, count)| {
            let word: &str = change.into();
            format!("{count} {word}")
        });
        let twice = (self.twice > 0).then(|| format!("{} matched by two entries", self.twice));
        let list = |parts: Vec<String>| {
            if parts.is_empty() {
                "none".to_owned()
            } else {
                parts.join(", ")
            }
        };
        writeln!(
            self.out,
            "\n{}: {}\nagainst {}: {}",
            counted(self.jobs, "Job"),
            list(selections.collect()),
            one_line(current),
            list(changes.chain(twice).collect())
        )
    }
}

impl Sink for Listing<'_> {
    fn job(&mut self, job: &Job<'_>, _: Selection, mode: Option<&str>) {
        if job.kind == Kind::Job && self.result.is_ok() {
            self.result = self.job(&Compared::new(self.policies, job, mode));
        }
    }

    fn finding(&mut self, _: Located) {}
}

/// `shop/shop-migrate-1766361600: adopted as shop, rules: audit; newly adopted (before: detected, rules: audit)`
fn line(compared: &Compared) -> String {
    let slash = if compared.namespace.is_empty() {
        ""
    } else {
        "/"
    };
    let name = format!("{}{slash}{}", compared.namespace, compared.job);
    let mut line = format!("{}: {}", one_line(&name), treatment(&compared.now));
    if !compared.also_matched_by.is_empty() {
        line += "; also matched by ";
        line += &compared.also_matched_by.join(", ");
        line += ", which never wins";
    }
    if let (Some(change), Some(before)) = (compared.change, &compared.before) {
        let change: &str = change.into();
        line += "; ";
        line += change;
        line += " (before: ";
        line += &treatment(before);
        line += ")";
    }
    line
}

fn treatment(of: &Treatment) -> String {
    let word = shown(of.selection);
    let name = of.adopted.as_ref();
    let name = name.map_or_else(String::new, |name| format!(" as {name}"));
    match of.selection {
        "none" | "opted-out" => word.to_owned(),
        _ => format!("{word}{name}, rules: {}", of.rules.as_str()),
    }
}

fn shown(selection: &'static str) -> &'static str {
    match selection {
        "none" => "left alone",
        "opted-out" => "opted out",
        word => word,
    }
}
