//! Finds credentials written into a Job, and masks them wherever text leaves the program.
//!
//! One scanner serves both the `inline-credentials` rule and the masking of decisions, so that what
//! the rule can see is never printed. Placeholders (`$(NAME)`, `${NAME}`, `$NAME`) are no
//! credentials. It is a scanner for the ways migration tools take passwords, not for every secret
//! that exists.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::job::object::Container;

/// How a credential is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `scheme://user:password@host`, or the `user:password@tcp(host)` of Go's MySQL driver.
    Url,
    /// `--password x`, `--password=x`, `PGPASSWORD=x`, `?password=x`: with the key's name.
    Assignment(String),
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url => f.write_str("holds a URL with a password"),
            Self::Assignment(key) => write!(f, "holds the value of {key}"),
        }
    }
}

/// A credential in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// `command`, `args` or `env`.
    pub field: &'static str,
    /// Index in that list.
    pub index: usize,
    /// How it is written.
    pub form: Form,
}

/// The credentials written into a container, at most one for each word or variable.
#[must_use]
pub fn find(container: &Container<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (field, words) in [("command", &container.command), ("args", &container.args)] {
        let mut option: Option<&str> = None;
        for (index, word) in words.iter().enumerate() {
            let form = match option.take() {
                Some(key) if !word.starts_with('-') && is_secret(word) => {
                    Some(Form::Assignment(key.to_owned()))
                }
                _ => first(word),
            };
            if form.is_none() && is_option(word) {
                option = Some(word);
            }
            hits.extend(form.map(|form| Hit { field, index, form }));
        }
    }
    for (index, variable) in container.env.iter().enumerate() {
        let form = if is_key(&variable.name) && is_secret(&variable.value) {
            Some(Form::Assignment(variable.name.to_string()))
        } else {
            first(&variable.value)
        };
        hits.extend(form.map(|form| Hit {
            field: "env",
            index,
            form,
        }));
    }
    hits
}

/// `text` with every credential in it replaced by `***`.
#[must_use]
pub fn mask(text: &str) -> Cow<'_, str> {
    if !may_hold_any(text) {
        return Cow::Borrowed(text);
    }
    let mut ranges: Vec<Range<usize>> = scan(text).map(|(range, _)| range).collect();
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    ranges.sort_by_key(|range| range.start);
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    for range in ranges {
        if range.start >= from {
            masked.push_str(text.get(from..range.start).unwrap_or_default());
            masked.push_str("***");
        }
        from = from.max(range.end);
    }
    masked.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(masked)
}

/// `text` with every credential in it blotted out, byte for byte, so that positions stay true.
#[must_use]
pub fn blot(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let ranges = if may_hold_any(text) {
        scan(text).map(|found| found.0).collect()
    } else {
        Vec::new()
    };
    for range in ranges {
        bytes[range].fill(b'*');
    }
    // Ranges end at ASCII characters, so no character was cut.
    String::from_utf8_lossy(&bytes).into_owned()
}

fn first(text: &str) -> Option<Form> {
    if !may_hold_any(text) {
        return None;
    }
    scan(text).next().map(|(_, form)| form)
}

/// A cheap look before the expressions run: environments may be a megabyte long.
///
/// A URL or DSN with a password has an `@`; a key that is looked for ends in `pass`, or has a `w`
/// after `s` or `p`.
fn may_hold_any(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr(b'@', bytes).is_some()
        || memchr::memmem::find(bytes, b"pass").is_some()
        || memchr::memmem::find(bytes, b"PASS").is_some()
        || memchr::memchr2_iter(b'w', b'W', bytes)
            .any(|at| at > 0 && matches!(bytes[at - 1].to_ascii_lowercase(), b's' | b'p'))
}

/// Every credential in `text` with where it stands.
fn scan(text: &str) -> impl Iterator<Item = (Range<usize>, Form)> + '_ {
    // Each expression has what comes before the secret as its first group.
    static URL: LazyLock<Option<Regex>> =
        LazyLock::new(|| compile(r#"([a-z][a-z0-9+.-]*://)[^\s/?#"'@:]*:([^\s"']+)@"#));
    static DSN: LazyLock<Option<Regex>> =
        LazyLock::new(|| compile(r#"([^\s"'@:/=]+:)([^\s"'@]+)@(?:tcp6?|udp|unix)\("#));
    static ASSIGNMENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
        compile(
            r#"([a-z0-9_.-]*(?:password|passwd|pwd|pass))["']?\s*[=:]\s*(?:"([^"]+)"|'([^']+)'|([^\s"'&;,)}]+))"#,
        )
    });
    static OPTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
        compile(
            r#"(-[a-z0-9_.-]*(?:password|passwd|pwd|pass))["']?\s+(?:"([^"]+)"|'([^']+)'|([^\s"'&;,)}-][^\s"'&;,)}]*))"#,
        )
    });
    let url = |_: &str, secret: &str| (!is_port(secret)).then_some(Form::Url);
    let dsn = |_: &str, _: &str| Some(Form::Url);
    let named = |key: &str, _: &str| is_key(key).then(|| Form::Assignment(key.to_owned()));
    matches(&URL, text, url)
        .chain(matches(&DSN, text, dsn))
        .chain(matches(&ASSIGNMENT, text, named))
        .chain(matches(&OPTION, text, named))
}

