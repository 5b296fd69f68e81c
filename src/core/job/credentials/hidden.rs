//! Hides every other copy of a password that was found.

use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{Form, Hit};
use crate::core::quote::quoted;

/// Shortest text that is hidden: shorter ones are part of many words and not secret.
const SHORTEST: usize = 4;
/// Most of a text that is shown before it is cut (see [`crate::core::policy::breach::shown`]).
const SHOWN: usize = 80;

/// Most passwords that are kept of a Job, and most bytes of all of them. A kept byte takes up to 90 bytes.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 4096;

#[derive(Clone, Default)]
pub(crate) struct Secrets {
    sorted: Vec<String>,
    automaton: Option<AhoCorasick>,
    /// There may be more passwords: not all of the Job's text was searched.
    has_unread: bool,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.sorted.len())
    }
}

/// The automaton follows from the texts, so it is not compared.
impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        (&self.sorted, self.has_unread) == (&other.sorted, other.has_unread)
    }
}

impl Eq for Secrets {}

impl Secrets {
    /// The passwords that were found, except very short ones.
    #[must_use]
    pub(crate) fn of(hits: &[Hit<'_>]) -> Self {
        let plain = hits
            .iter()
            .filter(|hit| !matches!(hit.form, Form::Unread(_)))
            .map(|hit| hit.secret().trim_matches(['"', '\'', '\\', ';']));
        let long = plain.filter(|text| text.len() >= SHORTEST);
        let mut sorted: Vec<String> = long
            .flat_map(|text| {
                // Its escaped form, as in a quoted text.
                let quoted = quoted(text);
                let escaped = quoted[1..quoted.len() - 1].to_owned();
                [Some(text.to_owned()), (escaped != text).then_some(escaped)]
            })
            .flatten()
            .collect();
        sorted.sort_unstable();
        sorted.dedup();
        let automaton = (!sorted.is_empty()).then(|| {
            let mut builder = AhoCorasick::builder();
            // For few patterns the default is a DFA, which takes a kilobyte for each of their bytes.
            builder
                .kind(Some(AhoCorasickKind::NoncontiguousNFA))
                .match_kind(MatchKind::LeftmostLongest)
                .build(&sorted)
                .ok()
        });
        Self {
            sorted,
            automaton: automaton.flatten(),
            has_unread: hits.iter().any(|hit| matches!(hit.form, Form::Unread(_))),
        }
    }

    /// Like [`Self::of`], for a Job that is kept in memory: tenants decide how many passwords a Job has, and how long they
    /// are. If they are too many none is kept, and texts are hidden as a whole.
    pub(crate) fn kept_of(hits: &[Hit<'_>]) -> Self {
        let bytes: usize = hits.iter().map(|hit| hit.secret().len()).sum();
        if hits.len() <= KEPT && bytes <= KEPT_BYTES {
            return Self::of(hits);
        }
        Self {
            has_unread: true,
            ..Self::default()
        }
    }

    /// [`Self::hide_in`] for a text from elsewhere, which is hidden as a whole if not all of the Job was searched.
    pub(crate) fn hide_in_others(&self, text: &mut String) {
        if self.has_unread {
            "***".clone_into(text);
        } else {
            self.hide_in(text);
        }
    }

    /// Writes `***` for each password in a sentence, also for the first part of one at the end of a cut text.
    pub(crate) fn hide_in(&self, sentence: &mut String) {
        if self.has_unread {
            *sentence = unquoted(sentence);
            return;
        }
        let Some(automaton) = &self.automaton else {
            return;
        };
        let mut hidden = String::new();
        automaton.replace_all_with(sentence, &mut hidden, |_, _, to| {
            to.push_str("***");
            true
        });
        let cuts: Vec<usize> = hidden.match_indices('…').map(|(at, _)| at).collect();
        for cut in cuts.into_iter().rev() {
            if let Some(part) = self.cut_off(&hidden[..cut]) {
                hidden.replace_range(part, "***");
            }
        }
        *sentence = hidden;
    }

    /// The first part of a password at the end of a text that was cut.
    fn cut_off(&self, text: &str) -> Option<Range<usize>> {
        let end = text.trim_end_matches('"').len();
        let starts = text[..end].char_indices().rev().map(|(at, _)| at);
        let parts = starts.take(SHOWN).map(|at| at..end);
        parts
            .filter(|part| part.len() >= SHORTEST && self.begins(&text[part.clone()]))
            .last()
    }

    /// Like [`Self::hide_in`], with a star for each byte, so that positions do not change.
    #[must_use]
    pub(crate) fn blot(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        if self.has_unread {
            let shown = bytes.iter_mut().filter(|byte| !byte.is_ascii_whitespace());
            shown.for_each(|byte| *byte = b'*');
        }
        for found in self
            .automaton
            .iter()
            .flat_map(|automaton| automaton.find_iter(text))
        {
            bytes[found.range()].fill(b'*');
        }
        // Whole characters were replaced.
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn begins(&self, part: &str) -> bool {
        let at = self.sorted.partition_point(|secret| **secret < *part);
        self.sorted
            .get(at)
            .is_some_and(|secret| secret.starts_with(part))
    }
}

/// A text with every quoted value removed.
fn unquoted(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let (mut is_within, mut is_escaped) = (false, false);
    for c in text.chars() {
        let is_end = c == '"' && !is_escaped;
        is_escaped = is_within && c == '\\' && !is_escaped;
        if is_end {
            is_within = !is_within;
            kept.push_str(if is_within { "\"***" } else { "\"" });
        } else if !is_within {
            kept.push(c);
        }
    }
    kept
}
