//! The machine that the process runs on: its files, its output, its metrics, its TLS. Not for the network's requests.

pub mod decision_log;
pub mod file_watch;
pub mod health;
pub mod metrics;
pub(crate) mod line_writer;
pub mod policy_watch;
pub mod telemetry;
pub mod tls;
