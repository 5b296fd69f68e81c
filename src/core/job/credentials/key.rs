//! Names of variables, options, parameters and headers whose value is a password.
//!
//! [`super::value`] evaluates the value itself.

/// Longest name that is read; of a longer one, only its end is.
pub(super) const MAX_KEY: usize = 64;

/// Endings of such a name, without separators and in lower case.
const ENDINGS: [&str; 7] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "pwd",
    "secretaccesskey",
    "clientsecret",
];
/// Names that hold a password only as a whole.
const NAMES: [&str; 5] = [
    "accountkey",
    "sharedaccesskey",
    "pw",
    "requirepass",
    "masterauth",
];
/// Prefixes that form one word with `pw`.
const BEFORE_PW: [&str; 9] = ["d", "db", "root", "user", "admin", "pg", "my", "sql", "sa"];
/// Words that end in `pass` but have nothing to do with passwords.
const OTHER_PASS: [&str; 9] = [
    "bypass",
    "compass",
    "encompass",
    "surpass",
    "trespass",
    "overpass",
    "underpass",
    "multipass",
    "singlepass",
];
/// Words that make a name a switch: `MYSQL_ALLOW_EMPTY_PASSWORD`.
const SWITCHES: [&str; 20] = [
    "no", "without", "allow", "random", "ask", "prompt", "disable", "disabled", "enable",
    "enabled", "require", "required", "skip", "show", "hide", "forgot", "expire", "proxy",
    "fastcgi", "uwsgi",
];

/// Whether a variable or option of this name holds a password.
pub(in crate::core::job) fn is_key(name: &str) -> bool {
    let bytes = tail(name.as_bytes());
    // `DB_PASSWORD_2`
    let digits = bytes
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let bytes = match digits {
        1 | 2 => &bytes[..bytes.len() - digits],
        _ => bytes,
    };
    let bytes = bytes
        .strip_suffix(b"_")
        .filter(|_| digits > 0)
        .unwrap_or(bytes);
    // Most names do not end like this, which is cheap to check.
    let may_be = matches!(
        bytes,
        [
            ..,
            b'd' | b'D'
                | b's'
                | b'S'
                | b'w'
                | b'W'
                | b'e'
                | b'E'
                | b'y'
                | b'Y'
                | b't'
                | b'T'
                | b'h'
                | b'H'
        ]
    );
    may_be && !matches!(name, "PWD" | "OLDPWD") && ends_as_one(bytes) && !is_switch(bytes)
}

fn tail(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(MAX_KEY)..]
}

fn ends_as_one(bytes: &[u8]) -> bool {
    let mut lower = [0; MAX_KEY];
    let letters = bytes.iter().filter(|byte| !is_separator(**byte));
    let mut length = 0;
    for (slot, byte) in lower.iter_mut().zip(letters) {
        *slot = byte.to_ascii_lowercase();
        length += 1;
    }
    let squeezed = &lower[..length];
    let is = |name: &&str| squeezed == name.as_bytes();
    if ENDINGS.iter().any(|end| squeezed.ends_with(end.as_bytes())) || NAMES.iter().any(is) {
        return true;
    }
    let last = words(bytes).last().unwrap_or_default();
    let is_last = |word: &&str| last.eq_ignore_ascii_case(word.as_bytes());
    let last_word = bytes
        .rsplit(|byte| is_separator(*byte))
        .next()
        .unwrap_or_default();
    let is_last_word = |word: &&str| last_word.eq_ignore_ascii_case(word.as_bytes());
    if squeezed.ends_with(b"pass") {
        return is_last(&"pass") || !OTHER_PASS.iter().any(is_last_word);
    }
    let before = last.len().checked_sub(2).map(|at| last.split_at(at));
    before.is_some_and(|(before, end)| {
        end.eq_ignore_ascii_case(b"pw")
            && (before.is_empty()
                || BEFORE_PW
                    .iter()
                    .any(|name| before.eq_ignore_ascii_case(name.as_bytes())))
    })
}

fn is_switch(bytes: &[u8]) -> bool {
    let is = |word: &[u8]| {
        SWITCHES
            .iter()
            .any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    words(bytes).any(is) || contains(bytes, b"nopass") || contains(bytes, b"askpass")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes
        .windows(part.len())
        .any(|window| window.eq_ignore_ascii_case(part))
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b'.')
}

/// The words of a name: `DB_PASS`, `db-pass` and `dbPass` have two.
fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !is_separator(*byte))?;
        let word = &rest[start..];
        let is_end = |pair: &[u8]| {
            is_separator(pair[1]) || pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()
        };
        let end = word
            .windows(2)
            .position(is_end)
            .map_or(word.len(), |at| at + 1);
        rest = &word[end..];
        Some(&word[..end])
    })
}

/// Whether a byte may be part of a name.
pub(super) fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || is_separator(byte)
}

/// Whether a parameter of a URL with this name holds a token.
pub(super) fn is_token(name: &str) -> bool {
    let names = [
        "token",
        "access_token",
        "auth_token",
        "authToken",
        "private_token",
        "job_token",
        "api_key",
        "apikey",
        "sig",
        "secret",
    ];
    names.iter().any(|token| name.eq_ignore_ascii_case(token))
}

/// Whether an HTTP header of this name holds a token.
pub(super) fn is_header(name: &str) -> bool {
    let names = [
        "x-api-key",
        "api-key",
        "apikey",
        "private-token",
        "x-auth-token",
        "x-vault-token",
    ];
    names.iter().any(|header| name.eq_ignore_ascii_case(header))
}

/// Whether a name is that of the `Authorization` header.
pub(super) fn is_authorization(name: &str) -> bool {
    let name = tail(name.as_bytes());
    let end = name.len().saturating_sub("authorization".len());
    name[end..].eq_ignore_ascii_case(b"authorization")
}

#[cfg(test)]
mod tests {
    use super::is_key;

    #[test]
    fn knows_the_names_of_passwords() {
        for name in [
            "DB_PASSWORD",
            "dbPassword",
            "DBPASS",
            "db_pass",
            "userPass",
            "DB_PW",
            "dbPw",
            "rootpw",
            "--pw",
            "-pw",
            "PGPASSWORD",
            "MYSQL_PWD",
            "Pwd",
            "-Dflyway.password",
            "--dbPassword",
            "spring.datasource.password",
            "Database__Password",
            "DB_PASSWORD_2",
            "--requirepass",
            "AWS_SECRET_ACCESS_KEY",
            "secretAccessKey",
            "AccountKey",
            "storepass",
            "KEY_PASSPHRASE",
        ] {
            assert!(is_key(name), "{name}");
        }
    }

    #[test]
    fn knows_what_is_a_switch_or_a_place() {
        for name in [
            "",
            "PWD",
            "OLDPWD",
            "DB_PASSWORD_FILE",
            "PGPASSFILE",
            "--password-stdin",
            "--no-password",
            "MYSQL_ALLOW_EMPTY_PASSWORD",
            "allowEmptyPassword",
            "MYSQL_RANDOM_ROOT_PASSWORD",
            "FORCE_SSL_BYPASS",
            "compass",
            "DISABLE_PASSWORD",
            "PASSWORD_MIN_LENGTH",
            "--ask-pass",
            "--askpass",
            "SSH_ASKPASS",
            "password_encryption",
            "proxy_pass",
            "kpw",
            "passwords",
            "nopasswd",
            "SECRET_NAME",
        ] {
            assert!(!is_key(name), "{name}");
        }
    }
}
