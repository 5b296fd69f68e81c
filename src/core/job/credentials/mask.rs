//! Masks credentials in texts that leave the program.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

use super::context::Context;
use super::glance::may_hold_any;
use super::hidden::Secrets;
use super::scan::{self, Reader};
use crate::core::job::Job;
use crate::core::job::name::cut;

/// Most bytes of one text that are shown.
const SHOWN: usize = 64 * 1024;

/// Hides a Job's credentials in texts about it.
pub fn hide<'d>(job: &Job<'_>, details: impl Iterator<Item = &'d mut String>) {
    let mut details = details.peekable();
    if details.peek().is_none() {
        return;
    }
    let secrets = Secrets::of(job.credentials());
    details.for_each(|detail| secrets.hide_in(detail));
}

/// `text` with every credential in it replaced by `***`, and cut if it is very long.
#[must_use]
pub fn mask(text: &str) -> Cow<'_, str> {
    /// Passes: once a credential is masked, the rest may look like another.
    const AGAIN: usize = 2;
    let mut masked = mask_once(text);
    for _ in 0..AGAIN {
        let Cow::Owned(again) = mask_once(&masked) else {
            break;
        };
        masked = Cow::Owned(again);
    }
    masked
}

fn mask_once(text: &str) -> Cow<'_, str> {
    let shown = shown(text);
    if shown.len() == text.len() && !may_hold_any(text) {
        return Cow::Borrowed(text);
    }
    let ranges = ranges(shown);
    if shown.len() == text.len() && ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(shown.len());
    let mut from = 0;
    for range in ranges {
        if range.start >= from {
            masked.push_str(shown.get(from..range.start).unwrap_or_default());
            masked.push_str("***");
        }
        from = from.max(range.end);
    }
    masked.push_str(shown.get(from..).unwrap_or_default());
    let kept = cut(&masked, SHOWN).len();
    let lost = text.len() - shown.len() + masked.len() - kept;
    if lost > 0 {
        masked.truncate(kept);
        let _ = write!(masked, " … ({lost} bytes cut)");
    }
    Cow::Owned(masked)
}

/// The searched part of a text that is to be shown: all of it, or the whole words that fit. Half a credential would no
/// longer look like one.
fn shown(text: &str) -> &str {
    /// Room for the note about the rest.
    const MARK: usize = 64;
    if text.len() <= SHOWN {
        return text;
    }
    let fits = cut(text, SHOWN - MARK);
    let end = fits
        .rfind(|c: char| c.is_ascii_whitespace())
        .unwrap_or_default();
    &fits[..end]
}

/// `text` with every byte of a credential replaced by a star, so that positions do not change. Text that is too long to
/// be searched is replaced as well.
#[must_use]
pub fn blot(text: &str) -> String {
    let shown = shown(text);
    let mut bytes = text.as_bytes().to_vec();
    bytes[shown.len()..].fill(b'*');
    for range in ranges(shown) {
        bytes[range].fill(b'*');
    }
    // Ranges begin and end at ASCII characters, so no character was cut.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte ranges of the credentials in a text that is to be shown, in order.
pub(super) fn ranges(text: &str) -> Vec<Range<usize>> {
    if !may_hold_any(text) {
        return Vec::new();
    }
    // Both readers are tried, so that nothing the rule finds is shown. To Kubernetes, most references of a shell are
    // part of a password.
    let has_words = memchr::memchr2(b'$', b'`', text.as_bytes()).is_some();
    let readers = [Some(Reader::Kubernetes), has_words.then_some(Reader::Shell)];
    let readers = readers.into_iter().flatten();
    let found = readers.flat_map(|reader| scan::secrets(text, reader, &mut Context::default()));
    let mut ranges: Vec<_> = found.map(|(range, _)| range).collect();
    ranges.sort_by_key(|range| range.start);
    ranges
}
