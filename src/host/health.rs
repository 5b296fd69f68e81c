//! Readiness of this replica: conditions that its parts add, and the report about them.
//!
//! [`crate::server::admin`] serves the report at `/readyz`.

use std::{
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// State of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The condition holds. The text adds details and may be empty.
    Ok(String),
    /// An operator should look at this, but the replica stays ready, because it can still answer reviews.
    Warning(String),
    /// The replica is not ready: reviews should go to another one.
    Failed(String),
}

type Probe = Box<dyn Fn() -> Status + Send + Sync>;

/// The conditions for this replica to be ready. Clones share them.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Vec<(&'static str, Probe)>>>);

/// A condition that a part of the program sets. Clones share it.
#[derive(Clone, Debug)]
pub struct Check(Arc<AtomicBool>);

impl Check {
    /// Sets whether the condition holds.
    pub fn set(&self, passing: bool) {
        self.0.store(passing, Ordering::Release);
    }
}

impl Readiness {
    /// Adds a condition with the initial state `passing`. `failure` is reported while it does not hold.
    #[must_use]
    pub fn register(&self, name: &'static str, failure: &'static str, passing: bool) -> Check {
        let check = Check(Arc::new(AtomicBool::new(passing)));
        let passing = Arc::clone(&check.0);
        self.probe(name, move || {
            if passing.load(Ordering::Acquire) {
                Status::Ok(String::new())
            } else {
                Status::Failed(failure.to_owned())
            }
        });
        check
    }

    /// Adds a condition that `probe` evaluates on each request.
    pub fn probe(&self, name: &'static str, probe: impl Fn() -> Status + Send + Sync + 'static) {
        self.checks().push((name, Box::new(probe)));
    }

    /// Whether no condition has failed. Warnings do not count.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let failed = |probe: &Probe| matches!(probe(), Status::Failed(_));
        !self.checks().iter().any(|(_, probe)| failed(probe))
    }

    fn checks(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, Probe)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the replica is ready, and a text with one line per condition in the format of `kube-apiserver`.
    pub(crate) fn report(&self) -> (bool, String) {
        let (mut ready, mut text) = (true, String::new());
        for (name, probe) in self.checks().iter() {
            // Writing to a String cannot fail.
            let _ = match probe() {
                Status::Ok(more) if more.is_empty() => writeln!(text, "[+]{name} ok"),
                Status::Ok(more) => writeln!(text, "[+]{name} ok: {more}"),
                Status::Warning(what) => writeln!(text, "[!]{name} warning: {what}"),
                Status::Failed(why) => {
                    ready = false;
                    writeln!(text, "[-]{name} failed: {why}")
                }
            };
        }
        text.push_str(if ready {
            "readyz check passed\n"
        } else {
            "readyz check failed\n"
        });
        (ready, text)
    }
}
