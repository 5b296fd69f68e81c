//! Expressions of programs that read a secret from elsewhere: `ENV.fetch("X")`, `settings.PASSWORD`.
//!
//! [`super::value`] covers references that a shell, Kubernetes or a template resolves.

use super::key::is_key;
use crate::core::job::name::cut;

/// Longest part of a value that is read.
const MAX: usize = 128;
/// Names of objects that hold settings, before the first dot.
const HOLDERS: [&str; 22] = [
    "args", "cfg", "conf", "config", "data", "each", "env", "environ", "flags", "local", "module",
    "options", "opts", "os", "params", "process", "secrets", "self", "settings", "this", "values",
    "var",
];
/// Prefixes of functions that read, ask for or make a secret.
const READERS: [&str; 18] = [
    "ask",
    "base64",
    "decrypt",
    "env",
    "fetch",
    "file",
    "generate",
    "get",
    "input",
    "load",
    "lookup",
    "open",
    "prompt",
    "random",
    "read",
    "secret",
    "sensitive",
    "strenv",
];

/// Whether a value without quotes is an expression: a call, an index, or a member of something.
pub(super) fn is_code(value: &str) -> bool {
    let value = cut(value, MAX);
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let (chain, rest) = value.split_at(value.bytes().take_while(is_part).count());
    if chain.starts_with(|first: char| !first.is_ascii_alphabetic()) {
        return false;
    }
    let (first, last) = (chain.split('.').next(), chain.rsplit('.').next());
    let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
    let is_member = !first.is_empty() && first.len() < chain.len();
    let reads = |start: &&str| {
        let name = chain.as_bytes().get(..start.len());
        name.is_some_and(|name| name.eq_ignore_ascii_case(start.as_bytes()))
    };
    let holds = |name: &&str| first.eq_ignore_ascii_case(name);
    match rest.as_bytes() {
        [b'(', ..] => is_member || READERS.iter().any(reads),
        [b'['] => !chain.is_empty(),
        [b'[', next, ..] => !chain.is_empty() && b"'\":\\".contains(next),
        [] => is_member && (HOLDERS.iter().any(holds) || is_key(last)),
        [next, ..] => {
            b",;)}]'\"\\|&?".contains(next)
                && is_member
                && (HOLDERS.iter().any(holds) || is_key(last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_code;

    #[test]
    fn tells_an_expression_from_a_password() {
        for code in [
            "ENV.fetch(",
            "ENV['PW'])",
            "cfg[",
            "settings.PASSWORD",
            "args.password)",
            "config.db.password,",
            "credentials.pw",
            "open('/run/pw').read()",
            "fs.readFileSync('/run/pw',",
            "getpass()",
            "strenv(PW)'",
            "env.PW",
            "var.db_password",
            "local.x",
            "data.vault_generic_secret.x",
        ] {
            assert!(is_code(code), "{code}");
        }
        for password in [
            "",
            "(",
            "[",
            "hunter2",
            "hun.ter2",
            "hunter(2)",
            "hunt[er]2",
            "9.password",
            ".password",
            "config",
            "settings.PASSWORD!1",
        ] {
            assert!(!is_code(password), "{password}");
        }
    }
}
