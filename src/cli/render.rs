//! Writes what `check`, `scan` and `history` found, for people and for programs.

pub mod history;
pub mod human;
pub mod json;
pub mod scan;
