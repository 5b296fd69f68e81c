//! Whether a command line migrates a schema, or only waits, looks or copies.
//!
//! Each command is recognized by its words. Passes are linear in the text, and the text is cut to [`MAX_TEXT`].

use super::script::{base, commands, cut, program_first, script, tokens};
use super::tables::TABLES;

/// Most bytes of a container's command line that are read.
const MAX_TEXT: usize = 64 * 1024;

/// The meaning of a command line, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    /// It has nothing to do with migrations.
    Nothing,
    /// It waits for a migration, looks at one, or makes a copy.
    Looks,
    /// It runs something called `migrate`.
    Migrates,
    Runs(&'static str),
}

/// The meaning of a container's command line. `program` is the last part of its image's name, which is also the entry
/// point of many images.
pub(super) fn judge<'c>(program: &str, words: impl Iterator<Item = &'c str>) -> Said {
    let argv = cut(words, MAX_TEXT);
    if let Some(script) = script(&argv) {
        let script = script.join(" ").replace("\\\n", " ");
        return commands(&script)
            .map(|text| command(&tokens(text).collect::<Vec<_>>()))
            .max()
            .unwrap_or(Said::Nothing);
    }
    let mut words = vec![program];
    words.extend(argv.iter().flat_map(|word| tokens(word)));
    let own = words.get(1..).unwrap_or_default();
    let first = program_first(own);
    let by_words = first
        .split_first()
        .and_then(|(program, rest)| aside(base(program), rest));
    // The image of such a program gets only its arguments. An image called `test` may contain anything.
    let by_image = || aside(program, own).filter(|said| *said != Said::Nothing);
    if let Some(said) = by_words.or_else(by_image) {
        return said;
    }
    let said = command(own);
    match command(&words) {
        Said::Runs(tool) => Said::Runs(tool),
        // The image's name is not part of the command.
        _ if said != Said::Nothing => said,
        by_image => by_image,
    }
}

/// Whether a word of the line is a command that changes nothing.
pub(super) fn reads<'c>(words: impl Iterator<Item = &'c str>) -> bool {
    let argv = cut(words, MAX_TEXT);
    // Alone, `-v` asks for the version.
    let is_question = matches!(*argv, ["-v" | "-V" | "-h"]);
    let reads = |word: &str| {
        let is_sql = word.ends_with("-sql") || word.ends_with("SQL");
        TABLES.reads.has(word.trim_start_matches('-')) || is_sql && !word.starts_with('-')
    };
    is_question || argv.iter().flat_map(|word| tokens(word)).any(reads)
}

pub(super) fn command(words: &[&str]) -> Said {
    let words = program_first(words);
    let Some(program) = words.first().map(|word| base(word)) else {
        return Said::Nothing;
    };
    let rest = words.get(1..).unwrap_or_default();
    if let Some(said) = aside(program, rest) {
        return said;
    }
    let text = words.join(" ");
    let tool = TABLES.commands.of(&text);
    let (mut last, mut looks) = (None, false);
    for index in 0..words.len() {
        match at(words, index) {
            Said::Migrates | Said::Runs(_) => last = Some(index),
            Said::Looks => looks = true,
            Said::Nothing => {}
        }
    }
    let migrates = last.is_some() || TABLES.task.is_in(&text);
    let dry = words.iter().any(|word| TABLES.dry.has(word)) || text.contains("flask db migrate");
    match tool {
        Some(_) if dry || (looks && last.is_none()) => Said::Looks,
        Some(_) if text.contains("alembic") && words.contains(&"--sql") => Said::Looks,
        Some(tool) => Said::Runs(tool),
        None if migrates && (dry || only_reads(words, last)) => Said::Looks,
        None if migrates => Said::Migrates,
        None if looks => Said::Looks,
        None => Said::Nothing,
    }
}

