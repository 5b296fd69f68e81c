//! `migration-warden generate`: prints manifests that are generated from the policy.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::core::generate;
use crate::core::generate::vap::{FailurePolicy, Settings, ValidationAction};

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
}

#[derive(Debug, clap::Args)]
struct VapArgs {
    /// Policy file (default: the built-in profile `guide`).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the policy and its binding. Rules that only warn or audit get a policy of their own, with `-warn` or
    /// `-audit` appended to the name.
    #[arg(long, default_value = "migration-warden")]
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
    /// Namespaces to exclude, besides kube-system and kube-node-lease.
    #[arg(
        long,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        default_value = "migration-warden"
    )]
    excluded_namespaces: Vec<String>,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let What::Vap(args) = self.what;
        let policy = super::policy(args.config.as_ref())?;
        let both = [ValidationAction::Deny, ValidationAction::Warn];
        if both.iter().all(|action| args.actions.contains(action)) {
            anyhow::bail!(
                "--action: the API server does not accept both Deny and Warn; keep one of them"
            );
        }
        let settings = Settings {
            name: args.name,
            actions: args.actions,
            failure_policy: args.failure_policy,
            excluded_namespaces: args.excluded_namespaces,
        };
        let manifests = generate::vap::manifests(&policy, &settings);
        anstream::stdout().write_all(generate::yaml(&manifests)?.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
