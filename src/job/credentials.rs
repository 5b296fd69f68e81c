//! Finds credentials written into a Job, and masks them wherever text leaves the program.
//!
//! One scanner serves both the `inline-credentials` rule and the masking of decisions, so that what
//! the rule can see is never printed. Placeholders (`$(NAME)`, `${NAME}`, `$NAME`) are no
//! credentials. It is a scanner for the ways migration tools take passwords, not for every secret
//! that exists. [`scan`] finds them in text.

mod scan;

use std::borrow::Cow;
use std::ops::Range;

use crate::job::object::Container;
use scan::{Reader, is_option, is_secret};
pub(super) use scan::{is_key, may_hold_any};

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
                Some(key) if !word.starts_with('-') && is_secret(word, Reader::Shell) => {
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
    for &(index, ref variable) in &container.env.0 {
        let form = if is_key(&variable.name) && is_secret(&variable.value, Reader::Shell) {
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
    let mut ranges: Vec<Range<usize>> = scan::secrets(text, Reader::Kubernetes)
        .map(|(range, _)| range)
        .collect();
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
    for (range, _) in scan::secrets(text, Reader::Kubernetes) {
        bytes[range].fill(b'*');
    }
    // Ranges begin and end at ASCII characters, so none was cut.
    String::from_utf8_lossy(&bytes).into_owned()
}

fn first(text: &str) -> Option<Form> {
    scan::secrets(text, Reader::Shell)
        .next()
        .map(|(_, form)| form)
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
                "jdbc:postgresql://db/s?user=a&password=***",
            ),
            ("Server=db;Pwd=hunter2;", "Server=db;Pwd=***"),
            (
                "postgres://app@srv:hunter2@db/x",
                "postgres://app@srv:***@db/x",
            ),
            ("root:hunter2@/shop", "root:***@/shop"),
            ("root:hunter2@tcp/shop", "root:***@tcp/shop"),
            ("root:p@ss@tcp(db)/x", "root:***@tcp(db)/x"),
            ("postgres://app:hun'ter2@db", "postgres://app:***@db"),
            ("--password=$ecret1", "--password=***"),
            ("postgres://u:$ecret@h", "postgres://u:***@h"),
            ("postgres://u:$(X)hunter2@h", "postgres://u:***@h"),
            ("--password=hunt,er2 x", "--password=*** x"),
            (
                r#"{\"db_password\":\"hunter2\"}"#,
                r#"{\"db_password\":\"***"}"#,
            ),
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
            "export PGPASSWORD=$(cat)",
            "postgres://u:$(PW)@h/x?contact=a@b",
            "password=$(PW)&ssl=1",
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

    #[test]
    fn what_a_shell_resolves_is_no_finding() {
        for text in [
            "PGPASSWORD=\"$DB\" psql",
            "export PGPASSWORD=$(cat /run/secret)",
            "PGPASSWORD=`cat /run/secret` psql",
            "postgres://u:$PW@h",
        ] {
            assert_eq!(first(text), None, "{text}");
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