/// The secrets `regex` finds, as far as `form` takes them from what comes before and themselves.
fn matches<'t>(
    regex: &'static LazyLock<Option<Regex>>,
    text: &'t str,
    form: impl Fn(&str, &str) -> Option<Form> + 't,
) -> impl Iterator<Item = (Range<usize>, Form)> + 't {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let captures = regex.as_ref()?.captures_at(text.as_bytes(), from)?;
            let mut groups = captures.iter().skip(1).flatten().map(|group| group.range());
            let (before, secret) = (groups.next()?, groups.next()?);
            let value = text.get(secret.clone()).filter(|value| is_secret(value));
            let key = text.get(before.clone()).unwrap_or_default();
            if let Some(form) = value.and_then(|value| form(key, value)) {
                from = secret.end;
                return Some((secret, form));
            }
            // What was taken for a value may be the next key.
            from = before.end;
        }
    })
}

fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .case_insensitive(true)
        .build()
        .ok()
}

/// Whether `host:8080/path@x` was taken for a user and password.
fn is_port(password: &str) -> bool {
    password
        .split_once(['/', '?'])
        .is_some_and(|(port, _)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a variable or option of this name holds a password.
fn is_key(name: &str) -> bool {
    if matches!(name, "PWD" | "OLDPWD") {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    // `compass` and `bypass` are none.
    let last_word = lower.rsplit(['_', '-', '.']).next();
    let is_password = ["password", "passwd", "pwd"]
        .iter()
        .any(|end| lower.ends_with(end));
    (is_password || last_word == Some("pass")) && !lower.contains("no-pass")
}

fn is_option(word: &str) -> bool {
    word.starts_with('-') && !word.contains(['=', ' ']) && is_key(word)
}

/// Whether a value is a secret rather than a reference to one, a switch, or nothing.
fn is_secret(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']);
    let mut start = value.chars();
    let reference = match (start.next(), start.next()) {
        (Some('$'), Some(next)) => matches!(next, '(' | '{' | '_') || next.is_ascii_alphabetic(),
        (Some('`'), _) | (Some('{'), Some('{')) => true,
        (Some('<'), _) => value.ends_with('>'),
        _ => false,
    };
    let switch = ["true", "false", "yes", "no", "null", "none"];
    !value.is_empty()
        && !reference
        && !value.bytes().all(|byte| byte == b'*')
        && !switch.iter().any(|word| value.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_every_way_a_password_is_written() {
        for (text, masked) in [
            (
                "postgres://app:hunter2@db/shop",
                "postgres://app:***@db/shop",
            ),
            (
                "-u=mysql://app:p/w@x@db:3306/s",
                "-u=mysql://app:***@db:3306/s",
            ),
            ("app:hunter2@tcp(db:3306)/shop", "app:***@tcp(db:3306)/shop"),
            ("--password=hunter2 --x", "--password=*** --x"),
            (
                "flyway -password='hun ter2' migrate",
                "flyway -password='***' migrate",
            ),
            ("mysql --password hunter2 shop", "mysql --password *** shop"),
            ("PGPASSWORD=hunter2 psql -h db", "PGPASSWORD=*** psql -h db"),
            (
                "jdbc:postgresql://db/s?user=a&password=hunter2&ssl=1",
                "jdbc:postgresql://db/s?user=a&password=***&ssl=1",
            ),
            ("Server=db;Pwd=hunter2;", "Server=db;Pwd=***;"),
            (r#"{"db_password": "hunter2"}"#, r#"{"db_password": "***"}"#),
            ("é postgres://é:ü@db é", "é postgres://é:***@db é"),
            ("pwd --password=hunter2", "pwd --password=***"),
            (
                "pwd --db-pass hunter2 DB_PASS=hunter2",
                "pwd --db-pass *** DB_PASS=***",
            ),
            ("PWD=--password=hunter2", "PWD=--password=***"),
            (
                "http://h:1/a,postgres://u:hunter2@h",
                "http://h:1/a,postgres://u:***@h",
            ),
            (
                "--password $(X) --db-password hunter2",
                "--password $(X) --db-password ***",
            ),
        ] {
            assert_eq!(mask(text), masked);
        }
    }

    #[test]
    fn leaves_references_and_harmless_text_alone() {
        for text in [
            "postgres://app:$(DB_PASSWORD)@db/shop",
            "postgres://app:${DB_PASSWORD}@db/shop",
            "postgres://app@db/shop",
            "https://registry:5000/@scope/x",
            "https://db:5432/a@b",
            "PGPASSWORD=\"$DB\" psql",
            "export PGPASSWORD=$(cat /run/secret)",
            "--password-file=/run/secret",
            "PWD=/app",
            "the password is asked for",
            "ALLOW_EMPTY_PASSWORD=yes",
            "MYSQL_PWD=",
            "mail@example.com",
            "--bypass=x compass=north",
        ] {
            assert_eq!(mask(text), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn masking_never_panics_and_is_idempotent(text in "\\PC*") {
            let once = mask(&text).into_owned();
            proptest::prop_assert_eq!(mask(&once).into_owned(), once.clone());
        }

        #[test]
        fn a_planted_password_never_survives(
            before in "[a-z ]{0,8}", user in "[a-z]{0,6}", password in "[A-Za-z0-9!%^*+/_.-]{6,20}",
        ) {
            // The marker makes it no port and no switch.
            let secret = format!("s3cr3t{password}");
            for text in [
                format!("{before} postgres://{user}:{secret}@db/shop"),
                format!("{before} --password={secret}"),
                format!("{before} PGPASSWORD={secret} psql"),
            ] {
                proptest::prop_assert!(!mask(&text).contains(&secret), "{}", mask(&text));
            }
        }
    }
}
