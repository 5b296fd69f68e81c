//! The words and patterns by which command lines are recognised: `tables.yaml` has them, and says what each is for.
//!
//! They are compiled once. Patterns read a text that a tenant writes in linear time.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::bytes::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde::Deserialize;

/// A test reads the file, so that no request finds it broken.
pub(in crate::core::job) static TABLES: LazyLock<Tables> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("tables.yaml")).unwrap_or_default());

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::core::job) struct Tables {
    pub(super) commands: Tools,
    pub(super) images: Tools,
    pub(super) aside: Words,
    pub(super) cluster: Words,
    pub(super) through: Words,
    pub(super) clients: Words,
    pub(super) copies: Words,
    pub(super) before: Words,
    pub(super) shells: Words,
    pub(super) interpreters: Words,
    pub(super) dry: Words,
    pub(super) reads: Words,
    pub(super) writes: Words,
    pub(super) shows: Words,
    pub(super) word: Pattern,
    pub(super) joined: Pattern,
    pub(super) looks_before: Pattern,
    pub(super) looks_after: Pattern,
    pub(super) and: Pattern,
    pub(super) option: Pattern,
    pub(super) valued: Pattern,
    pub(super) task: Pattern,
    pub(super) name: Pattern,
    pub(super) not_by_name: Pattern,
    pub(super) false_friends: Pattern,
    pub(in crate::core::job) down: Words,
    pub(in crate::core::job) up: Words,
    pub(in crate::core::job) undo: Pattern,
    pub(in crate::core::job) wipe: Pattern,
}

#[derive(Default, Deserialize)]
#[serde(from = "String")]
pub(in crate::core::job) struct Words(HashSet<String>);

impl From<String> for Words {
    fn from(words: String) -> Self {
        Self(words.split_whitespace().map(str::to_owned).collect())
    }
}

impl Words {
    pub(in crate::core::job) fn has(&self, word: &str) -> bool {
        self.0.contains(word)
    }
}

#[derive(Default, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::core::job) struct Pattern(Option<Regex>);

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(pattern: String) -> Result<Self, regex::Error> {
        let regex = RegexBuilder::new(&pattern).unicode(false).build()?;
        Ok(Self(Some(regex)))
    }
}

impl Pattern {
    pub(in crate::core::job) fn is_in(&self, text: &str) -> bool {
        let regex = self.0.as_ref();
        regex.is_some_and(|regex| regex.is_match(text.as_bytes()))
    }

    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.0.as_ref()?.captures(text.as_bytes())
    }
}

/// Tools with a pattern each, the first that matches wins.
#[derive(Default, Deserialize)]
#[serde(try_from = "Vec<(String, String)>")]
pub(super) struct Tools {
    names: Vec<String>,
    patterns: RegexSet,
}

impl TryFrom<Vec<(String, String)>> for Tools {
    type Error = regex::Error;

    fn try_from(tools: Vec<(String, String)>) -> Result<Self, regex::Error> {
        let (names, patterns): (_, Vec<String>) = tools.into_iter().unzip();
        let mut builder = RegexSetBuilder::new(patterns);
        let patterns = builder.unicode(false).case_insensitive(true).build()?;
        Ok(Self { names, patterns })
    }
}

impl Tools {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The tool that this text shows.
    pub(super) fn of(&self, text: &str) -> Option<&str> {
        let found = self.patterns.matches(text.as_bytes()).iter().next()?;
        self.names.get(found).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_can_be_read() {
        let tables: Result<Tables, _> = serde_saphyr::from_str(include_str!("tables.yaml"));
        assert_eq!(tables.err().map(|error| error.to_string()), None);
    }
}
