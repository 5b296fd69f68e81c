//! Finds the line and column of a byte in a text.

use super::Position;

/// Bytes between two positions whose column is stored: a stream of a hundred thousand Jobs may be one line.
const STEP: usize = 4096;

/// A text with an index of its lines.
#[derive(Debug)]
pub(super) struct Places<'a> {
    pub(super) text: &'a str,
    /// Where each line begins. Texts are smaller than 4 GiB.
    lines: Vec<u32>,
    /// Characters before each step.
    characters: Vec<u32>,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let breaks = memchr::memchr_iter(b'\n', text.as_bytes());
        let lines = std::iter::once(0)
            .chain(breaks.map(|at| narrow(at + 1)))
            .collect();
        let mut characters = Vec::with_capacity(text.len() / STEP + 1);
        let mut so_far = 0;
        for step in text.as_bytes().chunks(STEP) {
            characters.push(narrow(so_far));
            so_far += count(step);
        }
        Self {
            text,
            lines,
            characters,
        }
    }

    /// The position of a byte, or of the end if there is no such byte.
    pub(super) fn position(&self, byte: usize) -> Position {
        let byte = byte.min(self.text.len());
        let line = self.lines.partition_point(|&start| start as usize <= byte);
        let start = self.lines[line - 1] as usize;
        Position {
            line,
            column: self.characters_before(byte) - self.characters_before(start) + 1,
        }
    }

    fn characters_before(&self, byte: usize) -> usize {
        let step = byte / STEP;
        let Some(&before) = self.characters.get(step) else {
            // The text ends exactly at the beginning of a step.
            let last = self.characters.len().saturating_sub(1) * STEP;
            return self.characters.last().map_or(0, |&n| n as usize)
                + count(&self.text.as_bytes()[last..]);
        };
        before as usize + count(&self.text.as_bytes()[step * STEP..byte])
    }
}

/// The number of characters that begin in these bytes.
fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte & 0xC0 != 0x80).count()
}

/// An offset in a text of less than 4 GiB.
pub(super) fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_the_one_that_counting_finds() {
        let text = format!(
            "ä{}\n\r\nb\u{1F600}c\n{}",
            "é".repeat(5000),
            "x".repeat(4096)
        );
        for text in [&text, "", "\n", &"y".repeat(2 * STEP)] {
            let places = Places::new(text);
            for (byte, _) in text.char_indices().chain([(text.len(), ' ')]) {
                let before = &text[..byte];
                let start = before.rfind('\n').map_or(0, |at| at + 1);
                let wanted = Position {
                    line: before.matches('\n').count() + 1,
                    column: before[start..].chars().count() + 1,
                };
                assert_eq!(places.position(byte), wanted, "{byte}");
            }
        }
    }
}
