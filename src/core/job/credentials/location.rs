//! Passwords in words that locate something: URLs, data source names, lines of `.pgpass`.

use std::ops::Range;

use super::Form;
use super::place::is_port;
use super::scan::Reader;
use super::value::{is_filled, is_secret, reference};

/// Prefixes of tokens that replace the user's name in a URL.
const TOKENS: &str = "ghp_ gho_ ghs_ ghu_ github_pat_ glpat- gldt- hf_";

/// The range of the password in a word, and how it is written.
pub(super) fn find(text: &str, word: Range<usize>, reader: Reader) -> Option<(Range<usize>, Form)> {
    let written = &text[word.clone()];
    let at = memchr::memrchr(b'@', written.as_bytes());
    let found = at.and_then(|end| {
        url(written, end, reader).unwrap_or_else(|| {
            data_source(written, end, reader).or_else(|| oracle(written, end, reader))
        })
    });
    let (range, form) = match found {
        Some(range) => (range, Form::Url),
        None => (pgpass(written, reader)?, Form::PassFile),
    };
    Some((word.start + range.start..word.start + range.end, form))
}

/// The password of a URL: all up to the last `@`. The outer `None` means that the word is not a URL.
#[expect(
    clippy::option_option,
    reason = "no URL is something else than a URL without a password"
)]
fn url(word: &str, end: usize, reader: Reader) -> Option<Option<Range<usize>>> {
    let bytes = word.as_bytes();
    let mut from = 0;
    let mut is_url = false;
    while let Some(scheme) = memchr::memmem::find(&bytes[from..end], b"://") {
        is_url = true;
        let user = from + scheme + 3;
        let Some(colon) = memchr::memchr(b':', &bytes[user..end]).map(|at| user + at) else {
            return Some(token(word, user, end));
        };
        // This is the colon of the next URL.
        if bytes[colon..].starts_with(b"://") {
            from = user;
            continue;
        }
        let start = colon + 1;
        let rest = word.get(start..end)?;
        let is_path = memchr::memchr3(b'/', b'?', b'#', &bytes[user..colon]).is_some();
        match reference(rest, reader)
            .filter(|length| matches!(rest.as_bytes().get(*length), None | Some(b'@')))
        {
            Some(length) => from = start + length,
            None if is_path || is_port(rest) || !is_filled(rest) => from = start,
            None => return Some(Some(start..end)),
        }
    }
    is_url.then_some(None)
}

/// A token in place of a user's name, as in `https://ghp_…@github.com`.
fn token(word: &str, user: usize, end: usize) -> Option<Range<usize>> {
    let written = word.get(user..end)?;
    let starts = TOKENS.split(' ').any(|start| written.starts_with(start));
    starts.then_some(user..end)
}

/// The password in `user:password@tcp(host)/x`, the form of Go's MySQL driver, and in `user:password@host:3306/x`.
fn data_source(word: &str, end: usize, reader: Reader) -> Option<Range<usize>> {
    let (bytes, host) = (word.as_bytes(), &word[end + 1..]);
    let net = host
        .bytes()
        .take(32)
        .take_while(|b| b.is_ascii_alphanumeric() || *b == b'-')
        .count();
    let is_source = match host.as_bytes().get(net) {
        Some(b'(') => true,
        Some(b'/') => matches!(&host[..net], "" | "tcp" | "tcp6" | "udp" | "unix"),
        _ => has_port(host),
    };
    let start = memchr::memchr(b':', &bytes[..end]).filter(|&at| at > 0)? + 1;
    let user = &word[..start - 1];
    let secret = word.get(start..end)?;
    (is_source
        && !user.contains('/')
        && !matches!(user, "mailto" | "jdbc")
        && !is_port(secret)
        && is_secret(secret, reader))
    .then_some(start..end)
}

/// Whether this is `host:3306`, maybe with a path.
fn has_port(host: &str) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    let name = host
        .bytes()
        .take(253)
        .take_while(|byte| is_name(byte))
        .count();
    let Some(port) = host[name..].strip_prefix(':') else {
        return false;
    };
    let digits = port.bytes().take(6).take_while(u8::is_ascii_digit).count();
    name > 0
        && (2..=5).contains(&digits)
        && matches!(port.as_bytes().get(digits), None | Some(b'/'))
}

/// The password in `jdbc:oracle:thin:user/password@host`.
fn oracle(word: &str, end: usize, reader: Reader) -> Option<Range<usize>> {
    const DRIVER: &[u8] = b"jdbc:oracle:";
    let driver = memchr::memmem::find(&word.as_bytes()[..end], DRIVER)? + DRIVER.len();
    let user = driver + word[driver..end].find(':')? + 1;
    slashed(word, user, end, reader)
}

/// The password in `user/password`, between `from` and `end`.
pub(super) fn slashed(word: &str, from: usize, end: usize, reader: Reader) -> Option<Range<usize>> {
    let slash = from + word.get(from..end)?.find('/').filter(|&at| at > 0)?;
    let start = slash + 1;
    let is_reference = reference(&word[start..end], reader).is_some();
    (!is_reference && is_secret(&word[start..end], reader)).then_some(start..end)
}

/// The password in `host:port:database:user:password`.
fn pgpass(word: &str, reader: Reader) -> Option<Range<usize>> {
    let start = pgpass_secret(word)?;
    let secret = word[start..].trim_end_matches(['\'', ';', ')']);
    let is_address = word
        .bytes()
        .all(|b| b.is_ascii_hexdigit() || b":/.[]".contains(&b));
    (!is_address && is_secret(secret, reader)).then_some(start..start + secret.len())
}

/// Where the password begins in `host:port:database:user:password`.
pub(super) fn pgpass_secret(word: &str) -> Option<usize> {
    let mut colons = memchr::memchr_iter(b':', word.as_bytes());
    let [host, port, database, user] = [
        colons.next()?,
        colons.next()?,
        colons.next()?,
        colons.next()?,
    ];
    let number = &word[host + 1..port];
    let is_port = number == "*"
        || (2..=5).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let is_filled = host > 0 && database > port + 1 && user > database + 1;
    (is_port && is_filled && !word[..user].contains("//")).then_some(user + 1)
}

/// The password in `user:password@host`, after `from`.
pub(super) fn login(word: &str, from: usize, reader: Reader) -> Option<Range<usize>> {
    let end = memchr::memrchr(b'@', word.as_bytes())?;
    let user = word.get(from..end)?.find(':')?;
    let start = from + user + 1;
    let secret = &word[start..end];
    (user > 0 && !secret.starts_with('/') && is_secret(secret, reader)).then_some(start..end)
}
