//! Splits the command line of a container into its commands, and those into words.

use super::tables::TABLES;

/// Calls `each` with the words of each command of a container, except for programs that only print or prepare.
/// `program` is the last part of its image's name.
pub(super) fn each<'c>(
    program: &str,
    words: impl Iterator<Item = &'c str>,
    most: usize,
    mut each: impl FnMut(&[&str]),
) {
    let mut judge = |own: &[&str], all: &[&str]| {
        let first = program_first(own).first();
        if !first.is_some_and(|program| TABLES.aside.has(base(program))) {
            each(program_first(all));
        }
    };
    let argv = cut(words, most);
    if let Some(script) = script(&argv) {
        let script = script.join(" ").replace("\\\n", " ");
        for text in commands(&script) {
            let words: Vec<_> = tokens(text).collect();
            judge(&words, &words);
        }
    } else {
        let mut words = vec![program];
        words.extend(argv.iter().flat_map(|word| tokens(word)));
        judge(words.get(1..).unwrap_or_default(), &words);
    }
}

/// The words that fit into `most` bytes.
pub(super) fn cut<'c>(words: impl Iterator<Item = &'c str>, most: usize) -> Vec<&'c str> {
    let mut left = most;
    let mut kept = Vec::new();
    for word in words {
        let word = crate::core::job::name::cut(word, left);
        left = left.saturating_sub(word.len() + 1);
        kept.push(word);
        if left == 0 {
            break;
        }
    }
    kept
}

/// The words of a text without quotes and brackets around them.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
        .take_while(|word| !word.starts_with('#'))
        .map(|word| word.trim_matches(['"', '\'', '(', ')', '`', '$', ',']))
        .filter(|word| !word.is_empty())
}

/// The script that a shell in these words gets with `-c`.
pub(super) fn script<'a, 'c>(argv: &'a [&'c str]) -> Option<&'a [&'c str]> {
    let shell = argv.iter().position(|word| TABLES.shells.has(base(word)))?;
    let options = argv.get(shell + 1..)?;
    // `-c`, `-ec`, `-o pipefail -c`, `su postgres -c`: the script follows the first option that ends in `c`.
    let option =
        |word: &&str| word.starts_with('-') && (word.ends_with('c') || word.ends_with("ommand"));
    let at = options.iter().position(option)?;
    // If the script is in a file, they are its arguments.
    let is_file = |word: &&str| word.contains(['/', '.']) || word.contains(char::is_whitespace);
    let own = options.get(..at)?.iter().any(is_file);
    options.get(at + 1..).filter(|_| !own)
}

/// The commands of a script. Quotes are ignored: half a command usually shows as much.
pub(super) fn commands(script: &str) -> impl Iterator<Item = &str> {
    script
        .lines()
        .flat_map(|line| line.split("&&"))
        .flat_map(|part| part.split("||"))
        .flat_map(|part| part.split("; "))
        .flat_map(|part| part.split(" | "))
        .flat_map(|part| part.split(" & "))
}

pub(super) fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}

pub(super) fn program_first<'a, 'c>(mut words: &'a [&'c str]) -> &'a [&'c str] {
    while let [first, rest @ ..] = words {
        let assigns = first.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
        });
        if !assigns && !TABLES.before.has(first) {
            break;
        }
        words = rest;
    }
    words
}
