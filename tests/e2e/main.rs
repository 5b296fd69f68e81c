//! End-to-end tests: the built binary, a real apiserver, and both Helms.
//!
//! They need a cluster made by `tests/cluster/up` and are therefore ignored by a plain `cargo test`;
//! `tests/run` and `tests/long` run them all, `tests/cluster/README.md` says how to run one. Each test has a namespace,
//! a webhook process and webhook configurations of its own, so that they run side by side.
//! Tests in [`node`] want a node that runs pods, and those in [`install`] want it for themselves; all others
//! want one whose Jobs complete at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "clippy.toml allows them in test functions; here the helpers are test code as well"
)]

mod actions;
mod adopt;
mod adopted;
mod agree;
mod availability;
mod chart;
mod claims;
#[path = "../common/collector.rs"]
mod collector;
mod denials;
mod deployers;
mod events;
mod exceptions;
mod guards;
mod guide;
mod harness;
mod history;
mod hooks;
mod install;
mod large;
mod monitoring;
mod namespaces;
mod node;
mod patches;
#[path = "../common/line.rs"]
mod published;
mod record;
mod refusing;
mod release;
mod requests;
mod restart;
mod rights;
mod runs;
mod scan;
mod secrets;
mod single_flight;
mod stalled;
mod stamps;
#[path = "../common/testing.rs"]
mod testing;
mod tidy;
mod traces;
mod untouched;
mod vap;
mod verify;
