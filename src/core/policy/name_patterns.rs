//! Name patterns of policies and exceptions, in which `*` stands for any characters.

use regex::{Error, RegexSet};

/// Whether this pattern matches the whole text, in linear time.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else {
        return text == first;
    };
    let mut rest = text.strip_prefix(first);
    for part in parts {
        rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
    }
    rest.is_some_and(|rest| rest.ends_with(last))
}

/// Fails if the patterns are too large to be compiled.
pub(crate) fn compile(patterns: &[String]) -> Result<RegexSet, Error> {
    let anchored = |glob: &String| format!("^{}$", regex::escape(glob).replace(r"\*", ".*"));
    RegexSet::new(patterns.iter().map(anchored))
}