/// The meaning of a program that does not migrate itself; `None` for all others.
fn aside(program: &str, rest: &[&str]) -> Option<Said> {
    let sql = |path: &&str| {
        path.contains('.') && path.ends_with("ql") && word(base(path)) == Said::Migrates
    };
    if waits(program) {
        Some(waited(rest))
    } else if TABLES.aside.has(program) {
        Some(Said::Nothing)
    } else if TABLES.cluster.has(program) {
        let through = rest.iter().any(|word| TABLES.through.has(word));
        (!through).then_some(Said::Looks)
    } else if TABLES.clients.has(program) {
        let runs = rest.iter().any(sql);
        Some(if runs { Said::Migrates } else { Said::Nothing })
    } else if TABLES.copies.has(program) || program.contains("backup") || program.contains("dump") {
        Some(Said::Looks)
    } else {
        None
    }
}

fn waits(program: &str) -> bool {
    (program.starts_with("wait") || program.contains("wait-for")) && word(program) != Said::Migrates
}

/// The meaning of the command that a waiting program runs afterwards: after `--`, or from a path on.
fn waited(rest: &[&str]) -> Said {
    let next = rest.iter().position(|word| *word == "--");
    let next = next.or_else(|| rest.iter().position(|word| word.starts_with(['/', '.'])));
    let Some(next) = next else {
        return Said::Looks;
    };
    let rest = program_first(rest.get(next..).unwrap_or_default());
    // A waiting program inside another one is not followed, so that a long line cannot recurse deeply.
    if rest.first().is_none_or(|word| waits(base(word))) {
        return Said::Looks;
    }
    command(rest).max(Said::Looks)
}

/// The meaning of a word, without any folders before it.
pub(super) fn word(text: &str) -> Said {
    if TABLES.shows.has(text) {
        return Said::Looks;
    }
    let captures = TABLES.word.captures(text);
    let found = captures.and_then(|captures| captures.get(1).or_else(|| captures.get(2)));
    let Some(found) = found else {
        let looks = TABLES.joined.is_in(text);
        return if looks { Said::Looks } else { Said::Nothing };
    };
    let before = text.get(..found.start()).unwrap_or_default();
    let after = text.get(found.end()..).unwrap_or_default();
    let looks = TABLES.looks_before.is_in(before) && !TABLES.and.is_in(before);
    if looks || TABLES.looks_after.is_in(after) {
        Said::Looks
    } else {
        Said::Migrates
    }
}

fn at(words: &[&str], index: usize) -> Said {
    let text = words[index];
    if !text
        .as_bytes()
        .windows(5)
        .any(|part| part.eq_ignore_ascii_case(b"igrat"))
    {
        return Said::Nothing;
    }
    let before = index.checked_sub(1).map_or("", |before| words[before]);
    if text.starts_with('-') {
        return if TABLES.option.is_in(text) {
            Said::Migrates
        } else {
            Said::Nothing
        };
    }
    if text.contains("://") || text.contains('=') || TABLES.valued.is_in(before) {
        return Said::Nothing;
    }
    let is_program = index == 0 || TABLES.interpreters.has(before) || before.starts_with("python");
    if !text.contains('/') || text.starts_with('@') {
        return word(text);
    }
    match word(base(text)) {
        Said::Nothing if is_program => word(text),
        // A folder.
        Said::Migrates
            if !is_program && text.ends_with(['s', '/', 'n']) && !base(text).contains("run") =>
        {
            Said::Nothing
        }
        said => said,
    }
}

/// Whether a command that names a migration only looks at it.
fn only_reads(words: &[&str], last: Option<usize>) -> bool {
    let Some(last) = last else {
        return false;
    };
    let before = last.checked_sub(1).filter(|&index| index > 0);
    if before.is_some_and(|index| TABLES.reads.has(words[index])) {
        return true;
    }
    let after = words.get(last + 1..).unwrap_or_default();
    // `lint --latest 1` writes nothing.
    after
        .iter()
        .any(|word| TABLES.reads.has(word.trim_start_matches('-')))
        && !after.iter().any(|word| TABLES.writes.has(word))
}
