//! migration-warden keeps schema migrations that run as Helm hook Jobs safe on Kubernetes.
//!
//! The code has five storeys. What stands on one imports what stands on it or below it:
//!
//! ```text
//! cli      one file for each verb; cli::serve puts the parts together; cli::render writes reports
//! server   the HTTPS listener, its routes and limits, and the review of one request
//! cluster  the API server: watches, claims, runs, tidy-up, Events, the elected replica, certificates
//! host     this machine: files, the decision log, metrics, TLS, health, the program's own log
//! core     pure: no file, socket, clock, log or client
//! ```
//!
//! A review crosses [`core`] in this order:
//!
//! ```text
//! bytes -> review -> job facts -> findings -> verdict -> response bytes
//!                        ^            |           |
//!  manifest files -------+            |           +-> decision -> host::decision_log
//!  (check)                        exceptions
//! ```
//!
//! [`core::review`] reads and writes the protocol, [`core::job`] reads the facts of one Job, [`core::policy`] holds
//! the rules and what the policy does with their findings, [`core::exception`] says which findings are allowed for a
//! while, and [`core::admit`] puts them together. [`core::check`] and [`core::scan`] give the same verdict for manifests
//! and for a running cluster, and [`core::generate`] writes the rules in the API server's own language.

#![warn(missing_docs)]

pub mod cli;
pub mod cluster;
pub mod core;
pub mod host;
pub mod server;

#[cfg(test)]
#[path = "../tests/common/testing.rs"]
mod testing;
