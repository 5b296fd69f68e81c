//! Recognises migration Jobs that carry no label: by tool, image or name.
//!
//! It catches charts without the label, among them the Atlas guide's own Job. In doubt it does not report anything. The
//! policy caps the action for these Jobs at `detection.maxAction`.

mod line;
mod script;
mod tables;

use std::sync::LazyLock;

use crate::core::job::tool::line::Said;
use crate::core::job::{Job, sidecar};

pub(super) use tables::{TABLES, Words};

/// How a migration was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// A container runs the migration command of this tool.
    Command(&'static str),
    /// A container has the image of this tool.
    Image(&'static str),
    /// It runs something called `migrate`.
    Generic,
    /// The name of the Job says so.
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

/// Compiles the signatures in advance, so that the first unlabelled Job does not wait for it.
pub fn warm_up() {
    LazyLock::force(&TABLES);
}

/// What a container's image and command line show.
enum Evidence {
    For(Detection),
    Against,
    None,
}

/// The names of the tools that are recognised, in the order of the tables.
#[must_use]
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = TABLES.commands.names().collect();
    for name in TABLES.images.names() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// How this Job is recognised as a migration, strongest evidence first; `None` if it is not.
#[must_use]
pub(crate) fn detect(job: &Job<'_>) -> Option<Detection> {
    let name = job.name.shown();
    if TABLES.false_friends.is_in(name) {
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
    if (generic || !only_against) && TABLES.name.is_in(name) && !TABLES.not_by_name.is_in(name) {
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

fn evidence<'c>(image: &str, words: impl Iterator<Item = &'c str> + Clone) -> Evidence {
    if TABLES.false_friends.is_in(image) {
        return Evidence::Against;
    }
    let program = program(image);
    let said = line::judge(program, words.clone());
    match said {
        Said::Runs(tool) => Evidence::For(Detection::Command(tool)),
        Said::Looks => Evidence::Against,
        Said::Migrates | Said::Nothing => {
            let tool = TABLES.images.of(image);
            match tool.filter(|_| said == Said::Migrates || !line::reads(words)) {
                Some(tool) => Evidence::For(Detection::Image(tool)),
                None if said == Said::Migrates || line::word(program) == Said::Migrates => {
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

#[cfg(test)]
mod tests;
