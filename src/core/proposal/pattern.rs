//! Patterns for the names of Jobs and namespaces, generalised from those that exist.
//!
//! Not for what a pattern matches: [`crate::core::policy::name_patterns`] knows that.

use std::collections::BTreeSet;
use std::fmt;

use crate::core::job::Job;
use crate::core::job::name::cut;
use crate::core::policy::name_patterns;

/// Most characters of a `generateName` that the API server keeps in a name.
const MAX_GENERATED_BASE: usize = 58;

/// A text in which `*` stands for any characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern(String);

impl Pattern {
    pub(super) fn exact(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The pattern for the names that later attempts of this migration will have. `release` is the name of its release.
    pub(super) fn of(job: &Job<'_>, release: Option<&str>) -> Self {
        let (name, base) = (job.name, job.name.base());
        if let Some(prefix) = name.generate().filter(|_| name.stamp().is_none()) {
            return Self(format!("{}*", cut(prefix, MAX_GENERATED_BASE)));
        }
        let stem = constant(base, release.unwrap_or_default());
        if base == name.shown() || stem.ends_with('*') {
            Self(stem)
        } else {
            Self(format!("{stem}-*"))
        }
    }

    /// Whether a part of the base name changes with each attempt, so that claims by name do not make them wait.
    pub(super) fn renames(job: &Job<'_>, release: Option<&str>) -> bool {
        constant(job.name.base(), release.unwrap_or_default()).contains('*')
    }

    /// The same for any release, if the name begins with that of the release and says more.
    pub(super) fn of_any_release(&self, release: &str) -> Option<Self> {
        let rest = self.0.strip_prefix(release)?;
        let says_more = rest.contains(|c| !"-*".contains(c));
        (rest.starts_with('-') && says_more).then(|| Self(format!("*{rest}")))
    }

    /// The constant parts of the names.
    pub(super) fn stem(&self) -> String {
        let parts = self.0.split('-').map(|part| part.replace('*', ""));
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        parts.join("-")
    }

    /// Whether the names vary.
    pub(super) fn varies(&self) -> bool {
        self.0.contains('*')
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        name_patterns::matches(&self.0, text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Patterns for these namespaces: a common beginning if several have it and no other known namespace does. If the
/// others are not known, each is named.
pub(super) fn of_namespaces(namespaces: &BTreeSet<&str>, known: &BTreeSet<String>) -> Vec<Pattern> {
    let mut left = namespaces.clone();
    let mut patterns = BTreeSet::new();
    while let Some(&name) = left.first() {
        let beginnings = name.match_indices('-').map(|(at, _)| &name[..=at]);
        let is_common = |beginning: &&str| {
            let shared = left.iter().filter(|name| name.starts_with(beginning));
            let mut all = known.iter().filter(|name| name.starts_with(beginning));
            shared.count() > 1 && all.all(|name| namespaces.contains(&**name))
        };
        let common = beginnings.into_iter().find(is_common);
        let pattern = match common.filter(|_| !known.is_empty()) {
            Some(beginning) => Pattern(format!("{beginning}*")),
            None => Pattern::exact(name),
        };
        left.retain(|name| !pattern.matches(name));
        patterns.insert(pattern);
    }
    patterns.into_iter().collect()
}

/// The name with `*` for its parts that look like what each release changes. The release's own name stays, or else the
/// first part.
fn constant(name: &str, release: &str) -> String {
    let rest = name
        .strip_prefix(release)
        .filter(|rest| rest.starts_with('-'));
    let start = match rest {
        Some(rest) if !release.is_empty() => name.len() - rest.len(),
        _ => name.find('-').unwrap_or(name.len()),
    };
    let (start, rest) = name.split_at(start);
    let mut parts = vec![start];
    for part in rest.split('-').skip(1) {
        match is_changing(part) {
            true if parts.last() == Some(&"*") => {}
            true => parts.push("*"),
            false => parts.push(part),
        }
    }
    parts.join("-")
}

/// Whether this part of a name is a number, a version, a hash or made of random characters.
fn is_changing(part: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let version = part.strip_prefix('v').unwrap_or(part);
    if version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|byte| is_digit(byte) || byte == b'.')
    {
        return true;
    }
    let has_digit = part.bytes().any(is_digit);
    let is_hash = part.len() > 5 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = part.as_bytes();
    let turns = bytes
        .windows(2)
        .filter(|pair| is_digit(pair[0]) != is_digit(pair[1]));
    let is_random = part.len() > 4 && turns.count() > 1;
    has_digit && (is_hash || is_random && bytes.iter().all(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::policy::testing::stored;

    #[test]
    fn what_each_release_changes_is_left_out() {
        for (name, generate, expected) in [
            ("kratos-automigrate", "", "kratos-automigrate"),
            ("shop-migrate-1766361600", "", "shop-migrate-*"),
            ("shop-migrate-12-20251203-091500", "", "shop-migrate-*"),
            ("gitlab-migrations-a41f9c2", "", "gitlab-migrations-*"),
            ("plane-api-migrate-3", "", "plane-api-migrate-*"),
            ("app-migrate-v1-2-3", "", "app-migrate-*"),
            ("app-migrate-1.2.3-job", "", "app-migrate-*-job"),
            ("app-12-migrate-1766361600", "", "app-*-migrate-*"),
            ("hatchet-7k2m9x4qzp", "", "hatchet-*"),
            ("shop-facade", "", "shop-facade"),
            ("init-postgres16", "", "init-postgres16"),
            ("migrate-k8s", "", "migrate-k8s"),
            ("my-2-shop-migrate-7", "", "my-2-shop-migrate-*"),
            ("2024", "", "2024"),
            ("shop-migrate-x7k2p", "shop-migrate-", "shop-migrate-*"),
            ("", "shop-migrate.", "shop-migrate.*"),
            ("", "shop-migrate-1766361600-", "shop-migrate-*"),
        ] {
            let job = json!({"metadata": {"name": name, "generateName": generate}});
            stored(&job, |job| {
                let pattern = Pattern::of(job, Some("my-2-shop"));
                assert_eq!(pattern.to_string(), expected, "{name} {generate}");
                assert!(pattern.matches(job.name.shown()), "{name}");
            });
        }
    }

    #[test]
    fn namespaces_are_generalised_only_if_no_other_one_begins_like_them() {
        let all = ["shop-eu", "shop-us", "shop-ci", "pay-eu", "pay-us", "api"];
        let known = all.map(str::to_owned).into();
        let of = |names: &[&'static str], known: &BTreeSet<String>| {
            let patterns = of_namespaces(&names.iter().copied().collect(), known);
            patterns.iter().map(Pattern::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(&["pay-us", "pay-eu", "api"], &known), ["api", "pay-*"]);
        assert_eq!(of(&["shop-eu", "shop-us"], &known), ["shop-eu", "shop-us"]);
        assert_eq!(of(&["api"], &known), ["api"]);
        assert_eq!(
            of(&["pay-us", "pay-eu"], &BTreeSet::new()),
            ["pay-eu", "pay-us"]
        );
    }
}
