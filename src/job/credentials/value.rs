//! What a value says: a secret, a reference to one, a switch, or nothing.
//!
//! Each question is answered from a bounded part of the value, so that it may be asked for each of a
//! million candidates.

use super::scan::Reader;
use crate::job::name::cut;

/// Longest reference that is recognised: a variable's name, or a short command of a shell.
const MAX_REFERENCE: usize = 512;
/// Longest blank to be filled in that is recognised.
const MAX_BLANK: usize = 64;
/// References that a value may be made of.
const MAX_REFERENCES: usize = 8;

/// What stands for a secret that is elsewhere, in lower case.
const PLACES: [&str; 34] = [
    "vault:",
    "arn:",
    "file:",
    "env:",
    "secretref:",
    "secretref+",
    "ref+",
    "ssm:",
    "awssm:",
    "aws-sm:",
    "aws:",
    "gcp:",
    "gcpsm:",
    "azure:",
    "keyvault:",
    "akv:",
    "k8s:",
    "kubernetes:",
    "secret:",
    "secrets:",
    "keyring:",
    "doppler:",
    "infisical:",
    "conjur:",
    "exec:",
    "cmd:",
    "!vault",
    "projects/",
    "process.env",
    "os.environ",
    "os.getenv",
    "getenv(",
    "env[",
    "env(",
];
/// Values that switch something on or off, or say that there is nothing.
const SWITCHES: [&str; 22] = [
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "null",
    "none",
    "nil",
    "undefined",
    "enabled",
    "disabled",
    "required",
    "optional",
    "prompt",
    "0",
    "1",
    "y",
    "n",
    "t",
    "f",
    "~",
];
/// How a regular expression or a format goes on behind a key.
const PATTERNS: [&str; 13] = [
    ".*", ".+", "[^", "\\S", "\\w", "\\(", "(.*", "(.+", "%s", "%v", "%q", "%d", "%w",
];

/// Whether a whole value is a secret rather than a reference to one, a switch, or nothing.
pub(super) fn is_secret(value: &str, reader: Reader) -> bool {
    let value = value.trim_matches(['"', '\'']);
    let length = references(value, reader);
    !(length > 0 && length == value.len()) && is_literal(value)
}

/// The length of the references that `text` begins with and that a value may be made of, one after
/// the other: `$(USER)-${SUFFIX}`.
pub(super) fn references(text: &str, reader: Reader) -> usize {
    let mut length = 0;
    for _ in 0..MAX_REFERENCES {
        let rest = &text[length..];
        let joint = usize::from(length > 0 && rest.starts_with(['-', '_', '.', ':', '/']));
        match reference(&rest[joint..], reader) {
            Some(more) => length += joint + more,
            None => break,
        }
    }
    length
}

/// The length of the reference that `text` begins with: `$(…)`, `${…}`, `{{…}}`, `<…>`, and for a shell
/// `$NAME` and `` `…` ``.
pub(super) fn reference(text: &str, reader: Reader) -> Option<usize> {
    let shell = reader == Reader::Shell;
    let closed = |close: &str, most: usize| {
        let end = cut(text, most).get(1..)?.find(close)?;
        Some(1 + end + close.len())
    };
    let mut bytes = text.bytes();
    match (bytes.next()?, bytes.next()) {
        (b'$', Some(b'(')) => closed(")", MAX_REFERENCE).or_else(|| shell.then_some(text.len())),
        (b'$', Some(b'{')) => {
            let length = closed("}", MAX_REFERENCE)?;
            default(&text[2..length - 1])
                .is_none_or(|(_, written)| !is_literal(written))
                .then_some(length)
        }
        (b'{', Some(b'{')) => closed("}}", MAX_REFERENCE),
        (b'<', Some(next)) if next.is_ascii_alphabetic() => closed(">", MAX_BLANK),
        (b'`', _) if shell => closed("`", MAX_REFERENCE).or(Some(text.len())),
        (b'$', Some(_)) if shell => {
            let name = text[1..]
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_');
            let name = name.take(MAX_REFERENCE).count();
            (name > 0).then_some(1 + name)
        }
        _ => None,
    }
}

/// What an expansion `NAME:-default` falls back on, in a shell's or Spring's words, and where that
/// begins.
pub(super) fn default(inner: &str) -> Option<(usize, &str)> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let name = inner.bytes().take_while(|byte| is_name(*byte)).count();
    let (before, rest) = inner.split_at(name);
    let operators = [":-", ":=", "-", "=", ":"];
    let operator = operators
        .iter()
        .find(|operator| rest.starts_with(**operator))?;
    let written = &rest[operator.len()..];
    let has_lower = |name: &str| name.bytes().any(|byte| byte.is_ascii_lowercase());
    // `${env:NAME}` looks something up, and `${db-password}` is a property.
    let looks_up = match *operator {
        ":" => before.bytes().all(|byte| byte.is_ascii_lowercase()),
        "-" | "=" => has_lower(before),
        _ => false,
    };
    let is_other = written.starts_with(['?', '+', '$', '`', '{', '(']);
    (name > 0 && !looks_up && !is_other).then_some((name + operator.len(), written))
}

