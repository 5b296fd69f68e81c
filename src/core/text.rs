//! Makes untrusted texts safe for output: without credentials, in one line, and within a length limit.
//!
//! Users, tools and other programs choose names and messages, and log lines, Events, answers and terminals show them.
//! All of these texts pass through here. Pure. [`credentials`] recognises credentials.

use std::borrow::Cow;
use std::fmt::Write;

use ring::digest::{SHA256, digest};

use crate::core::job::{credentials, name};
use crate::core::quote::is_harmful;
pub(crate) use crate::core::quote::quoted;

/// Longest name, in bytes: that of a Kubernetes object.
pub(crate) const NAME: usize = 253;
/// Longest name of a user, in bytes. Kubernetes' own longest, of a service account, has 339.
pub(crate) const USER: usize = 512;
/// Longest sentence about something, in bytes.
pub(crate) const DETAIL: usize = 512;
/// Most findings that are reported for one object.
pub(crate) const FINDINGS: usize = 32;
/// Most groups of a user that are logged.
pub(crate) const GROUPS: usize = 32;
/// Most exceptions that are reported for one object.
pub(crate) const EXCEPTIONS: usize = 16;

/// The mark for text that was cut off.
const MORE: char = '…';

/// `text` without credentials, in one line of at most `max` bytes. A cut text ends in `…`.
pub(crate) fn bounded(text: &str, max: usize) -> Cow<'_, str> {
    fit(text, max).0
}

/// Like [`bounded`], with whether the text was cut.
pub(crate) fn fit(text: &str, max: usize) -> (Cow<'_, str>, bool) {
    let masked = credentials::mask(text);
    if is_plain(&masked) {
        return cut(masked, max);
    }
    // A line break may separate a password from its name, and may also end it.
    let line = one_line(&masked).into_owned();
    let masked = credentials::mask(&line).into_owned();
    cut(masked.into(), max)
}

/// `text` in one line: blanks replace characters that would end a line or control a terminal.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if is_plain(text) || !text.chars().any(is_harmful) {
        return text.into();
    }
    let harmless = |c: char| if is_harmful(c) { ' ' } else { c };
    text.chars().map(harmless).collect::<String>().into()
}

/// The known name that is most like `word`, which is not one: what the author of a typo meant.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Two names that score less have little in common; clap's suggestions use the same limit.
    most_alike(word, names, 0.7)
}

/// The name that is most like `word`, whatever their case, if it scores more than `least`, from 0 to 1.
pub(crate) fn most_alike<'a>(
    word: &str,
    names: impl IntoIterator<Item = &'a str>,
    least: f64,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::jaro(&word, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > least)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// The SHA-256 of a text, in 64 hexadecimal digits.
pub(crate) fn sha256(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let bytes = digest.as_ref().iter();
    bytes.fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// The beginning of a text, with [`MORE`] if it was cut, and whether it was.
fn cut(text: Cow<'_, str>, max: usize) -> (Cow<'_, str>, bool) {
    if text.len() <= max {
        return (text, false);
    }
    let kept = match max.checked_sub(MORE.len_utf8()) {
        Some(room) => format!("{}{MORE}", name::cut(&text, room)),
        None => String::new(),
    };
    (kept.into(), true)
}

/// Appends `more` to a text of at most `max` bytes, and returns whether the text was cut to make room.
pub(crate) fn append(text: &mut String, more: &str, max: usize) -> bool {
    let (kept, is_cut) = cut(Cow::Borrowed(text), max.saturating_sub(more.len()));
    let appended = format!("{kept}{more}");
    *text = appended;
    is_cut
}

/// Whether a text is printable ASCII, as nearly all are.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_cannot_be_forged() {
        for (text, shown) in [
            ("x\n2026-01-01 ERROR fake", "x 2026-01-01 ERROR fake"),
            ("a\r\nb\tc", "a  b c"),
            ("\u{1b}[31mred\u{1b}[0m", " [31mred [0m"),
            ("user\u{202e}nimda", "user nimda"),
            ("a\u{2028}b\u{2029}c\u{85}d", "a b c d"),
            ("zero\u{200b}width\u{feff}", "zero width "),
            ("é 日本 \u{1f680}", "é 日本 \u{1f680}"),
        ] {
            assert_eq!(bounded(text, NAME), shown);
        }
    }

    #[test]
    fn a_text_is_cut_at_a_character_and_says_so() {
        assert_eq!(bounded("abcdef", 6), "abcdef");
        assert_eq!(bounded("abcdefg", 6), "abc…");
        // Two bytes each, so that the cut would be within one.
        assert_eq!(bounded("éééé", 7), "éé…");
        assert_eq!(bounded("abcd", 3), "…");
        assert_eq!(bounded("abcd", 2), "");
    }

    #[test]
    fn the_largest_text_is_cut() {
        for part in ["a", "é ", "\n", "\"@:=", "password="] {
            let largest = part.repeat((8 << 20) / part.len());
            let kept = bounded(&largest, NAME);
            assert!(kept.len() <= NAME && kept.contains('…'), "{kept}");
        }
    }

    #[test]
    fn a_credential_is_masked_before_it_is_cut() {
        let url = "postgres://app:hunter2hunter2@db.example.com/shop";
        for max in 0..url.len() {
            assert!(!bounded(url, max).contains("hunter"), "{max}");
        }
        assert_eq!(
            bounded("--password=\nhunter2hunter2", 64),
            "--password= ***"
        );
    }

    #[test]
    fn what_is_appended_is_not_cut() {
        let mut text = "a".repeat(10);
        append(&mut text, "; b", 13);
        assert_eq!(text, "aaaaaaaaaa; b");
        append(&mut text, "; c", 13);
        assert_eq!(text, "aaaaaaa…; c");
    }

    #[test]
    fn quotes_are_those_of_json() {
        for (text, shown) in [
            ("shop", r#""shop""#),
            ("it's \"a\\b\"", r#""it's \"a\\b\"""#),
            ("a\tb\r\n", r#""a\tb\r\n""#),
            (
                "\u{1b}[2J\u{202e}\u{e0001}",
                r#""\u001b[2J\u202e\udb40\udc01""#,
            ),
            ("é 日本", r#""é 日本""#),
        ] {
            assert_eq!(quoted(text), shown);
            assert_eq!(serde_json::from_str::<String>(shown).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn what_leaves_is_one_line_that_is_short_enough(
            text in "(\\PC|[\\x00-\\x1f\u{200b}-\u{202e}]|password=){0,60}", max in 0_usize..80,
        ) {
            let kept = bounded(&text, max);
            prop_assert!(kept.len() <= max);
            prop_assert!(!kept.chars().any(is_harmful), "{:?}", kept);
        }
    }
}
