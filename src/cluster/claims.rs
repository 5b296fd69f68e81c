//! Claims: at most one active migration Job per concurrency key, across replicas and apiservers.
//!
//! A claim is a Lease in our own namespace that names one Job and its uid. [`key`] says what is claimed,
//! [`protocol`] decides each step from what has been observed, [`store`] carries the steps out against the
//! apiserver, [`release`] and [`sweeper`] give claims up, and [`blocker`] says what a user is told of the Job that is in
//! the way. What the policy does with a migration that has to wait is not known here.

mod crowd;
pub mod error;
pub mod blocker;
pub mod key;
mod active_jobs;
#[cfg(test)]
mod model;
pub mod protocol;
mod lease;
pub mod release;
pub mod store;
mod sweep;
pub mod sweeper;
