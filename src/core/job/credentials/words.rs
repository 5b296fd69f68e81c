//! Compares texts with words, whatever their case. A list of words is one text with a blank between two words.

/// Whether `text` is one of these words.
pub(super) fn is(words: &str, text: &str) -> bool {
    words.split(' ').any(|word| word.eq_ignore_ascii_case(text))
}

/// Whether `text` begins with one of these words.
pub(super) fn begins(words: &str, text: &str) -> bool {
    let text = text.as_bytes();
    words.split(' ').any(|word| {
        let start = text.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// Whether `text` has this part.
pub(super) fn has(part: &str, text: &str) -> bool {
    let mut windows = text.as_bytes().windows(part.len());
    windows.any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}
