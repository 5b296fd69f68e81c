//! The line of a file that is shown with a finding, with the credentials of the Job masked.

use std::ops::Range;

use super::place::{self, Place};
use crate::core::job::credentials::{self, Hit, Secrets};
use crate::core::job::{Job, Kind};
use crate::core::manifest::{Document, Node};
use crate::core::policy::finding::Finding;
use crate::core::policy::path::FieldPath;
use crate::core::report::Source;

/// A Job in a file and its credentials, as texts and as places.
pub(super) struct Masked<'a> {
    text: &'a str,
    document: &'a Document<'a>,
    node: Node,
    kind: Kind,
    hits: &'a [Hit<'a>],
    places: Vec<Place>,
    secrets: Secrets,
}

impl<'a> Masked<'a> {
    pub(super) fn new(
        job: &'a Job<'a>,
        (text, document, node): (&'a str, &'a Document<'a>, Node),
    ) -> Self {
        let hits = job.credentials();
        Self {
            text,
            document,
            node,
            kind: job.kind,
            places: place::of(hits, job.kind, (text, document, node)),
            secrets: Secrets::of(hits),
            hits,
        }
    }

    /// The value at fault.
    pub(super) fn source(&self, file: &str, finding: &Finding) -> Source {
        let is_it = |(hit, _): &(&Hit<'_>, _)| {
            finding.within.as_ref() == Some(&hit.range)
                && FieldPath::credential(hit).within(self.kind) == finding.path
        };
        let (position, bytes) = match self.hits.iter().zip(&self.places).find(is_it) {
            Some((_, place)) => (place.position, place.bytes.clone()),
            None => self
                .document
                .locate(self.node, finding.path.pointer().as_str()),
        };
        let (line, part) = self.line(bytes);
        Source {
            file: file.to_owned(),
            position,
            line,
            part,
        }
    }

    /// The shown part of the line in which `bytes` begin, and their range in it.
    fn line(&self, bytes: Range<usize>) -> (String, Range<usize>) {
        let (start, end) = window(self.text, bytes.start);
        // An anchor may be in another line than the place where its value is used.
        let mut line = self
            .secrets
            .blot(&credentials::blot(&self.text[start..end]));
        for place in &self.places {
            let span = overlap(&place.bytes, start, end);
            let covered: String = line.get(span.clone()).map_or_else(String::new, |part| {
                part.bytes()
                    .map(|b| if b.is_ascii_whitespace() { ' ' } else { '*' })
                    .collect()
            });
            if covered.len() == span.len() {
                line.replace_range(span, &covered);
            }
        }
        let part = bytes.start - start..bytes.end.clamp(bytes.start, end.max(bytes.start)) - start;
        (line, part)
    }
}

/// The range of the line around `at`, cut if it is very long: a list of a thousand Jobs may be one line. It is cut
/// between words, so that no part of a credential is left at the edge.
fn window(text: &str, at: usize) -> (usize, usize) {
    const MOST: usize = 500;
    let on_boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let is_gap = |c: char| c == '"' || c.is_whitespace();
    let (from, to) = (
        on_boundary(at.saturating_sub(MOST)),
        on_boundary((at + MOST).min(text.len())),
    );
    let (before, after) = (&text[from..at], &text[at..to]);
    let start = match before.rfind('\n') {
        Some(found) => from + found + 1,
        None if from == 0 => 0,
        None => before
            .find(is_gap)
            .map_or(at, |found| on_boundary(from + found + 1)),
    };
    let end = match after.find('\n') {
        Some(found) => at + found,
        None if to == text.len() => to,
        None => after.rfind(is_gap).map_or(at, |found| at + found),
    };
    (start, end)
}

/// The part of `range` within the line from `start` to `end`, relative to `start`.
fn overlap(range: &Range<usize>, start: usize, end: usize) -> Range<usize> {
    let from = range.start.clamp(start, end);
    let to = range.end.clamp(from, end);
    from - start..to - start
}
