//! The operands of `printf` that its format prints after the name of a password.

use std::ops::Range;

use super::key::is_key;
use super::scan::Scan;
use super::value::is_secret;
use super::{Form, location};
use crate::core::job::name::cut;

/// Most bytes of a format, and of its operands, that are read.
const MAX: usize = 512;
/// Most conversions of a format that are read.
const CONVERSIONS: usize = 16;

impl Scan<'_, '_> {
    /// Finds `'password=%s' x` after the word `printf`, which ends at `from`.
    pub(super) fn format(&mut self, from: usize) {
        let text = self.text;
        let rest = cut(&text[from..], MAX);
        let opened = rest.trim_start_matches([' ', '\t', '\\']);
        let Some(quote) = opened.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            return;
        };
        let start = from + rest.len() - opened.len() + 1;
        let Some(length) = opened[1..].find(quote) else {
            return;
        };
        let format = &text[start..start + length];
        let mut next = start + length + 1;
        for (at, _) in format.match_indices('%').take(CONVERSIONS) {
            // `%%` takes no operand.
            let is_percent = format[at..].starts_with("%%") || format[..at].ends_with('%');
            if is_percent {
                continue;
            }
            let Some((operand, end)) = operand(text, next) else {
                return;
            };
            next = end;
            let form = self.asked(start, format, at);
            if let Some(form) = form.filter(|_| is_secret(&text[operand.clone()], self.reader)) {
                self.hits.push((operand, form));
            }
        }
    }

    /// How a format asks for a password with the conversion at `at`.
    fn asked(&self, start: usize, format: &str, at: usize) -> Option<Form> {
        let (before, after) = format.split_at(at);
        let named = before.trim_end_matches(['\'', '"', '\\', ' ']);
        let name = || {
            let key = self.key(start + named.len() - 1)?;
            Some(&self.text[key]).filter(|name| is_key(name))
        };
        let segment = before.rsplit("\\n").next().unwrap_or(before);
        let is_netrc = named.ends_with("password") && before.contains("login");
        if named.ends_with([':', '='])
            && let Some(name) = name()
        {
            Some(Form::named(name))
        } else if before.ends_with(':')
            && before.contains("://")
            && after[1..].get(1..)?.starts_with('@')
        {
            Some(Form::Url)
        } else if location::pgpass_secret(segment) == Some(segment.len()) {
            Some(Form::PassFile)
        } else {
            is_netrc.then(|| Form::named("password"))
        }
    }
}

/// The word of a shell that begins after `from`, without its quotes, and where it ends.
fn operand(text: &str, from: usize) -> Option<(Range<usize>, usize)> {
    let rest = cut(text.get(from..)?, MAX);
    let opened = rest.trim_start_matches([' ', '\t']);
    let start = from + rest.len() - opened.len();
    let first = opened.chars().next().filter(|c| !"\n>|;&)<".contains(*c))?;
    if matches!(first, '\'' | '"') {
        let length = opened[1..].find(first)?;
        return Some((start + 1..start + 1 + length, start + length + 2));
    }
    let is_end = |c: char| c.is_ascii_whitespace() || ";|&)>".contains(c);
    let end = start + opened.find(is_end).unwrap_or(opened.len());
    Some((start..end, end))
}
