//! A finding is a breach with its rule and with what the policy does about it.

use std::borrow::Cow;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use crate::core::job::Kind;
use crate::core::policy::Action;
use crate::core::policy::breach::{Breach, Breaches, Command};
use crate::core::policy::fix::Fix;
use crate::core::policy::path::FieldPath;
use crate::core::policy::rule::Rule;
use crate::core::text;

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
    pub(crate) expires_at: Timestamp,
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
    pub(crate) is_cut: bool,
    /// What to write instead: the rule's own text, unless it does not fit this Job.
    pub remediation: Cow<'static, str>,
    /// Commands that help.
    pub(crate) commands: Vec<Command>,
    /// The correction, if this Job can be corrected.
    pub(crate) fix: Option<Fix>,
    /// The exception that limits the action to `audit`.
    pub(crate) exception: Option<Arc<ExceptionRef>>,
}

impl Finding {
    /// The finding of `breach` in an object of `kind`.
    pub(super) fn new(rule: &'static Rule, action: Action, kind: Kind, breach: Breach) -> Self {
        let (detail, is_cut) = fit(breach.detail);
        Self {
            rule,
            action: action.min(breach.most),
            path: breach.path.within(kind),
            within: breach.within,
            detail,
            is_cut,
            remediation: match breach.remediation {
                None => Cow::Borrowed(rule.remediation),
                Some(Cow::Borrowed(own)) => Cow::Borrowed(own),
                // It may quote names from the Job.
                Some(Cow::Owned(text)) => fit(text).0.into(),
            },
            commands: breach.commands.into_iter().map(fit_command).collect(),
            fix: breach.fix,
            exception: None,
        }
    }

    /// The findings of one rule in an object of `kind`; none if its action is `off`.
    #[must_use]
    pub(crate) fn list(
        rule: &'static Rule,
        action: Action,
        kind: Kind,
        breaches: Breaches,
    ) -> Vec<Self> {
        let mut findings = Vec::new();
        if action > Action::Off {
            Self::extend(&mut findings, rule, action, kind, breaches);
        }
        findings
    }

    /// Appends the findings of one rule; the last one counts those that are not listed.
    pub(super) fn extend(
        findings: &mut Vec<Self>,
        rule: &'static Rule,
        action: Action,
        kind: Kind,
        breaches: Breaches,
    ) {
        let Breaches { listed, more } = breaches;
        let listed = listed.into_iter();
        findings.extend(listed.map(|breach| Self::new(rule, action, kind, breach)));
        if let (1.., Some(last)) = (more, findings.last_mut()) {
            last.append(&format!(" (and {more} more like this)"));
        }
    }

    /// Appends `more` to the detail, which is cut to make room.
    pub(crate) fn append(&mut self, more: &str) {
        self.is_cut |= text::append(&mut self.detail, more, text::DETAIL);
    }

    /// The texts that may quote the Job.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let remediation = match &mut self.remediation {
            Cow::Owned(text) => Some(text),
            Cow::Borrowed(_) => None,
        };
        let commands = self.commands.iter_mut().map(|command| &mut command.line);
        iter::once(&mut self.detail)
            .chain(remediation)
            .chain(commands)
    }

    /// What a denial shows for this finding: a line, and the commands that help on lines of their own.
    #[must_use]
    pub fn message(&self) -> String {
        let Rule { id, name, .. } = self.rule;
        let (path, detail, remediation) = (&self.path, &self.detail, &self.remediation);
        let mut message = format!("{id} {name}: {path}: {detail}; {remediation}");
        let mut last = "";
        for Command { purpose, line } in &self.commands {
            if *purpose != last {
                message.extend(["\n", *purpose, ":"]);
            }
            message.extend(["\n  ", line.as_str()]);
            last = purpose;
        }
        message
    }
}

/// A command may quote any name that a request has.
fn fit_command(Command { purpose, line }: Command) -> Command {
    let line = fit(line).0;
    Command { purpose, line }
}

/// A text that is safe to show, and whether it was cut.
fn fit(text: String) -> (String, bool) {
    match text::fit(&text, text::DETAIL) {
        (Cow::Borrowed(_), is_cut) => (text, is_cut),
        (Cow::Owned(fitted), is_cut) => (fitted, is_cut),
    }
}
