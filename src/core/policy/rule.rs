//! What a rule is, and the macro that turns a doc comment into its documentation.
//!
//! A rule is a value: an id that never changes meaning, a kebab-case name of the bad pattern, its
//! documentation and a pure function. The list of all rules is [`crate::core::policy::rules`].

use crate::core::job::Job;
use crate::core::policy::Action;
use crate::core::policy::adopt::Promise;
use crate::core::policy::breach::{Breach, Breaches};
use crate::core::policy::options::{AnyOption, Options};
use crate::core::policy::select::Selection;

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The Job itself: its name and what Helm does with it. Not evaluated for a CronJob.
    Job,
    /// How its deployer runs it as a hook. Not evaluated if the deployer does not run hooks.
    Hook,
    /// What the Job runs; also evaluated for a CronJob's template.
    Template,
    /// The Job's surroundings in the cluster, or what happens to it there. Its file has functions of its own, which take
    /// facts from the cluster and are called when a review is answered. It belongs to one of the promises, which an
    /// adopted Job may lack.
    Cluster(Promise),
}

/// Whether the action `patch` may be chosen for a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// It may. A finding that cannot be corrected in a particular Job is denied.
    Possible,
    /// It may not, and why.
    Refused(&'static str),
}

impl Patch {
    /// The reason that holds for all rules of a scope.
    ///
    /// # Panics
    /// While the program is built, for a scope without such a reason.
    #[must_use]
    pub(crate) const fn refused_by(scope: Scope) -> Self {
        match scope {
            Scope::Hook => HOOKS_NOT_PATCHABLE,
            Scope::Cluster(_) => CLUSTER_STATE_NOT_PATCHABLE,
            Scope::Job | Scope::Template => panic!("the rule has to say whether it can patch"),
        }
    }
}

/// Why no rule about hook annotations may patch them.
pub(crate) const HOOKS_NOT_PATCHABLE: Patch = Patch::Refused(
    "Helm reads the rendered chart, not the cluster: a patched hook annotation changes nothing",
);

/// Whether a rule can also be part of a `ValidatingAdmissionPolicy`.
#[derive(Clone, Copy, Debug)]
pub enum Cel {
    /// It can, as an expression that is true if the rule finds nothing, and that never fails. It may use the variables
    /// of [`crate::core::job::cel`].
    Expression(fn(&Options) -> String),
    /// It cannot, and why.
    Refused(&'static str),
}

/// What a check may know besides the Job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// Why the Job is evaluated.
    pub selection: Selection,
    /// What the policy sets.
    pub(crate) options: &'a Options,
}

/// The function of a rule. Pure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Check {
    /// A Job breaks the rule at most once.
    One(fn(&Job<'_>, &Context<'_>) -> Option<Breach>),
    /// A Job may break it in several places.
    All(fn(&Job<'_>, &Context<'_>) -> Breaches),
    /// The Job itself gives no findings: the rule is of [`Scope::Cluster`].
    None,
}

/// Why no rule of [`Scope::Cluster`] may patch.
const CLUSTER_STATE_NOT_PATCHABLE: Patch =
    Patch::Refused("what it finds is in the cluster, not in the Job");

/// Why no rule of [`Scope::Cluster`] can be a `ValidatingAdmissionPolicy`.
pub(crate) const NEEDS_THE_CLUSTER: Cel = Cel::Refused(
    "the policy sees only the request, and the rule depends on what else is in the cluster",
);

/// Why no rule about an existing Job can be a `ValidatingAdmissionPolicy`.
pub(crate) const NOT_A_CREATION: Cel = Cel::Refused(
    "the policy is evaluated only for creations, and the rule evaluates updates and deletions",
);