/// Whether a value is neither a place where a secret is, nor anything that [`is_filled`] knows.
pub(super) fn is_literal(value: &str) -> bool {
    is_filled(value) && !is_place(bare(value))
}

/// A value without what follows it in a script or in JSON.
fn bare(value: &str) -> &str {
    let ends = [',', ';', ')', ']', '}', '\\', '\'', '"'];
    (0..4).fold(value, |bare, _| bare.strip_suffix(ends).unwrap_or(bare))
}

/// Whether a value says something: it is no switch, no blank to be filled in, and not masked yet.
pub(super) fn is_filled(value: &str) -> bool {
    let bare = bare(value);
    let is_switch = SWITCHES.iter().any(|word| bare.eq_ignore_ascii_case(word));
    let is_empty = bare.bytes().all(|byte| b"{[(|>,\\'\"".contains(&byte));
    let is_pattern = PATTERNS.iter().any(|start| value.starts_with(start));
    !(is_empty || is_switch || is_pattern || is_masked(bare) || is_blank(value))
}

fn is_masked(value: &str) -> bool {
    let all = |byte: u8| value.bytes().all(|found| found == byte);
    let is_crossed_out = value.len() > 2 && (all(b'x') || all(b'X') || all(b'.') || all(b'-'));
    let inner = value.trim_start_matches(['[', '(', '<']);
    let is_said = inner.len() >= 8 && inner.as_bytes()[..8].eq_ignore_ascii_case(b"redacted");
    all(b'*') || is_crossed_out || value.starts_with(['…', '•']) || is_said
}

/// Whether a value is a blank that somebody or something fills in: `<password>`, `@PASSWORD@`, `:pw`.
fn is_blank(value: &str) -> bool {
    if value.starts_with('<') && value.ends_with('>') {
        return true;
    }
    let short = cut(value, MAX_BLANK);
    let inside = |open: &str, close: &str| {
        let (inner, rest) = short.strip_prefix(open)?.split_once(close)?;
        let is_all = !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
        (is_all && !inner.is_empty()).then_some(inner)
    };
    let is_name = |name: &str| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    let is_constant = |name: &str| {
        name.bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let constants = [("__", "__"), ("@@", "@@"), ("@", "@"), ("%", "%")];
    let names = [
        ("#{", "}#"),
        ("%(", ")s"),
        ("[[", "]]"),
        ("{", "}"),
        (":'", "'"),
        (":\"", "\""),
    ];
    let is_bind = short.strip_prefix([':', '&']).is_some_and(|name| {
        let name = name.trim_end_matches([';', ')', '"', '\'']);
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
    });
    constants
        .iter()
        .any(|(open, close)| inside(open, close).is_some_and(is_constant))
        || names
            .iter()
            .any(|(open, close)| inside(open, close).is_some_and(is_name))
        || is_bind
        || short == "?"
}

/// Whether a value says where a secret is: a path, a URL, or a name that something resolves.
fn is_place(value: &str) -> bool {
    let begins = |place: &&str| {
        let start = value.as_bytes().get(..place.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(place.as_bytes()))
    };
    PLACES.iter().any(begins)
        || value.starts_with("@Microsoft.KeyVault(")
        || is_url(value)
        || is_path(value.strip_prefix('@').unwrap_or(value))
}

fn is_url(value: &str) -> bool {
    let scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+.-".contains(byte);
    let length = value
        .bytes()
        .take(MAX_BLANK)
        .take_while(|byte| scheme(byte))
        .count();
    length > 0 && value[length..].starts_with("://")
}

fn is_path(value: &str) -> bool {
    let Some(rest) = ["/", "./", "../", "~/"]
        .iter()
        .find_map(|start| value.strip_prefix(start))
    else {
        return false;
    };
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"._/-$@{}".contains(&b);
    let is_plain = |b: u8| b.is_ascii_lowercase() || b"._-".contains(&b);
    !rest.is_empty()
        && rest.bytes().all(is_part)
        && (rest.contains('/') || !value.starts_with('/') || rest.bytes().all(is_plain))
}

/// Whether `host:8080/path@x` was taken for a user and password.
pub(super) fn is_port(password: &str) -> bool {
    const DIGITS: usize = 5;
    let digits = password
        .bytes()
        .take(DIGITS + 1)
        .take_while(u8::is_ascii_digit)
        .count();
    let next = password.as_bytes().get(digits);
    (1..=DIGITS).contains(&digits) && matches!(next, Some(b'/' | b'?' | b','))
}
