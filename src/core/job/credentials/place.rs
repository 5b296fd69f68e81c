//! Values that say where a secret is: a path, a URL, the key of a store, a name that a tool resolves, or an expression of
//! a program, such as `ENV.fetch("X")` or `settings.PASSWORD`.
//!
//! Each question is answered from a bounded part of the value. [`super::value`] covers references that a shell,
//! Kubernetes or a template resolves.

use super::key::is_key;
use super::words;
use crate::core::job::name::cut;

/// Longest part of a value that is read, except for a path.
const MAX: usize = 128;
/// Prefixes of the place of a secret, in lower case.
const PLACES: &str = "\
    arn: file: env: secretref+ ref+ ssm: awssm: aws-sm: aws: gcp: gcpsm: azure: akv: bao: openbao: \
    k8s: kubernetes: keyring: doppler: infisical: conjur: exec: cmd: !vault projects/ process.env \
    os.environ getenv( env[ env(";
/// Prefixes of the path of a secret in a store.
const STORES: &str = "secret/ secrets/ kv/ secret[";
/// Tags of YAML that read a secret from elsewhere.
const TAGS: [&str; 6] = ["!var", "!secret", "!env", "!ref", "!file", "!include"];
/// Names of objects that hold settings, before the first dot.
const HOLDERS: &str = "\
    args cfg conf config data each env environ flags local module options opts os params process \
    secrets self settings this values var";
/// Prefixes of functions that read, ask for or make a secret.
const READERS: &str = "\
    ask base64 decrypt env fetch file generate get input load lookup open prompt random read \
    secret sensitive strenv";

/// Whether a value says where a secret is.
pub(super) fn is_place(value: &str) -> bool {
    // `>>vault:…` of Bank-Vaults.
    let value = value.strip_prefix(">>").unwrap_or(value);
    let short = cut(value, MAX);
    words::begins(PLACES, short)
        || words::begins(STORES, short)
        || value.starts_with("@Microsoft.KeyVault(")
        || names_a_store(short)
        || TAGS.contains(&short.split(' ').next().unwrap_or_default())
        || is_url(short)
        || is_path(value.strip_prefix('@').unwrap_or(value))
}

/// Whether the part before the first colon names a store: `vault:…`, `gcp-secret-manager:…`. `…/data/…#key` is a path
/// of Vault.
fn names_a_store(value: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte);
    let kind = value.split(':').next().unwrap_or_default();
    let is_kind = kind.len() < value.len() && kind.bytes().all(is_name);
    is_kind && (words::has("secret", kind) || words::has("vault", kind))
        || value.contains("/data/") && value.contains('#')
}

fn is_url(value: &str) -> bool {
    let scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+.-".contains(byte);
    let length = value.bytes().take_while(scheme).count();
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

/// Whether `host:8080/path@x` was mistaken for a user and a password.
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

/// Whether a value without quotes is an expression: a call, an index, or a member of something.
pub(super) fn is_code(value: &str) -> bool {
    let value = cut(value, MAX);
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let (chain, rest) = value.split_at(value.bytes().take_while(is_part).count());
    if chain.starts_with(|first: char| !first.is_ascii_alphabetic()) {
        return false;
    }
    let (first, last) = (chain.split('.').next(), chain.rsplit('.').next());
    let first = first.unwrap_or_default();
    let is_member = !first.is_empty() && first.len() < chain.len();
    let is_setting =
        || is_member && (words::is(HOLDERS, first) || is_key(last.unwrap_or_default()));
    match rest.as_bytes() {
        [b'(', ..] => is_member || words::begins(READERS, chain),
        [b'['] => !chain.is_empty(),
        [b'[', next, ..] => !chain.is_empty() && b"'\":\\".contains(next),
        [] => is_setting(),
        [next, ..] => b",;)}]'\"\\|&?".contains(next) && is_setting(),
    }
}
