//! The Job that another migration waits for, and how far it is, in words. Not for what can be done about it.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::core::job::running::{Progress, Wait};
use crate::core::policy::breach::shown;

/// The Job that has the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub job: String,
    /// How long ago it was created.
    pub age: SignedDuration,
    /// Who created it; empty if that is not known.
    pub user: String,
    /// How far it is.
    pub state: State,
    /// Its failed attempts, if there are any and others may follow.
    pub failures: Option<Failures>,
}

/// The failed attempts of a Job that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// How many there are.
    pub failed: i64,
    /// With how many the Job ends, if that is known.
    pub limit: Option<i64>,
    /// When the Job ends if the other attempts fail too, if that is known.
    pub end: Option<Timestamp>,
}

/// How far a Job is that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its pods show this.
    Active(Progress),
    /// It was admitted a moment ago, and does not exist yet.
    NotYetThere,
    /// It was deleted, and its pod is still running.
    Deleted,
    /// It is suspended.
    Suspended,
    /// It has not started for this reason, and is failed now.
    Superseded(Wait),
    /// It has not ended; more is not known.
    Unfinished,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, wait) = match self {
            Self::Active(Progress::Running) => ("is still running", None),
            Self::Active(Progress::NotStarted(wait)) => ("has not started", Some(wait)),
            Self::Active(Progress::Stopped(wait)) => (
                "has started, but none of its containers is running",
                Some(wait),
            ),
            Self::Active(Progress::Ended) => {
                ("has ended, but a sidecar keeps its pod running", None)
            }
            Self::NotYetThere => (
                "is about to be created, or its claim expires within a minute",
                None,
            ),
            Self::Deleted => ("is deleted, but its pod is still running", None),
            Self::Suspended => ("is suspended", None),
            Self::Superseded(wait) => ("never started and is failed now", Some(wait)),
            Self::Unfinished => ("has not ended", None),
        };
        f.write_str(words)?;
        match wait {
            Some(Wait { reason, message }) if message.is_empty() && !reason.is_empty() => {
                write!(f, " ({reason})")
            }
            Some(Wait { reason, message }) if !reason.is_empty() => {
                write!(f, " ({reason}: {})", shown(message))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failed, limit, end } = self;
        match limit {
            Some(limit) => write!(f, "{failed} of {limit} attempts failed")?,
            None if *failed == 1 => f.write_str("1 attempt failed")?,
            None => write!(f, "{failed} attempts failed")?,
        }
        match end {
            // With its date, because logs and Events are also read days later.
            Some(end) => write!(
                f,
                ", ends by itself at about {}",
                end.strftime("%Y-%m-%d %H:%M UTC")
            ),
            None => Ok(()),
        }
    }
}
