//! A finding is one breach of one rule. Rules write their findings into a report.

use std::borrow::Cow;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use crate::core::job::name::cut;
use crate::core::job::{Kind, credentials};
use crate::core::policy::Action;
use crate::core::policy::fix::Fix;
use crate::core::policy::path::FieldPath;
use crate::core::policy::rule::Rule;
use crate::core::text;

/// Most findings of one rule in one Job that are listed. A Job of a megabyte may hold ten thousand, and the answer has
/// to stay readable. The last one counts the rest.
const MAX_PER_RULE: usize = 16;

/// The facts about an exception that are reported: which one it is, and when it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionRef {
    /// Its namespace, which is also that of the Jobs it covers.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty for an exception from a file.
    pub uid: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// One breach of one rule.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The broken rule.
    pub rule: &'static Rule,
    /// What the policy does with it.
    pub action: Action,
    /// The field at fault.
    pub path: FieldPath,
    /// The byte range of that field's text that is at fault; `None` for all of it.
    pub within: Option<Range<usize>>,
    /// What is wrong, with the values found, in one line; never a credential.
    pub detail: String,
    /// Whether `detail` was cut.
    pub is_cut: bool,
    /// What to write instead: the rule's own text, unless it does not fit this Job.
    pub remediation: Cow<'static, str>,
    /// The correction, if this Job can be corrected.
    pub fix: Option<Fix>,
    /// The exception that limits the action to `audit`.
    pub exception: Option<Arc<ExceptionRef>>,
}

impl Finding {
    /// Appends `more` to the detail, which is cut to make room.
    pub fn append(&mut self, more: &str) {
        self.is_cut |= text::append(&mut self.detail, more, text::DETAIL);
    }

    /// The texts that may quote the Job.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let remediation = match &mut self.remediation {
            Cow::Owned(text) => Some(text),
            Cow::Borrowed(_) => None,
        };
        iter::once(&mut self.detail).chain(remediation)
    }

    /// The line a denial shows for this finding.
    #[must_use]
    pub fn message(&self) -> String {
        let Rule { id, name, .. } = self.rule;
        format!(
            "{id} {name}: {}: {}; {}",
            self.path, self.detail, self.remediation
        )
    }
}

/// Collects the findings of all rules in one Job.
#[derive(Debug)]
pub struct Report {
    kind: Kind,
    current: Option<(&'static Rule, Action)>,
    count: usize,
    findings: Vec<Finding>,
}

impl Report {
    /// An empty report on an object of `kind`.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            current: None,
            count: 0,
            findings: Vec::new(),
        }
    }

    /// The findings of one rule in an object of `kind`; none if its action is `off`.
    #[must_use]
    pub fn of(
        kind: Kind,
        rule: &'static Rule,
        action: Action,
        check: impl FnOnce(&mut Self),
    ) -> Vec<Finding> {
        let mut report = Self::new(kind);
        if action > Action::Off {
            report.judge(rule, action, check);
        }
        report.into_findings()
    }

    /// Runs one rule; the findings that `check` adds belong to it.
    pub fn judge(&mut self, rule: &'static Rule, action: Action, check: impl FnOnce(&mut Self)) {
        self.current = Some((rule, action));
        self.count = 0;
        check(self);
        let untold = self.count.saturating_sub(MAX_PER_RULE);
        if let (true, Some(last)) = (untold > 0, self.findings.last_mut()) {
            last.append(&format!(" (and {untold} more like this)"));
        }
        self.current = None;
    }

    /// Adds a finding that cannot be corrected.
    pub fn add(&mut self, path: FieldPath, detail: impl AsRef<str>) -> Added<'_> {
        self.push(path, None, detail.as_ref(), None)
    }

    /// Adds a finding about a part of a field's text.
    pub fn add_within(
        &mut self,
        path: FieldPath,
        part: Range<usize>,
        detail: impl AsRef<str>,
    ) -> Added<'_> {
        self.push(path, Some(part), detail.as_ref(), None)
    }

    /// Adds a finding with a correction, if this Job can be corrected.
    pub fn add_fixable(
        &mut self,
        path: FieldPath,
        detail: impl AsRef<str>,
        fix: Option<Fix>,
    ) -> Added<'_> {
        self.push(path, None, detail.as_ref(), fix)
    }

    /// The findings, in the order of the rules.
    #[must_use]
    pub fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    fn push(
        &mut self,
        path: FieldPath,
        within: Option<Range<usize>>,
        detail: &str,
        fix: Option<Fix>,
    ) -> Added<'_> {
        let Some((rule, action)) = self.current else {
            return Added(None);
        };
        self.count += 1;
        if self.count > MAX_PER_RULE {
            return Added(None);
        }
        let path = path.within(self.kind);
        let (detail, is_cut) = text::fit(detail, text::DETAIL);
        self.findings.push(Finding {
            rule,
            action,
            path,
            within,
            detail: detail.into_owned(),
            is_cut,
            remediation: Cow::Borrowed(rule.remediation),
            fix,
            exception: None,
        });
        Added(self.findings.last_mut())
    }
}

/// The finding that was just added, unless it was only counted.
#[derive(Debug)]
pub struct Added<'r>(Option<&'r mut Finding>);

impl Added<'_> {
    /// Replaces the rule's remediation by one that fits this Job better.
    pub fn advise(self, remediation: impl Into<Cow<'static, str>>) {
        if let Some(finding) = self.0 {
            finding.remediation = match remediation.into() {
                Cow::Borrowed(own) => Cow::Borrowed(own),
                // It may quote names from the Job.
                Cow::Owned(text) => text::fit(&text, text::DETAIL).0.into_owned().into(),
            };
        }
    }

    /// Limits the finding's action, whatever the policy says.
    #[must_use]
    pub fn at_most(mut self, action: Action) -> Self {
        if let Some(finding) = &mut self.0 {
            finding.action = finding.action.min(action);
        }
        self
    }
}

/// A value as a finding shows it: quoted, without control characters, and cut.
#[must_use]
pub fn shown(value: &str) -> String {
    const MAX: usize = 80;
    // Masked before it is cut: half a password would no longer look like one.
    let masked = credentials::mask(value);
    let cut = cut(&masked, MAX);
    let more = if cut.len() < masked.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}
