//! The policy: which Jobs are migrations, what each rule does, and what it finds in a Job.
//!
//! Everything here is pure: the same facts under the same policy give the same findings in the server, in `check` and
//! in a replay. [`crate::core::policy_file`] reads the policy file.

pub(crate) mod adopt;
pub(crate) mod adopt_cel;
pub(crate) mod advice;
pub(crate) mod breach;
pub mod cel;
pub mod claims;
pub mod finding;
pub(crate) mod fix;
pub(crate) mod label_selector;
pub(crate) mod name_patterns;
pub(crate) mod options;
pub(crate) mod path;
pub mod rule;
pub mod rules;
pub(crate) mod runs;
pub mod select;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod tidy_up;
pub mod verdict;
pub(crate) mod word;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::core::job::{Job, Kind};
use crate::core::policy::adopt::{Adoption, Promises};
use crate::core::policy::finding::Finding;
use crate::core::policy::options::Options;
use crate::core::policy::rule::{Check, Context, Rule, Scope};
use crate::core::policy::rules::RULES;
use crate::core::policy::rules::unlabelled_migration::UNLABELLED_MIGRATION;
use crate::core::policy::runs::Runs;
use crate::core::policy::select::{Adopter, Selection, Selectors};
use crate::core::policy::tidy_up::Cleanup;

/// What the policy does with a rule's findings, strongest first, as files and messages list them.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Action {
    /// The Job is denied.
    Deny = 5,
    /// The Job is not admitted yet, and clients retry by themselves.
    Wait = 4,
    /// The Job is corrected. A Job that cannot be corrected is denied.
    Patch = 3,
    /// The user gets a warning.
    Warn = 2,
    /// The finding is only logged.
    Audit = 1,
    /// The rule is not evaluated.
    Off = 0,
}

impl Action {
    /// The word for it in policy files, decisions and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How strict a namespace is: a limit for every action.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Mode {
    /// Every action of the policy is allowed.
    #[default]
    Enforce,
    /// `deny` and `patch` become `warn`.
    Warn,
    /// Findings are only logged.
    Audit,
    /// No Job is evaluated.
    Off,
}

impl Mode {
    /// The strongest action that is carried out in this mode.
    #[must_use]
    pub(crate) fn cap(self) -> Action {
        match self {
            Self::Enforce => Action::Deny,
            Self::Warn => Action::Warn,
            Self::Audit => Action::Audit,
            Self::Off => Action::Off,
        }
    }

    /// The word for it, which is also the value of the Namespace label `migration-warden.io/mode`.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What happens to a review whose decision could not be logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WithoutRecord {
    /// The verdict is returned anyway. The loss is counted and logged.
    #[default]
    Allow,
    /// The Job is denied.
    Deny,
}

/// A mode for namespaces whose name matches one of some patterns.
#[derive(Clone, Debug)]
pub struct NamespaceMode {
    /// Patterns in which `*` matches any characters.
    pub names: Vec<String>,
    /// The mode of those namespaces.
    pub mode: Mode,
}

/// A policy ready for use.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Short digest of the policy file, or `builtin`.
    pub hash: String,
    /// Which Jobs are migrations.
    pub selectors: Selectors,
    /// Which unlabelled Jobs get the promises of migration Jobs.
    pub(crate) adopt: Adoption,
    /// The strongest action for detected Jobs.
    pub detection: Action,
    /// What detected Jobs of the guide's shape get.
    pub(crate) promises: Promises,
    /// The action of the rule `unlabelled-migration` for those. It is not limited by `detection`.
    pub(crate) advice: Action,
    /// Whether the profile is `audit`: then no Job is changed or removed.
    pub(crate) only_audits: bool,
    /// The action of each rule, in the order of [`RULES`].
    pub actions: [Action; RULES.len()],
    /// Options of the rules.
    pub options: Options,
    /// Modes by namespace, first match wins.
    pub namespaces: Vec<NamespaceMode>,
    /// What two running migrations must not share.
    pub claims: claims::Claims,
    /// How long after its creation an exception may expire.
    pub max_exception: SignedDuration,
    /// What happens to a review whose decision could not be logged.
    pub without_record: WithoutRecord,
    /// Whether runs are recorded, and how many are kept.
    pub runs: Runs,
    /// What happens to finished Jobs.
    pub tidy_up: Cleanup,
    /// Why the policy is as it is, and how to ask for an exception: a URL or a sentence, shown in each denial.
    pub help: Option<String>,
}

