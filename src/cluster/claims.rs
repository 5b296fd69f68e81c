//! Claims: at most one active migration Job per concurrency key, across replicas and API servers.
//!
//! A claim is a Lease in our own namespace that names one Job and its uid. [`key`] defines what is claimed,
//! [`protocol`] decides each step from observations, [`store`] carries the steps out, `lists` and `looks` observe,
//! [`release`] and [`sweeper`] give claims up, `supersede` fails a holder that never started, and [`blocker`] describes
//! the other migration to the user. The policy for a migration that has to wait is not known here.

mod active_jobs;
pub mod blocker;
mod crowd;
pub mod error;
pub mod key;
mod lease;
mod lists;
mod logged;
mod looks;
pub(crate) mod metrics;
#[cfg(test)]
mod model;
pub mod protocol;
pub mod release;
pub mod store;
mod supersede;
mod sweep;
pub(crate) mod sweeper;
mod wanted;
