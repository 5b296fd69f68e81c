//! Writes what `check` found, for people and for programs.

pub mod human;
pub mod json;
