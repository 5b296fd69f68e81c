//! migration-warden keeps schema migrations that run as Helm hook Jobs safe on Kubernetes.
//!
//! Data flows one way:
//!
//! ```text
//! bytes -> review -> job facts -> findings -> verdict -> response bytes
//!                        ^            |           |
//!  manifest files -------+      (pure: no I/O,    +-> decision -> record, metrics
//!  (check)                       clock, log)
//! ```
//!
//! [`review`] reads and writes the protocol, [`job`] takes the facts of one Job, [`policy`] holds the
//! rules and what the policy does with their findings, [`guard`] looks at updates and deletions,
//! [`exception`] at what may be broken for a while, and [`admit`] puts them together. All of that is
//! pure and shared: [`check`] gives a chart's author the verdict that [`server`] gives the apiserver,
//! [`scan`] gives it for what a cluster already has, and [`generate`] writes the rules down in the
//! apiserver's own language. Which finished Jobs may go is [`tidy`]'s, what is recorded of each [`run`]'s,
//! and in which order that is shown [`history`]'s, pure as well. Around it are the effects: [`config`]
//! (the policy file), [`tls`], [`record`], [`metrics`], [`cluster`], and the command line in [`cli`].

pub mod admit;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod config;
mod crd;
pub mod event;
pub mod exception;
pub mod generate;
pub mod guard;
pub mod health;
pub mod history;
pub mod job;
pub mod manifest;
pub mod metrics;
pub mod namespace;
#[cfg(feature = "otlp")]
pub mod otlp;
mod output;
pub mod policy;
pub mod poll;
pub mod record;
pub mod render;
pub mod review;
pub mod run;
pub mod scan;
pub mod server;
pub mod telemetry;
pub mod text;
pub mod tidy;
pub mod tls;
pub mod verify;
pub mod wire;