/// A rule, with its documentation and defaults.
#[derive(Debug)]
pub struct Rule {
    /// Stable id, `MW001`.
    pub id: &'static str,
    /// Kebab-case name of the bad pattern.
    pub name: &'static str,
    /// The fault in a few words, without values.
    pub reason: &'static str,
    /// What to write instead: follows the detail after a semicolon.
    pub remediation: &'static str,
    /// Path of the field it checks, as shown in the rules table.
    pub path: &'static str,
    /// Action in the profile `guide`.
    pub guide: Action,
    /// Action in the profile `strict`.
    pub strict: Action,
    /// What it checks.
    pub scope: Scope,
    /// Whether it may patch.
    pub patch: Patch,
    /// Its options in the policy file.
    pub(crate) options: &'static [AnyOption],
    /// Its CEL expression, or why it has none.
    pub cel: Cel,
    /// Markdown: what it flags, why, and what to write instead.
    pub docs: &'static str,
    /// Finds the breaches.
    pub(crate) check: Check,
}

impl Rule {
    /// The keys of its options in the policy file.
    #[must_use]
    pub(crate) fn option_keys(&self) -> Vec<&'static str> {
        self.options.iter().map(|option| option.key()).collect()
    }

    /// The first paragraph of the documentation in one line: what the rule flags.
    #[must_use]
    pub fn summary(&self) -> String {
        let first = self.docs.split("\n\n").next().unwrap_or_default();
        first.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The documentation as Markdown, without the indent of doc comments.
    #[must_use]
    pub fn markdown(&self) -> String {
        let lines = self.docs.lines();
        let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n").trim().to_owned()
    }
}

/// Declares a rule: the doc comment above it is its documentation. `options` may be left out, and so may `patch` if the
/// scope tells why nothing can be patched.
macro_rules! rule {
    (
        $(#[doc = $doc:literal])+
        $vis:vis static $ident:ident = {
            id: $id:literal,
            name: $name:literal,
            reason: $reason:literal,
            remediation: $remediation:literal,
            path: $path:literal,
            guide: $guide:expr,
            strict: $strict:expr,
            scope: $scope:expr,
            $(patch: $patch:expr,)?
            $(options: $options:expr,)?
            cel: $cel:expr,
            check: $check:expr,
        };
    ) => {
        $(#[doc = $doc])+
        $vis static $ident: $crate::core::policy::rule::Rule = $crate::core::policy::rule::Rule {
            id: $id,
            name: $name,
            reason: $reason,
            remediation: $remediation,
            path: $path,
            guide: $guide,
            strict: $strict,
            scope: $scope,
            patch: rule!(@patch $scope $(, $patch)?),
            options: rule!(@options $($options)?),
            cel: $cel,
            check: $check,
            docs: concat!($($doc, "\n"),+),
        };
    };
    (@patch $scope:expr) => { $crate::core::policy::rule::Patch::refused_by($scope) };
    (@patch $scope:expr, $patch:expr) => { $patch };
    (@options) => { &[] };
    (@options $options:expr) => { $options };
}
pub(crate) use rule;

/// The imports that every rule file needs.
pub(crate) mod prelude {
    pub(crate) use super::{
        Cel, Check, Context, HOOKS_NOT_PATCHABLE, NEEDS_THE_CLUSTER, NOT_A_CREATION, Patch, Scope,
        rule,
    };
    pub(crate) use crate::core::job::Job;
    pub(crate) use crate::core::job::annotation::Annotation;
    pub(crate) use crate::core::job::cel;
    pub(crate) use crate::core::job::deployer::Deployer;
    pub(crate) use crate::core::job::hooks;
    pub(crate) use crate::core::policy::Action::{Audit, Deny, Off, Wait, Warn};
    pub(crate) use crate::core::policy::adopt::Promise;
    pub(crate) use crate::core::policy::advice::{ARGOCD_OPTION, Purpose, Stray, missing};
    pub(crate) use crate::core::policy::breach::{Breach, Breaches, defaulted, shown};
    pub(crate) use crate::core::policy::options::{AnyOption, Options, RuleOption};
    pub(crate) use crate::core::policy::path::FieldPath;
}
