//! Values that say where a secret is: a path, a URL, the key of a store, or a name that a tool resolves.
//!
//! Each question is answered from a bounded part of the value.

use crate::core::job::name::cut;

/// Longest part of a value that is read, except for a path.
const MAX: usize = 128;
/// Prefixes of the place of a secret, in lower case.
const PLACES: [&str; 30] = [
    "arn:",
    "file:",
    "env:",
    "secretref+",
    "ref+",
    "ssm:",
    "awssm:",
    "aws-sm:",
    "aws:",
    "gcp:",
    "gcpsm:",
    "azure:",
    "akv:",
    "bao:",
    "openbao:",
    "k8s:",
    "kubernetes:",
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
    "getenv(",
    "env[",
    "env(",
];
/// Prefixes of the path of a secret in a store.
const STORES: [&str; 4] = ["secret/", "secrets/", "kv/", "secret["];
/// Tags of YAML that read a secret from elsewhere.
const TAGS: [&str; 6] = ["!var", "!secret", "!env", "!ref", "!file", "!include"];

/// Whether a value says where a secret is.
pub(super) fn is_place(value: &str) -> bool {
    // `>>vault:…` of Bank-Vaults.
    let value = value.strip_prefix(">>").unwrap_or(value);
    let short = cut(value, MAX);
    let begins = |place: &&str| {
        let start = short.as_bytes().get(..place.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(place.as_bytes()))
    };
    PLACES.iter().chain(&STORES).any(begins)
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
    let has = |part: &str| {
        let mut windows = kind.as_bytes().windows(part.len());
        windows.any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
    };
    let is_kind = kind.len() < value.len() && kind.bytes().all(is_name);
    is_kind && (has("secret") || has("vault")) || value.contains("/data/") && value.contains('#')
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
