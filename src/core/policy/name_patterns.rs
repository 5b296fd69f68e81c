//! Name patterns of policies and exceptions, in which `*` stands for any characters.

use regex::{Error, RegexSet};

/// Fails if the patterns are too large to be compiled.
pub(crate) fn compile(patterns: &[String]) -> Result<RegexSet, Error> {
    let anchored = |glob: &String| format!("^{}$", regex::escape(glob).replace(r"\*", ".*"));
    RegexSet::new(patterns.iter().map(anchored))
}