impl Policy {
    /// The mode that the policy file sets for a namespace, if any.
    #[must_use]
    pub(crate) fn mode(&self, namespace: &str) -> Mode {
        let mut entries = self.namespaces.iter();
        let entry = entries.find(|entry| name_patterns::any(&entry.names, namespace));
        entry.map_or_else(Mode::default, |entry| entry.mode)
    }

    /// The match conditions of the webhook entries for the Jobs that `adopt` adopts, and for all others; `None` if CEL can
    /// express no entry.
    #[must_use]
    pub fn adoption_conditions(&self) -> Option<[(&'static str, String); 2]> {
        let entries = self.adopt.entries();
        Some([
            (cel::ADOPTED, adopt_cel::adopted(entries)?),
            (cel::NOT_ADOPTED, adopt_cel::not_adopted(entries)?),
        ])
    }

    /// How strict the policy is with what exists already in a namespace of this mode: under the profile `audit` no Job
    /// is changed or removed.
    #[must_use]
    pub(crate) fn limit(&self, mode: Mode) -> Mode {
        match mode {
            Mode::Enforce | Mode::Warn if self.only_audits => Mode::Audit,
            mode => mode,
        }
    }

    /// The last line of a denial, if the policy has one.
    #[must_use]
    pub(crate) fn help_line(&self) -> Option<String> {
        let help = self.help.as_deref()?;
        Some(format!("Why, and how to ask for an exception: {help}"))
    }

    /// The strongest action of a rule about this Job's manifest; `cap` is that of its namespace.
    #[must_use]
    pub(crate) fn cap(&self, job: &Job<'_>, selection: Selection, cap: Action) -> Action {
        let cap = match selection {
            Selection::Labelled => cap,
            Selection::Adopted(Adopter::Entry(index)) => {
                cap.min(self.adopt.entries()[index].rules.cap())
            }
            // Any client can write the label of a former policy, so it lifts no limit and lowers none.
            Selection::Adopted(Adopter::Detection | Adopter::Former) | Selection::Detected(_) => {
                cap.min(self.detection)
            }
            Selection::OptedOut | Selection::None => Action::Off,
        };
        // A CronJob runs at its own time. Helm has long returned, and no author would read the denial.
        if job.kind == Kind::CronJob {
            cap.min(Action::Warn)
        } else {
            cap
        }
    }

    /// The action for a rule's findings in this Job; `cap` is that of its namespace.
    #[must_use]
    pub(crate) fn action(
        &self,
        rule: &Rule,
        job: &Job<'_>,
        selection: Selection,
        cap: Action,
    ) -> Action {
        let index = RULES.iter().position(|other| other.id == rule.id);
        let action = index.map_or(Action::Off, |index| self.actions[index]);
        match rule.scope {
            // An adopted Job gets the promise whatever its rules do.
            Scope::Cluster(promise) if matches!(selection, Selection::Adopted(_)) => {
                let is_kept = self.promises(selection, promise);
                action.min(if is_kept { cap } else { Action::Off })
            }
            _ => action.min(self.cap(job, selection, cap)),
        }
    }

    /// Evaluates one Job: every finding of every rule, with its action.
    ///
    /// `cap` is the strongest action of the Job's namespace.
    #[must_use]
    pub fn evaluate(&self, job: &Job<'_>, selection: Selection, cap: Action) -> Vec<Finding> {
        let (namespaces, cap) = (cap, self.cap(job, selection, cap));
        let options = &self.options;
        let context = Context { selection, options };
        let is_detected = selection == Selection::Adopted(Adopter::Detection);
        let mut findings = Vec::new();
        for (rule, &action) in RULES.iter().copied().zip(&self.actions) {
            let action = if is_detected && rule.id == UNLABELLED_MIGRATION.id {
                self.advice.min(namespaces)
            } else {
                action.min(cap)
            };
            let in_scope = match rule.scope {
                Scope::Template => true,
                Scope::Job => job.kind == Kind::Job,
                Scope::Hook => job.kind == Kind::Job && job.deployer.runs_hooks(),
                Scope::Cluster(_) => false,
            };
            if action == Action::Off || !in_scope {
                continue;
            }
            match rule.check {
                Check::One(check) => findings.extend(
                    check(job, &context).map(|breach| Finding::new(rule, action, job.kind, breach)),
                ),
                Check::All(check) => {
                    let breaches = check(job, &context);
                    Finding::extend(&mut findings, rule, action, job.kind, breaches);
                }
                Check::None => {}
            }
        }
        findings
    }
}
