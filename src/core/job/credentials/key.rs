//! Names of variables, options, parameters and headers whose value is a password.
//!
//! [`super::value`] evaluates the value itself.

use super::words;

/// Longest name that is read; of a longer one, only its end is.
pub(super) const MAX_KEY: usize = 64;

/// Endings of such a name, without separators.
const ENDINGS: &str = "password passwd passphrase passwort pwd secretaccesskey clientsecret";
/// Names that hold a password only as a whole.
const NAMES: &str = "accountkey sharedaccesskey pw requirepass masterauth";
/// Prefixes that form one word with `pw`.
const BEFORE_PW: &str = "d db root user admin pg my sql sa";
/// Words that end in `pass` but have nothing to do with passwords.
const OTHER_PASS: &str = "\
    bypass compass encompass surpass trespass overpass underpass multipass singlepass";
/// Words that make a name a switch: `MYSQL_ALLOW_EMPTY_PASSWORD`.
const SWITCHES: &str = "\
    no without allow random ask prompt disable disabled enable enabled require required skip show \
    hide forgot expire proxy fastcgi uwsgi";
/// Parameters of a URL that hold a token.
const TOKENS: &str = "\
    token access_token auth_token authToken private_token job_token api_key apikey sig secret";
/// HTTP headers that hold a token.
const HEADERS: &str = "x-api-key api-key apikey private-token x-auth-token x-vault-token";

/// Whether a variable or option of this name holds a password.
pub(in crate::core::job) fn is_key(name: &str) -> bool {
    let whole = tail(name);
    // `DB_PASSWORD_2`
    let stem = whole.trim_end_matches(|c: char| c.is_ascii_digit());
    let stem = match whole.len() - stem.len() {
        1 | 2 => stem.strip_suffix('_').unwrap_or(stem),
        _ => whole,
    };
    // Most names do not end like this, which is cheap to check.
    let ends = |last: &u8| b"dswepythDSWEPYTH".contains(last);
    stem.as_bytes().last().is_some_and(ends)
        && !matches!(name, "PWD" | "OLDPWD")
        && ends_as_one(stem)
        && !is_switch(stem)
}

fn tail(name: &str) -> &str {
    let mut start = name.len().saturating_sub(MAX_KEY);
    while !name.is_char_boundary(start) {
        start += 1;
    }
    &name[start..]
}

fn ends_as_one(name: &str) -> bool {
    let mut lower = [0; MAX_KEY];
    let letters = name.bytes().filter(|byte| !is_separator(*byte));
    let mut length = 0;
    for (slot, byte) in lower.iter_mut().zip(letters) {
        *slot = byte.to_ascii_lowercase();
        length += 1;
    }
    let squeezed = &lower[..length];
    let ends = |word: &str| squeezed.ends_with(word.as_bytes());
    let is = |word: &str| squeezed == word.as_bytes();
    if ENDINGS.split(' ').any(ends) || NAMES.split(' ').any(is) {
        return true;
    }
    let last = parts(name).last().unwrap_or_default();
    if ends("pass") {
        let last_word = name.rsplit(['_', '-', '.']).next().unwrap_or_default();
        return words::is("pass", last) || !words::is(OTHER_PASS, last_word);
    }
    let before = last
        .len()
        .checked_sub(2)
        .map(|at| last.split_at_checked(at));
    before.flatten().is_some_and(|(before, end)| {
        words::is("pw", end) && (before.is_empty() || words::is(BEFORE_PW, before))
    })
}

fn is_switch(name: &str) -> bool {
    parts(name).any(|part| words::is(SWITCHES, part))
        || words::has("nopass", name)
        || words::has("askpass", name)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b'.')
}

/// The parts of a name: `DB_PASS`, `db-pass` and `dbPass` have two.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split(['_', '-', '.']).flat_map(|word| {
        let mut rest = word;
        std::iter::from_fn(move || {
            let is_end = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
            let end = rest.as_bytes().windows(2).position(is_end);
            let (part, after) = rest.split_at(end.map_or(rest.len(), |at| at + 1));
            rest = after;
            (!part.is_empty()).then_some(part)
        })
    })
}

/// Whether a byte may be part of a name.
pub(super) fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || is_separator(byte)
}

/// Whether a parameter of a URL with this name holds a token.
pub(super) fn is_token(name: &str) -> bool {
    words::is(TOKENS, name)
}

/// Whether an HTTP header of this name holds a token.
pub(super) fn is_header(name: &str) -> bool {
    words::is(HEADERS, name)
}

/// Whether a name is that of the `Authorization` header.
pub(super) fn is_authorization(name: &str) -> bool {
    let end = name.len().checked_sub("authorization".len());
    end.and_then(|at| name.get(at..))
        .is_some_and(|end| words::is("authorization", end))
}
