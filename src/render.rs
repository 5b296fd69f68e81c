//! Writes what `check` and `certs inspect` found, for people and for programs.

pub mod certificates;
pub mod human;
pub mod json;
