//! Recognises migration Jobs that carry no label: by tool, image or name.
//!
//! It catches charts without the label, among them the Atlas guide's own Job. In doubt it does not report anything. The
//! policy caps the action for these Jobs at `detection.maxAction`.

mod command_words;
mod known;
mod line;
mod script;

use std::sync::LazyLock;

use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::core::job::pattern::{Pattern, is, of_any_case};
use crate::core::job::tool::line::Said;
use crate::core::job::{Job, sidecar};

/// How a migration was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// A command line of this tool.
    Command(&'static str),
    /// An image of this tool.
    Image(&'static str),
    /// It runs something called `migrate`.
    Generic,
    Name,
}

impl std::fmt::Display for Detection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Command(tool) => write!(f, "it runs {tool}"),
            Self::Image(tool) => write!(f, "its image is {tool}'s"),
            Self::Generic => f.write_str("it runs something called migrate"),
            Self::Name => f.write_str("its name says so"),
        }
    }
}

const NAME: &str = r"(^|-)(db-?|schema-?|auto-?)?migrat(e|ions?|or)(-|$)";

/// Names of Jobs that deal with a migration but are not one.
const NOT_BY_NAME: &str = r"(^|-)(wait|waiter|check|checks|verify|backup|dump|restore|status|cleanup|notify|report|smoke)(-|$)";

/// Things that are called migration but do not migrate a database schema.
const FALSE_FRIENDS: &str = r"storage-version-migrat|resource-migration|(crd|volume|pvc?|bucket|vm|node|live)s?-migrat|\bvelero/velero\b";

static IMAGE_SET: LazyLock<Option<RegexSet>> = LazyLock::new(|| {
    RegexSetBuilder::new(known::IMAGES.iter().map(|(_, pattern)| pattern))
        .unicode(false)
        .build()
        .ok()
});
static NAME_RE: Pattern = LazyLock::new(|| of_any_case(NAME));
static NOT_BY_NAME_RE: Pattern = LazyLock::new(|| of_any_case(NOT_BY_NAME));
static FALSE_RE: Pattern = LazyLock::new(|| of_any_case(FALSE_FRIENDS));

/// Compiles the signatures in advance, so that the first unlabelled Job does not wait for it.
pub fn warm_up() {
    LazyLock::force(&IMAGE_SET);
    for regex in [&NAME_RE, &NOT_BY_NAME_RE, &FALSE_RE] {
        LazyLock::force(regex);
    }
    command_words::warm_up();
    super::direction::warm_up();
}

/// What a container's image and command line show.
enum Evidence {
    For(Detection),
    Against,
    None,
}

/// How this Job is recognised as a migration, strongest evidence first; `None` if it is not.
#[must_use]
pub fn detect(job: &Job<'_>) -> Option<Detection> {
    let name = job.name.shown();
    if is(&FALSE_RE, name) {
        return None;
    }
    let (mut generic, mut only_against) = (false, job.containers().next().is_some());
    for (_, _, container) in job.containers() {
        let words = container.command.iter().chain(&container.args);
        match evidence(&container.image, words.map(|word| &**word)) {
            Evidence::For(Detection::Generic) => generic = true,
            Evidence::For(detection) => return Some(detection),
            Evidence::Against => {}
            Evidence::None => only_against = false,
        }
    }
    if (generic || !only_against) && is(&NAME_RE, name) && !is(&NOT_BY_NAME_RE, name) {
        return Some(Detection::Name);
    }
    generic.then_some(Detection::Generic)
}

/// The tool that a Job with these containers runs, each with its image and the words of its command line.
pub fn named<'c, W: Iterator<Item = &'c str> + Clone>(
    containers: impl Iterator<Item = (&'c str, W)>,
) -> Option<&'static str> {
    let mut found = containers.map(|(image, words)| evidence(image, words));
    found.find_map(|evidence| match evidence {
        Evidence::For(Detection::Command(tool) | Detection::Image(tool)) => Some(tool),
        _ => None,
    })
}

/// The evidence in one container.
fn evidence<'c>(image: &str, words: impl Iterator<Item = &'c str> + Clone) -> Evidence {
    if is(&FALSE_RE, image) {
        return Evidence::Against;
    }
    let program = program(image);
    let said = line::judge(program, words.clone());
    match said {
        Said::Runs(tool) => Evidence::For(Detection::Command(tool)),
        Said::Looks => Evidence::Against,
        Said::Migrates | Said::Nothing => {
            let made_for =
                made_for(image).filter(|_| said == Said::Migrates || !line::reads(words));
            match made_for {
                Some(tool) => Evidence::For(Detection::Image(tool)),
                None if said == Said::Migrates || is_migration(program) => {
                    Evidence::For(Detection::Generic)
                }
                None => Evidence::None,
            }
        }
    }
}

/// Calls `each` with the words of each command that a container runs, from the program on. The first `most` bytes of
/// its command line are read.
pub(super) fn each_command<'c>(
    image: &str,
    words: impl Iterator<Item = &'c str>,
    most: usize,
    each: impl FnMut(&[&str]),
) {
    script::each(program(image), words, most, each);
}

/// Whether a command runs a known migration tool.
pub(super) fn runs_a_tool(command: &[&str]) -> bool {
    matches!(line::command(command), Said::Runs(_))
}

/// The last part of an image's name, which is also the entry point of many images.
fn program(image: &str) -> &str {
    let repository = sidecar::repository(image);
    repository.rsplit('/').next().unwrap_or_default()
}

/// Whether a Job's name is that of a migration.
fn is_migration(name: &str) -> bool {
    command_words::word(name) == Said::Migrates
}

/// The tool that an image is made for.
fn made_for(image: &str) -> Option<&'static str> {
    let found = IMAGE_SET
        .as_ref()?
        .matches(image.as_bytes())
        .iter()
        .next()?;
    known::IMAGES.get(found).map(|(tool, _)| *tool)
}

#[cfg(test)]
mod tests;
