//! What the check of a rule returns: the breaches of that rule. A breach knows neither the rule nor the policy's
//! action: [`crate::core::policy::finding`] adds both.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::Range;

use crate::core::job::credentials;
use crate::core::job::name::cut;
use crate::core::policy::Action;
use crate::core::policy::fix::Fix;
use crate::core::policy::path::FieldPath;
use crate::core::text;

/// Most breaches of one rule in one Job that are listed. A Job of a megabyte may hold ten thousand, and the answer has
/// to stay readable.
const MAX_LISTED: usize = 16;

/// One breach of one rule.
#[must_use]
#[derive(Debug)]
pub(crate) struct Breach {
    pub(super) path: FieldPath,
    pub(super) within: Option<Range<usize>>,
    pub(super) detail: String,
    pub(super) remediation: Option<Cow<'static, str>>,
    pub(super) fix: Option<Fix>,
    pub(super) most: Action,
    pub(super) commands: Vec<Command>,
}

impl Breach {
    /// `path` is the field at fault, and `detail` what is wrong with it. Values of the Job in `detail` are [`shown`].
    pub(crate) fn new(path: impl Into<FieldPath>, detail: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            within: None,
            detail: detail.into(),
            remediation: None,
            fix: None,
            most: Action::Deny,
            commands: Vec::new(),
        }
    }

    /// Only this byte range of the field's text is at fault.
    pub(crate) fn in_part(self, part: Range<usize>) -> Self {
        let within = Some(part);
        Self { within, ..self }
    }

    /// Adds the correction.
    pub(crate) fn fixed_by(self, fix: impl Into<Option<Fix>>) -> Self {
        let fix = fix.into();
        Self { fix, ..self }
    }

    /// Replaces the rule's remediation by one that fits this Job better.
    pub(crate) fn advise(self, remediation: impl Into<Cow<'static, str>>) -> Self {
        let remediation = Some(remediation.into());
        Self {
            remediation,
            ..self
        }
    }

    /// Adds a command that helps. Consecutive commands with one purpose belong together.
    pub(crate) fn command(mut self, purpose: &'static str, line: impl Into<String>) -> Self {
        let line = line.into();
        self.commands.push(Command { purpose, line });
        self
    }

    /// Limits the action, whatever the policy says.
    pub(crate) fn at_most(self, most: Action) -> Self {
        Self { most, ..self }
    }
}

/// A command that helps, which a denial shows on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// Such as "To look".
    pub(crate) purpose: &'static str,
    /// The command line.
    pub line: String,
}

/// The breaches of one rule in one Job: the first [`MAX_LISTED`], and how many more there are.
#[derive(Debug, Default)]
pub(crate) struct Breaches {
    pub(super) listed: Vec<Breach>,
    pub(super) more: usize,
}

impl Breaches {
    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

impl Extend<Breach> for Breaches {
    fn extend<I: IntoIterator<Item = Breach>>(&mut self, breaches: I) {
        for breach in breaches {
            if self.listed.len() < MAX_LISTED {
                self.listed.push(breach);
            } else {
                self.more += 1;
            }
        }
    }
}

impl FromIterator<Breach> for Breaches {
    fn from_iter<I: IntoIterator<Item = Breach>>(breaches: I) -> Self {
        let mut all = Self::default();
        all.extend(breaches);
        all
    }
}

impl From<Breach> for Breaches {
    fn from(breach: Breach) -> Self {
        Self::from_iter([breach])
    }
}

/// The words for a value that Kubernetes may have defaulted. The API server writes a default before it asks the webhook,
/// so nothing shows whether the author wrote a value that equals it. `check` says the same of a file.
#[must_use]
pub(crate) fn defaulted(
    field: &str,
    value: impl Display,
    is_set: bool,
    is_default: bool,
) -> String {
    if is_set && !is_default {
        format!("found {value}")
    } else {
        format!("{field} is {value}, Kubernetes' default if it is not set")
    }
}

/// A value as a finding shows it: quoted, without control characters, and cut.
#[must_use]
pub(crate) fn shown(value: &str) -> String {
    const MAX: usize = 80;
    // Masked before it is cut: half a password would no longer look like one.
    let masked = credentials::mask(value);
    let cut = cut(&masked, MAX);
    let more = if cut.len() < masked.len() { "…" } else { "" };
    format!("{}{more}", text::quoted(cut))
}
