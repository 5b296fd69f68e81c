//! Writes what `scan` found: page by page, because it may be more than fits in memory.

pub mod human;
pub mod json;

#[cfg(test)]
mod tests;
