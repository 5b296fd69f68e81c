//! Patterns for texts that a tenant writes: compiled once, and read in linear time.
//!
//! Patterns are constants, and each module that owns some has a test that compiles them; `Option` keeps a panic out of
//! the request path.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

pub(super) type Pattern = LazyLock<Option<Regex>>;

pub(super) fn compiled(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).unicode(false).build().ok()
}

/// Compiles a case-insensitive pattern.
pub(super) fn of_any_case(pattern: &str) -> Option<Regex> {
    compiled(&format!("(?i){pattern}"))
}

pub(super) fn is(pattern: &Pattern, text: &str) -> bool {
    pattern
        .as_ref()
        .is_some_and(|regex| regex.is_match(text.as_bytes()))
}
