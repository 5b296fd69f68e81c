//! `migration-warden generate`: prints manifests that are generated from the policy.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::kube_args::{namespace, object};
use crate::core::generate;
use crate::core::generate::vap::{FailurePolicy, Settings, ValidationAction};
use crate::core::job::dns;

/// Arguments of `generate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Generate a `ValidatingAdmissionPolicy` and its binding from the rules that CEL can express.
    Vap(VapArgs),
    /// Generate a `MutatingAdmissionPolicy` and its binding from the entries of `adopt` that CEL can express. It labels
    /// their Jobs while no replica answers. Kubernetes 1.36 or later.
    Adopt(AdoptArgs),
}

#[derive(Debug, clap::Args)]
struct AdoptArgs {
    /// Policy file with the section `adopt`. `-` reads standard input.
    #[arg(long, short_alias = 'f', value_name = "FILE")]
    config: PathBuf,
    /// Name of the policy and its binding.
    #[arg(long, default_value = "migration-warden-adopt", value_parser = object)]
    name: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Namespaces to exclude, besides kube-system and kube-node-lease.
    #[arg(
        long,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        default_value = "migration-warden",
        value_parser = namespace
    )]
    excluded_namespaces: Vec<String>,
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t = Format::Yaml)]
    output: Format,
}

#[derive(Debug, clap::Args)]
struct VapArgs {
    /// Policy file (default: the built-in profile `guide`). `-` reads standard input.
    #[arg(long, short_alias = 'f', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the policy and its binding. Rules that only warn or audit get a policy of their own, with `-warn` or
    /// `-audit` appended to the name.
    #[arg(long, default_value = "migration-warden", value_parser = policy_name)]
    name: String,
    /// What the API server does with a Job that breaks a rule whose action is `deny`.
    #[arg(
        long = "action",
        value_name = "ACTION",
        value_delimiter = ',',
        default_value = "Warn,Audit"
    )]
    actions: Vec<ValidationAction>,
    /// What the API server does if a CEL expression fails at run time.
    #[arg(long, default_value = "Fail")]
    failure_policy: FailurePolicy,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Yaml,
    Json,
}

/// Parses the name of a policy, which must be valid with every suffix.
fn policy_name(text: &str) -> Result<String, String> {
    let name = object(text)?;
    if dns::is_subdomain(&format!("{name}-audit")) {
        Ok(name)
    } else {
        Err("must be no more than 247 characters, because `-audit` is appended".to_owned())
    }
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Vap(args) => args.run(),
            What::Adopt(args) => args.run(),
        }
    }
}

impl VapArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let policy = super::policy(self.config.as_ref())?;
        let both = [ValidationAction::Deny, ValidationAction::Warn];
        if both.iter().all(|action| self.actions.contains(action)) {
            anyhow::bail!(
                "--action: the API server does not accept both Deny and Warn; keep one of them"
            );
        }
        let settings = Settings {
            name: self.name,
            actions: self.actions,
            failure_policy: self.failure_policy,
            excluded_namespaces: self.common.excluded_namespaces,
        };
        print(
            &generate::vap::manifests(&policy, &settings),
            self.common.output,
        )
    }
}

impl AdoptArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let policy = super::policy(Some(&self.config))?;
        let excluded = &self.common.excluded_namespaces;
        let manifests = generate::adopt::manifests(&policy, &self.name, excluded);
        let manifests = manifests.with_context(|| {
            format!(
                "{}: the API server can evaluate no entry of adopt; write one without tools",
                super::files::name(&self.config)
            )
        })?;
        print(&manifests, self.common.output)
    }
}

fn print(manifests: &[Value], format: Format) -> anyhow::Result<ExitCode> {
    let mut out = anstream::stdout().lock();
    match format {
        Format::Yaml => out.write_all(generate::yaml(manifests)?.as_bytes())?,
        Format::Json => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
            writeln!(out, "{list:#}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
