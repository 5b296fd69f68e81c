//! Finds credentials written into a Job, and masks them wherever text leaves the program.
//!
//! One scanner serves both the `inline-credentials` rule and the masking of decisions, so that nothing the rule finds
//! is ever printed. Placeholders (`$(NAME)`, `${NAME}`, `$NAME`) are not credentials. It knows how migration tools take
//! passwords, not every secret that exists. [`scan`] finds credentials in text, [`hidden`] hides other copies of them.

mod assignment;
mod command;
mod context;
mod ends;
mod glance;
mod hidden;
mod key;
mod location;
mod mask;
mod option;
mod place;
mod printf;
mod scan;
mod structure;
mod value;
mod words;

use std::ops::Range;

pub(super) use glance::may_hold_any;
pub(crate) use hidden::Secrets;
pub(super) use key::is_key;
pub use mask::{blot, hide, mask};

use crate::core::job::name::cut;
use crate::core::job::object::Container;
use context::Context;
use scan::Reader;

/// Most bytes of one Job that are searched, not counting texts that cannot hold a credential at first sight.
pub const BUDGET: usize = 256 * 1024;
/// Longest name that is shown for the key of a credential.
const NAME: usize = 64;
/// Longest word that is searched even if it holds nothing at first sight: it may name a program.
const SHORT: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `scheme://user:password@host`, or the `user:password@tcp(host)` of Go's MySQL driver.
    Url,
    /// `?token=x` in a URL.
    Token,
    /// `Authorization: Bearer x`.
    Header,
    /// `host:port:database:user:password`.
    PassFile,
    /// `--password x`, `--password=x`, `PGPASSWORD=x`, `?password=x`: with the key's name.
    Assignment(String),
    /// Unknown: this many bytes were not searched.
    Unread(usize),
}

impl Form {
    fn named(key: &str) -> Self {
        Self::Assignment(key.to_owned())
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url => f.write_str("holds a URL with a password"),
            Self::Token => f.write_str("holds a URL with a token"),
            Self::Header => f.write_str("holds a header with a token"),
            Self::PassFile => f.write_str("holds a line of a .pgpass file"),
            Self::Assignment(key) => {
                let shown = cut(key, NAME);
                let more = if shown.len() < key.len() { "…" } else { "" };
                write!(f, "holds the value of {shown}{more}")
            }
            Self::Unread(bytes) => write!(
                f,
                "{bytes} bytes of this Job's text are not searched for passwords: \
                 the search ends after {BUDGET} bytes"
            ),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub list: &'static str,
    pub container: usize,
    /// `command`, `args` or `env`.
    pub field: &'static str,
    pub index: usize,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hit<'c> {
    pub place: Place,
    pub form: Form,
    /// Byte range of the credential in that text.
    pub range: Range<usize>,
    pub text: &'c str,
    line: usize,
}

impl std::fmt::Debug for Hit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.place, self.form)
    }
}

impl Hit<'_> {
    #[must_use]
    pub(crate) fn secret(&self) -> &str {
        &self.text[self.range.clone()]
    }
}

/// The credentials written into containers, each with the path of its list and its index. If some of their text `is_cut`,
/// it is not searched.
pub(super) fn find_in<'c>(
    containers: impl Iterator<Item = (&'static str, usize, &'c Container<'c>)>,
    is_cut: bool,
) -> Vec<Hit<'c>> {
    let mut search = Search {
        hits: Vec::new(),
        left: BUDGET,
        unread: is_cut.then_some(Hit {
            place: Place {
                list: "spec.template.spec.containers",
                container: 0,
                field: "args",
                index: 0,
            },
            form: Form::Unread(0),
            range: 0..0,
            text: "",
            line: 0,
        }),
    };
    for (list, index, container) in containers {
        search.container(list, index, container);
    }
    search.hits.extend(search.unread);
    search.hits
}

/// The hits to report, one for each line.
#[must_use]
pub(crate) fn told<'h, 'c>(hits: &'h [Hit<'c>]) -> Vec<&'h Hit<'c>> {
    let is_unread = |hit: &Hit<'_>| matches!(hit.form, Form::Unread(_));
    let mut told: Vec<_> = hits.iter().collect();
    told.dedup_by(|later, first| {
        later.line == first.line && later.place == first.place && !is_unread(later)
    });
    told
}

struct Search<'c> {
    hits: Vec<Hit<'c>>,
    left: usize,
    /// Only one, because a Job of a megabyte may have very many texts.
    unread: Option<Hit<'c>>,
}

impl<'c> Search<'c> {
    fn container(&mut self, list: &'static str, index: usize, container: &'c Container<'c>) {
        let at = |field, position| Place {
            list,
            container: index,
            field,
            index: position,
        };
        let has_options_alone = container.command.is_empty()
            && container
                .args
                .first()
                .is_some_and(|word| word.starts_with('-'));
        let mut context = if has_options_alone {
            Context::of_unknown_program()
        } else {
            Context::default()
        };
        for (field, words) in [("command", &container.command), ("args", &container.args)] {
            for (position, word) in words.iter().enumerate() {
                self.word(at(field, position), word, &mut context);
            }
        }
        for &(position, ref variable) in &container.env.0 {
            self.variable(at("env", position), &variable.name, &variable.value);
        }
    }

    fn word(&mut self, place: Place, word: &'c str, context: &mut Context) {
        let awaited = context.awaited(cut(word, self.left));
        if let Some((range, form)) = awaited {
            self.read(place, word, |_| vec![(range, form)]);
        } else if word.contains(|c: char| c.is_ascii_whitespace()) && may_hold_any(word) {
            // It may be a script, or a data source name.
            self.scan(place, word, &mut Context::default());
        } else if word.len() <= SHORT || word.starts_with('-') || may_hold_any(word) {
            self.scan(place, word, context);
        }
    }

    fn variable(&mut self, place: Place, name: &str, value: &'c str) {
        if is_key(name) && value::is_secret(value, Reader::Shell) {
            let form = Form::named(cut(name, NAME + 1));
            self.read(place, value, |read| vec![(0..read.len(), form)]);
        } else {
            self.scan(place, value, &mut Context::default());
        }
    }

    fn scan(&mut self, place: Place, text: &'c str, context: &mut Context) {
        self.read(place, text, |read| {
            scan::secrets(read, Reader::Shell, context)
        });
    }

    /// Scans as much of a text as the budget allows.
    fn read(
        &mut self,
        place: Place,
        text: &'c str,
        find: impl FnOnce(&str) -> Vec<(Range<usize>, Form)>,
    ) {
        let read = cut(text, self.left);
        self.left -= read.len();
        let mut found = if read.is_empty() {
            Vec::new()
        } else {
            find(read)
        };
        found.sort_by_key(|(range, _)| range.start);
        let (mut line, mut from) = (0, 0);
        let mut hit = |range: Range<usize>, form| {
            line += memchr::memchr_iter(b'\n', &text.as_bytes()[from..range.start]).count();
            from = range.start;
            Hit {
                place,
                form,
                range,
                text,
                line,
            }
        };
        let found = found.into_iter();
        self.hits
            .extend(found.map(|(range, form)| hit(range, form)));
        let rest = read.len()..text.len();
        match &mut self.unread {
            _ if rest.is_empty() => {}
            Some(Hit {
                form: Form::Unread(bytes),
                ..
            }) => *bytes += rest.len(),
            unread => *unread = Some(hit(rest.clone(), Form::Unread(rest.len()))),
        }
    }
}

#[cfg(test)]
mod tests;
