//! Values that do not follow `=` or `:`: below their name, beside it, or in an XML element.

use std::ops::Range;

use super::Form;
use super::ends::End;
use super::key::is_key;
use super::scan::Scan;
use super::words;
use crate::core::job::name::cut;

impl Scan<'_, '_> {
    /// Finds the pair `name: PASSWORD` and `value: x`, as Kubernetes, XML and many tools write variables. True if the
    /// key is part of such a pair.
    pub(super) fn pair(&mut self, key: &Range<usize>, start: usize) -> bool {
        const GAP: usize = 64;
        /// Longest name that is read: the rest of a word may follow each of many `name=`.
        const NAME: usize = 256;
        let text = self.text;
        let word = text[key.clone()].trim_start_matches(['-', '.']);
        if words::is("name key", word) {
            let named = self.extent(start).map(|(range, _)| range);
            let named = named.filter(|range| range.len() <= NAME);
            let plain = named.map(|range| {
                let name = text[range.clone()].trim_end_matches(['\\', ',', '\'']);
                range.start..range.start + name.len()
            });
            self.named = plain.filter(|range| is_key(&text[range.clone()]));
            return self.named.is_some();
        }
        let Some(named) = self
            .named
            .take()
            .filter(|_| word.eq_ignore_ascii_case("value"))
        else {
            return false;
        };
        let is_gap = |byte: u8| byte.is_ascii_whitespace() || b",\\\"'".contains(&byte);
        let gap = text.get(named.end..key.start);
        let is_pair = gap.is_some_and(|gap| gap.len() <= GAP && gap.bytes().all(is_gap));
        if is_pair {
            let below = self.below(key.start, start);
            self.value(below, Form::named(&text[named]));
        }
        is_pair
    }

    /// Where the value of a key begins: after its colon, or in the next line, as in YAML.
    pub(super) fn below(&mut self, key: usize, from: usize) -> usize {
        /// `: |-` and the end of the line.
        const MARK: usize = 8;
        /// Deepest indentation that is read.
        const DEEP: usize = 64;
        let text = self.text;
        let Some((mark, _)) = cut(&text[from..], MARK).split_once('\n') else {
            return from;
        };
        let indicator = mark.trim_matches([' ', '\t', '\r', '\'', '"']);
        let mut options = indicator.bytes();
        let is_block = matches!(options.next(), Some(b'|' | b'>'));
        if !(indicator.is_empty() || is_block && options.all(|b| b"+-123456789".contains(&b))) {
            return from;
        }
        let before = text.as_bytes()[..key].iter().rev().take(DEEP);
        let before = before.take_while(|byte| **byte != b'\n');
        let is_indent = |byte: &&u8| b" -\"'".contains(byte);
        let column = before.clone().count();
        let line = from + mark.len() + 1;
        let bytes = text.as_bytes()[line..].iter().take(2 * DEEP);
        let indent = bytes.take_while(|byte| **byte == b' ').count();
        let mut start = line + indent;
        let is_item = !is_block && text[start..].starts_with("- ");
        if !before.clone().all(|byte| is_indent(&byte)) || indent + usize::from(is_item) <= column {
            return from;
        }
        if is_item {
            start += 2;
        }
        let end = self.ends.next(End::Line, start);
        let is_word =
            |line: &str| !line.trim().contains(' ') && !line.trim_end().ends_with([':', '{', '[']);
        if is_block
            || cut(&text[start..end], 2 * DEEP) == &text[start..end] && is_word(&text[start..end])
        {
            start
        } else {
            from
        }
    }

    /// Finds `<password>x</password>`, whose first `>` is at `at`.
    pub(super) fn element(&mut self, at: usize) {
        const MAX: usize = 256;
        let Some(key) = self.key(at).filter(|key| key.end == at) else {
            return;
        };
        let name = &self.text[key.clone()];
        let is_element = self.text[..key.start].ends_with('<') && is_key(name);
        if is_element && cut(&self.text[at + 1..], MAX).contains("</") {
            let form = Form::named(name);
            self.value(at + 1, form);
        }
    }
}
