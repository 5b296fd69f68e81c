//! The value of a scalar, as kubectl and Helm read it: YAML 1.1 by `go.yaml.in/yaml/v2` (`resolve.go`), which differs
//! from YAML 1.2 in booleans, octal numbers and timestamps.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};
use serde_saphyr::granit_parser::Tag;

/// The value of a scalar without quotes and without a tag.
pub(super) fn plain(text: &str) -> Value {
    match text {
        // JSON has neither infinity nor NaN, and no field of a manifest accepts one.
        "" | "~" | "null" | "Null" | "NULL" | ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf"
        | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

/// The value of a scalar with a tag, or its fault. An unknown tag is ignored.
pub(super) fn tagged(tag: &Tag, text: &str) -> Result<Value, &'static str> {
    let kind = tag.suffix_in_namespace("tag:yaml.org,2002:");
    let value = plain(text);
    match (kind.as_deref(), value) {
        (Some("int"), Value::Number(number)) if !number.is_f64() => Ok(Value::Number(number)),
        (Some("int"), _) => Err("the tag !!int stands before a value that is not an integer"),
        (Some("float"), Value::Number(number)) => Ok(Value::Number(number)),
        (Some("float"), _) => Err("the tag !!float stands before a value that is not a number"),
        (Some("bool"), Value::Bool(value)) => Ok(Value::Bool(value)),
        (Some("bool"), _) => Err("the tag !!bool stands before a value other than true or false"),
        (Some("null"), Value::Null) => Ok(Value::Null),
        (Some("null"), _) => Err("the tag !!null stands before a value other than null"),
        (Some("binary"), _) => {
            let joined: String = text.split_ascii_whitespace().collect();
            let bytes = STANDARD
                .decode(joined)
                .map_err(|_| "the tag !!binary stands before a value that is not base64")?;
            Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Number> {
    let first = text.bytes().next()?;
    if first == b'.' {
        return float(text);
    }
    if !first.is_ascii_digit() && first != b'+' && first != b'-' {
        return None;
    }
    let plain = if text.contains('_') {
        Cow::Owned(text.replace('_', ""))
    } else {
        Cow::Borrowed(text)
    };
    integer(&plain).or_else(|| float(&plain))
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` would accept a second sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    if negative {
        i64::try_from(-value).ok().map(Number::from)
    } else {
        u64::try_from(value).ok().map(Number::from)
    }
}

/// A decimal number with a fraction, an exponent or more digits than an integer may have.
fn float(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    // Rust also accepts `inf` and `nan`; YAML requires a digit, or a dot and a digit, at the beginning.
    let is_digit = |at: usize| digits.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let begins = is_digit(0) || digits.starts_with('.') && is_digit(1);
    if !begins {
        return None;
    }
    text.parse().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Each pair is a scalar and the JSON that `sigs.k8s.io/yaml` 1.6.0 converts it to.
    #[test]
    fn a_scalar_means_what_it_means_to_kubectl() {
        for (text, value) in [
            ("600", json!(600)),
            ("600.0", json!(600.0)),
            ("1.2096e+06", json!(1_209_600.0)),
            ("3e2", json!(300.0)),
            ("1.5", json!(1.5)),
            ("-5", json!(-5)),
            ("+5", json!(5)),
            ("0x1F", json!(31)),
            ("-0x1F", json!(-31)),
            ("0b11", json!(3)),
            ("-0b11", json!(-3)),
            ("0777_1", json!(4089)),
            ("0o14", json!(12)),
            ("014", json!(12)),
            ("08", json!(8.0)),
            ("1__0", json!(10)),
            ("1_000.5", json!(1000.5)),
            (".5", json!(0.5)),
            ("5.", json!(5.0)),
            ("-.5", json!(-0.5)),
            ("+.5e3", json!(500.0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
            ("1e400", json!("1e400")),
            ("1:30", json!("1:30")),
            ("2026-01-01", json!("2026-01-01")),
            ("-", json!("-")),
            ("+-5", json!("+-5")),
            ("0x", json!("0x")),
            ("1.2.3", json!("1.2.3")),
            ("1e", json!("1e")),
            ("inf", json!("inf")),
            ("-inf", json!("-inf")),
            ("y", json!(true)),
            ("Off", json!(false)),
            ("~", json!(null)),
            ("Never", json!("Never")),
        ] {
            assert_eq!(plain(text), value, "{text}");
        }
    }
}
