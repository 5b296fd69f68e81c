//! What the process uses on its own machine: files, stdout and stderr, metrics, TLS and readiness.
//!
//! Requests from the network belong to [`crate::server`], requests to the API server to [`crate::cluster`].

pub mod decision_log;
pub(crate) mod file_watch;
pub mod health;
pub(crate) mod line_writer;
pub(crate) mod metrics;
pub mod policy_watch;
pub mod telemetry;
pub mod tls;
