//! Runs: what is recorded of each migration Job that really existed.
//!
//! Pure. Watching and writing are [`crate::cluster`]'s.

pub mod resource;
