//! Finds credentials written into a Job, and masks them wherever text leaves the program.
//!
//! One scanner serves both the `inline-credentials` rule and the masking of decisions, so that nothing the rule finds
//! is ever printed. Placeholders (`$(NAME)`, `${NAME}`, `$NAME`) are not credentials. It knows how migration tools take
//! passwords, not every secret that exists. [`scan`] finds credentials in text, [`hidden`] hides other copies of them.

mod assignment;
mod code;
mod command;
mod context;
mod ends;
mod glance;
mod hidden;
mod key;
mod location;
mod option;
mod place;
mod printf;
mod scan;
mod structure;
mod value;

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

pub(super) use glance::may_hold_any;
pub use hidden::Secrets;
pub(super) use key::is_key;

use crate::core::job::Job;
use crate::core::job::name::cut;
use crate::core::job::object::Container;
use context::Context;
use scan::Reader;

/// Most bytes of one Job that are searched, not counting texts that cannot hold a credential at first sight.
pub const BUDGET: usize = 256 * 1024;
/// Most bytes of one text that are shown.
const SHOWN: usize = 64 * 1024;
/// Longest name that is shown for the key of a credential.
const NAME: usize = 64;
/// Longest word that is searched even if it holds nothing at first sight: it may name a program.
const SHORT: usize = 32;

/// How a credential is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
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

/// A credential in a container.
#[derive(Clone, PartialEq, Eq)]
pub struct Hit<'c> {
    /// Path of the list that the container is in.
    pub list: &'static str,
    /// Index of the container in it.
    pub container: usize,
    /// `command`, `args` or `env`.
    pub field: &'static str,
    /// Index in that list.
    pub index: usize,
    /// How it is written.
    pub form: Form,
    /// Byte range of the credential in that text.
    pub range: Range<usize>,
    /// The text that holds it.
    pub text: &'c str,
    line: usize,
}

impl std::fmt::Debug for Hit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            list,
            container,
            field,
            index,
            form,
            ..
        } = self;
        write!(f, "{list}[{container}].{field}[{index}]: {form}")
    }
}

impl Hit<'_> {
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.text[self.range.clone()]
    }

    /// Whether both are in the same text.
    #[must_use]
    pub fn is_with(&self, other: &Self) -> bool {
        let place = |hit: &Self| (hit.list, hit.container, hit.field, hit.index);
        place(self) == place(other)
    }
}

/// The credentials written into containers, each with the path of its list and its index.
pub(super) fn find_in<'c>(
    containers: impl Iterator<Item = (&'static str, usize, &'c Container<'c>)>,
) -> Vec<Hit<'c>> {
    let mut search = Search {
        hits: Vec::new(),
        left: BUDGET,
        unread: None,
    };
    for (list, index, container) in containers {
        search.container(list, index, container);
    }
    search.hits.extend(search.unread);
    search.hits
}

/// The hits to report, one for each line.
#[must_use]
pub fn told<'h, 'c>(hits: &'h [Hit<'c>]) -> Vec<&'h Hit<'c>> {
    let is_unread = |hit: &Hit<'_>| matches!(hit.form, Form::Unread(_));
    let mut told: Vec<_> = hits.iter().collect();
    told.dedup_by(|later, first| {
        later.line == first.line && later.is_with(first) && !is_unread(later)
    });
    told
}

/// Hides a Job's credentials in texts about it.
pub fn hide<'d>(job: &Job<'_>, details: impl Iterator<Item = &'d mut String>) {
    let mut details = details.peekable();
    if details.peek().is_none() {
        return;
    }
    let secrets = Secrets::of(job.credentials());
    details.for_each(|detail| secrets.hide_in(detail));
}

struct Search<'c> {
    hits: Vec<Hit<'c>>,
    left: usize,
    /// Only one, because a Job of a megabyte may have very many texts.
    unread: Option<Hit<'c>>,
}

/// The place of a text in the Job.
#[derive(Clone, Copy)]
struct Place {
    list: &'static str,
    container: usize,
    field: &'static str,
    index: usize,
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
            let form = Form::Assignment(cut(name, NAME + 1).to_owned());
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
        let Place {
            list,
            container,
            field,
            index,
        } = place;
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
                list,
                container,
                field,
                index,
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

/// `text` with every credential in it replaced by `***`, and cut if it is very long.
#[must_use]
pub fn mask(text: &str) -> Cow<'_, str> {
    /// Passes: once a credential is masked, the rest may look like another.
    const AGAIN: usize = 2;
    let mut masked = mask_once(text);
    for _ in 0..AGAIN {
        let Cow::Owned(again) = mask_once(&masked) else {
            break;
        };
        masked = Cow::Owned(again);
    }
    masked
}

fn mask_once(text: &str) -> Cow<'_, str> {
    let shown = shown(text);
    if shown.len() == text.len() && !may_hold_any(text) {
        return Cow::Borrowed(text);
    }
    let ranges = ranges(shown);
    if shown.len() == text.len() && ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(shown.len());
    let mut from = 0;
    for range in ranges {
        if range.start >= from {
            masked.push_str(shown.get(from..range.start).unwrap_or_default());
            masked.push_str("***");
        }
        from = from.max(range.end);
    }
    masked.push_str(shown.get(from..).unwrap_or_default());
    let kept = cut(&masked, SHOWN).len();
    let lost = text.len() - shown.len() + masked.len() - kept;
    if lost > 0 {
        masked.truncate(kept);
        let _ = write!(masked, " … ({lost} bytes cut)");
    }
    Cow::Owned(masked)
}

/// The searched part of a text that is to be shown: all of it, or the whole words that fit. Half a credential would no
/// longer look like one.
fn shown(text: &str) -> &str {
    /// Room for the note about the rest.
    const MARK: usize = 64;
    if text.len() <= SHOWN {
        return text;
    }
    let fits = cut(text, SHOWN - MARK);
    let end = fits
        .rfind(|c: char| c.is_ascii_whitespace())
        .unwrap_or_default();
    &fits[..end]
}

/// `text` with every byte of a credential replaced by a star, so that positions do not change. Text that is too long to
/// be searched is replaced as well.
#[must_use]
pub fn blot(text: &str) -> String {
    let shown = shown(text);
    let mut bytes = text.as_bytes().to_vec();
    bytes[shown.len()..].fill(b'*');
    for range in ranges(shown) {
        bytes[range].fill(b'*');
    }
    // Ranges begin and end at ASCII characters, so no character was cut.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte ranges of the credentials in a text that is to be shown, in order.
fn ranges(text: &str) -> Vec<Range<usize>> {
    if !may_hold_any(text) {
        return Vec::new();
    }
    // Both readers are tried, so that nothing the rule finds is shown. To Kubernetes, most references of a shell are
    // part of a password.
    let has_words = memchr::memchr2(b'$', b'`', text.as_bytes()).is_some();
    let readers = [Some(Reader::Kubernetes), has_words.then_some(Reader::Shell)];
    let readers = readers.into_iter().flatten();
    let found = readers.flat_map(|reader| scan::secrets(text, reader, &mut Context::default()));
    let mut ranges: Vec<_> = found.map(|(range, _)| range).collect();
    ranges.sort_by_key(|range| range.start);
    ranges
}

#[cfg(test)]
mod tests;
