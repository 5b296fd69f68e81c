//! Whether this replica wants reviews, and what is wrong with it: conditions that its parts add, and what is told of them.
//!
//! Who asks, and over what, is [`crate::server::admin`]'s.

use std::{
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What is told of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds; the text says more, where there is more to say.
    Ok(String),
    /// Somebody should look at this, but reviews are better sent here than nowhere.
    Warning(String),
    /// Reviews should go elsewhere.
    Failed(String),
}

type Probe = Box<dyn Fn() -> Status + Send + Sync>;

/// The conditions under which this replica wants reviews. Clones share them.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Vec<(&'static str, Probe)>>>);

/// A condition that somebody sets. Clones share it.
#[derive(Clone, Debug)]
pub struct Check(Arc<AtomicBool>);

impl Check {
    /// Says whether the condition holds now.
    pub fn set(&self, passing: bool) {
        self.0.store(passing, Ordering::Release);
    }
}

impl Readiness {
    /// Adds a condition, which holds or not from the start. `failure` says what is wrong when it
    /// does not.
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

    /// Adds a condition that is looked at when somebody asks.
    pub fn probe(&self, name: &'static str, probe: impl Fn() -> Status + Send + Sync + 'static) {
        self.checks().push((name, Box::new(probe)));
    }

    /// Whether all conditions hold.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let failed = |probe: &Probe| matches!(probe(), Status::Failed(_));
        !self.checks().iter().any(|(_, probe)| failed(probe))
    }

    fn checks(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, Probe)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verdict and its reasons, spelled as Kubernetes' own components do.
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
