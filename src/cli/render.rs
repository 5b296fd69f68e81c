//! Writes what `check`, `scan`, `history` and `certs inspect` found, for people and for programs.

pub mod certificates;
pub mod history;
pub mod human;
pub mod json;
pub mod scan;
