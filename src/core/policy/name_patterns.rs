//! Patterns for names, in which `*` stands for any characters. Policies and exceptions write them.

use regex::{Error, RegexSet};

/// Fails when the patterns are too large to be compiled.
pub(crate) fn compile(patterns: &[String]) -> Result<RegexSet, Error> {
    let anchored = |glob: &String| format!("^{}$", regex::escape(glob).replace(r"\*", ".*"));
    RegexSet::new(patterns.iter().map(anchored))
}
