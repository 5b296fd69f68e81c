//! What a value is: a secret, a reference to one, a switch, or nothing.
//!
//! Each question reads a bounded part of the value, so that a million candidates stay cheap.

use super::key::is_key;
use super::place::is_place;
use super::scan::Reader;
use super::words;
use crate::core::job::name::cut;

/// Longest reference that is recognised: a variable's name, or a short command of a shell.
const MAX_REFERENCE: usize = 512;
/// Longest placeholder that is recognised.
const MAX_BLANK: usize = 64;
/// Most references that a value may consist of.
const MAX_REFERENCES: usize = 8;

/// Values that switch something on or off, or mean nothing.
const SWITCHES: &str = "\
    true false yes no on off null none nil undefined enabled disabled required optional prompt 0 1 \
    y n t f ~";
/// How a regular expression or a format continues after a key.
const PATTERNS: &str = ".* .+ .{ .\\ [^ [[: \\S \\s \\w \\K \\( (.* (.+ (? ) %s %v %q %d %w";
/// Names of lookups, as in `${SECRET:name}`, up to the first dot.
const LOOKUPS: &str = "secret secrets vault env file aws azure gcp sops ssm";

/// What encloses a placeholder, and the bytes that it consists of.
type Blank = (&'static str, &'static str, fn(u8) -> bool);
const BLANKS: [Blank; 11] = [
    ("__", "__", is_constant),
    ("@@", "@@", is_constant),
    ("@", "@", is_constant),
    ("%", "%", is_constant),
    ("#{", "}#", is_name),
    ("%(", ")s", is_name),
    ("%env(", ")%", is_name),
    ("{", "}", is_name),
    (":'", "'", is_name),
    (":\"", "\"", is_name),
    ("[", "]", |b| b.is_ascii_alphabetic() || b"_- ".contains(&b)),
];

fn is_constant(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-:/#".contains(&byte)
}

/// Whether a whole value is a secret rather than a reference to one, a switch, or nothing.
pub(super) fn is_secret(value: &str, reader: Reader) -> bool {
    let value = value.trim_matches(['"', '\'']);
    let length = references(value, reader);
    !(length > 0 && length == value.len()) && is_literal(value)
}

/// The length of the references at the beginning of `text` that may form a value, one after the other:
/// `$(USER)-${SUFFIX}`.
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

/// The length of the reference at the beginning of `text`: `$(…)`, `${…}`, `{{…}}`, `<…>` and similar, and for a shell
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
        (b'$', Some(b'{')) if text.starts_with("${{") => closed("}}", MAX_REFERENCE),
        (b'$', Some(b'{')) => {
            let length = closed("}", MAX_REFERENCE)?;
            default(&text[2..length - 1])
                .is_none_or(|(_, written)| !is_literal(written))
                .then_some(length)
        }
        // Grafana's `$__file{/run/password}`.
        (b'$', Some(b'_')) if text.starts_with("$__file{") || text.starts_with("$__env{") => {
            closed("}", MAX_REFERENCE)
        }
        (b'{', Some(b'{')) => closed("}}", MAX_REFERENCE),
        (b'{', Some(b'%')) => closed("%}", MAX_REFERENCE),
        (b'[', Some(b'[')) => closed("]]", MAX_REFERENCE),
        (b'#', Some(b'{')) => closed("}", MAX_REFERENCE),
        (b'<', Some(next)) if next.is_ascii_alphabetic() => closed(">", MAX_BLANK),
        (b'`', _) if shell => closed("`", MAX_REFERENCE).or(Some(text.len())),
        (b'$', Some(_)) if shell => variable(text),
        _ => None,
    }
}

/// The length of `$NAME`, or of PowerShell's `$env:NAME`.
fn variable(text: &str) -> Option<usize> {
    let name = |from: usize| {
        let bytes = text.as_bytes().get(from..).unwrap_or_default();
        let name = bytes
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_');
        name.take(MAX_REFERENCE).count()
    };
    let end = 1 + name(1);
    let is_env = text[1..end].eq_ignore_ascii_case("env") && text[end..].starts_with(':');
    let more = if is_env { name(end + 1) } else { 0 };
    (end > 1).then_some(if more > 0 { end + 1 + more } else { end })
}

/// The default of an expansion `NAME:-default`, in a shell's or Spring's syntax, and where it begins.
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
    let kind = before.split('.').next().unwrap_or_default();
    // `${env:NAME}` looks something up, and `${db-password}` is a property.
    let looks_up = match *operator {
        ":" => {
            !is_key(before)
                && (words::is(LOOKUPS, kind)
                    || before.bytes().all(|byte| byte.is_ascii_lowercase()))
        }
        "-" | "=" => has_lower(before),
        _ => false,
    };
    let is_other = written.starts_with(['?', '+', '$', '`', '{', '(']);
    (name > 0 && !looks_up && !is_other).then_some((name + operator.len(), written))
}

/// Whether a value is neither the place of a secret nor excluded by [`is_filled`].
pub(super) fn is_literal(value: &str) -> bool {
    is_filled(value) && !is_place(bare(value))
}

/// A value without what follows it in a script or in JSON.
fn bare(value: &str) -> &str {
    let ends = [',', ';', ')', ']', '}', '\\', '\'', '"'];
    (0..4).fold(value, |bare, _| bare.strip_suffix(ends).unwrap_or(bare))
}

/// Whether a value has content: it is not a switch, not a placeholder, and not masked yet.
pub(super) fn is_filled(value: &str) -> bool {
    let bare = bare(value);
    let is_switch = words::is(SWITCHES, bare);
    let is_empty = bare.bytes().all(|byte| b"{[(|>,\\'\"".contains(&byte));
    let is_pattern = PATTERNS.split(' ').any(|start| value.starts_with(start));
    !(is_empty || is_switch || is_pattern || is_masked(bare) || is_blank(value))
}

fn is_masked(value: &str) -> bool {
    let all = |byte: u8| value.bytes().all(|found| found == byte);
    let is_crossed_out = value.len() > 2 && (all(b'x') || all(b'X') || all(b'.') || all(b'-'));
    let inner = value.trim_start_matches(['[', '(', '<']);
    let is_said = words::begins("redacted", inner)
        || inner.len() < value.len()
            && (words::begins("hidden masked omitted unset", inner)
                || words::has("not set", cut(inner, 7)));
    all(b'*') || is_crossed_out || value.starts_with(['…', '•']) || is_said
}

/// Whether a value is a placeholder that a person or a tool fills in: `<password>`, `@PASSWORD@`, `:pw`.
fn is_blank(value: &str) -> bool {
    let short = cut(value, MAX_BLANK);
    let is_inside = |&(open, close, is): &Blank| {
        let inside = short
            .strip_prefix(open)
            .and_then(|rest| rest.split_once(close));
        inside.is_some_and(|(inner, rest)| {
            let is_all = !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
            is_all && !inner.is_empty() && inner.bytes().all(is)
        })
    };
    let is_bind = short.strip_prefix([':', '&']).is_some_and(|name| {
        let name = name.trim_end_matches([';', ')', '"', '\'']);
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
    });
    let is_element = value.starts_with('<') && value.ends_with('>');
    is_element || is_bind || short == "?" || BLANKS.iter().any(is_inside)
}
