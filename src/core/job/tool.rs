//! Recognises migration Jobs that carry no label: by tool, image or name.
//!
//! A net for charts that nobody has labelled, and for the Atlas guide's own Job, which has no
//! migration label. It errs on the side of silence; what it finds is capped at
//! `detection.maxAction` by the policy.

mod known;
mod line;
mod script;
mod command_words;

use std::sync::LazyLock;

use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::core::job::pattern::{Pattern, is, of_any_case};
use crate::core::job::tool::line::Said;
use crate::core::job::{Job, sidecar};

/// What gave a migration away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// A command line of this tool.
    Command(&'static str),
    /// An image of this tool.
    Image(&'static str),
    /// Something called `migrate` is run.
    Generic,
    /// The Job's name.
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

/// Names of Jobs that are about a migration and are none.
const NOT_BY_NAME: &str = r"(^|-)(wait|waiter|check|checks|verify|backup|dump|restore|status|cleanup|notify|report|smoke)(-|$)";

/// Things that are called migration and migrate no database schema.
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

/// Compiles the signatures, which the first unlabelled Job would otherwise wait for.
pub fn warm_up() {
    LazyLock::force(&IMAGE_SET);
    for regex in [&NAME_RE, &NOT_BY_NAME_RE, &FALSE_RE] {
        LazyLock::force(regex);
    }
    command_words::warm_up();
    super::direction::warm_up();
}

/// What a container's image and command line say.
enum Evidence {
    For(Detection),
    Against,
    None,
}

/// What gives this Job away as a migration, strongest evidence first.
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

/// What gives one container away.
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

/// The last part of an image's name: the entry point of many images is called as they are.
fn program(image: &str) -> &str {
    let repository = sidecar::repository(image);
    repository.rsplit('/').next().unwrap_or_default()
}

/// Whether a name says that it migrates.
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
