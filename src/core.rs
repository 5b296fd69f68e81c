//! What the program knows of migrations, policies and reviews. Pure: no file, socket, clock, log or client.
//!
//! The clock, the ids and what the cluster says are handed in.

pub mod admit;
pub mod check;
pub(crate) mod cleanup;
pub(crate) mod comparison;
mod crd_schema;
pub mod decision;
pub mod exception;
pub mod generate;
pub mod guard;
pub(crate) mod history;
pub mod job;
pub(crate) mod json;
mod judge;
pub(crate) mod manifest;
pub mod namespace;
pub(crate) mod notice;
pub mod pki;
pub mod policy;
pub mod policy_file;
pub(crate) mod proposal;
pub(crate) mod quote;
pub mod report;
pub mod review;
pub mod runs;
pub(crate) mod scan;
pub(crate) mod supersede;
pub(crate) mod text;
pub(crate) mod time;
mod typos;
