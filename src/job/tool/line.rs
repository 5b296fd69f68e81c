//! What a command line does to a schema: whether it migrates, or only waits, looks or copies.
//!
//! A script is split into its commands, and each is judged by its words. Passes are linear in the text, and the
//! text is cut to [`MAX_TEXT`].

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::known;

/// Most bytes of a container's command line that are read.
const MAX_TEXT: usize = 64 * 1024;

/// What a command line says, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    /// Nothing about migrations.
    Nothing,
    /// It waits for a migration, looks at one, or makes a copy.
    Looks,
    /// It runs something called migrate.
    Migrates,
    /// It runs this tool.
    Runs(&'static str),
}

/// Programs that migrate nothing, whatever their arguments are called.
const ASIDE: &[&str] = &[
    "echo", "printf", "cd", "cat", "ls", "mkdir", "rm", "cp", "mv", "ln", "chmod", "chown",
    "export", "test", "[", "[[", "grep", "egrep", "sleep", "exit", "find", "touch", "sed", "awk",
    "head", "tail", "sort", "wc", "true", "false", ":", "set", "unset", "trap", "return", "local",
    "date", "nc", "ncat", "curl", "wget", "ping", "apk", "apt-get", "apt", "pip", "pip3", "tar",
    "gzip", "unzip", "jq", "yq", "base64", "tee", "diff", "git", "gsutil", "aws", "gcloud", "az",
    "kill", "pkill", "killall", "pytest", "for", "case", "rsync", "stat", "which",
];
/// Programs that talk to a cluster or start containers.
const CLUSTER: &[&str] = &[
    "kubectl", "oc", "helm", "argocd", "flux", "docker", "podman", "nerdctl", "k8s",
];
/// Their commands that run another program, or a plugin that migrates.
const THROUGH: &[&str] = &["exec", "run", "schemahero", "atlas"];
/// Clients that run SQL of a file.
const CLIENTS: &[&str] = &[
    "psql",
    "mysql",
    "mariadb",
    "sqlite3",
    "mongosh",
    "mongo",
    "cqlsh",
    "sqlcmd",
    "sqlplus",
    "clickhouse-client",
];
/// Programs that copy.
const COPIES: &[&str] = &[
    "restic",
    "velero",
    "rclone",
    "borg",
    "kopia",
    "wal-g",
    "pgbackrest",
    "barman",
    "pg_basebackup",
    "mydumper",
    "mysqlpump",
    "mongoexport",
];
/// Words before a program.
const BEFORE: &[&str] = &[
    "exec", "sudo", "env", "time", "nohup", "command", "then", "do", "else", "elif", "if", "while",
    "until", "!", "{", ".", "source", "--",
];
const SHELLS: &[&str] = &[
    "sh", "bash", "ash", "dash", "zsh", "ksh", "su", "runuser", "pwsh",
];
/// What comes before the path of a program.
const INTERPRETERS: &[&str] = &[
    "sh",
    "bash",
    "ash",
    "dash",
    "zsh",
    "node",
    "ruby",
    "php",
    "perl",
    "tsx",
    "ts-node",
    "bun",
    "deno",
    "run",
    "-jar",
    "npx",
    "java",
    "dotnet",
    "--",
    "exec",
    "bunx",
    "-r",
    "-A",
    "--project",
    "--bin",
];
/// Options with which nothing is changed.
const DRY: &[&str] = &[
    "--check",
    "--plan",
    "--dry-run",
    "--dryrun",
    "--help",
    "--list",
    "--status",
    "--show-plan",
    "--pretend",
];
/// Commands that change nothing.
const READS: &[&str] = &[
    "status", "check", "list", "ls", "show", "pending", "current", "version", "info", "validate",
    "lint", "diff", "plan", "help", "history", "heads", "generate", "create", "new", "hash",
    "verify", "inspect", "revision", "preview", "dump", "add", "resolve", "squash", "wait",
    "sleep",
];
/// Commands that change something.
const WRITES: &[&str] = &[
    "up",
    "upgrade",
    "update",
    "apply",
    "deploy",
    "latest",
    "run",
    "goto",
    "push",
    "head",
    "all",
    "execute",
    "redo",
    "install",
    "setup",
    "bootstrap",
    "sync",
    "start",
    "forward",
    "forwards",
    "force",
    "migrate",
];

/// `migrate` and its like within a word: the first or the second group.
const WORD: &str = r"(?:^|[^A-Za-z])((?i:db|auto|schema|sql|data|database|pg|flyway)?(?i:migrat(?:e|es|ed|ions?|ors?|us)))(?:db|all|up|schemas?|database|$|[^a-z])|[a-z0-9](Migrat(?:e|es|ed|ions?|ors?))(?:$|[^a-z])";
/// Words that only look at migrations and are written as one.
const JOINED: &str = r"(?i)(make|show|check|list|verify|test)migrat";
/// What makes a look, a wait or a file of it, before and after.
const LOOKS_BEFORE: &str = r"(?i)(^|[^a-z])(a?wait(ing|s)?|checks?|verify|assert|show|list|make|create|generate|gen|new|lint|tests?|validate|plan|pending|needs?|has|count|diff|inspect|backup|dump|export|without|skip|no|not|disable|is|are|until|poll|watch|monitor|notify|status|ignore)([^a-z]|$)|(^|[^a-z])(pre|post|before|after)[^a-z]*$";
const LOOKS_AFTER: &str = r"(?i)^[^a-z]*(status|checks?|checker|list|show|pending|current|version|info|validate|lint|diff|new|create|generate|make|plan|dry|help|history|tests?|hash|verify|wait|waiter|report|backup|finished|done|completed?|failed|success|notify|notification|dir|path|table|lock|timeout|logs?|docs?|metrics?|exporter|ui|dashboard)([^a-z]|$)";
/// `wait-for-db-and-migrate` migrates.
const AND: &str = r"(?i)[^a-z](and|then)[^a-z]";
/// Options that ask for a migration: `--run-migrations`, `-mode=migrate`, `-M:migrate`.
const OPTION: &str = r"(?i)^--?((run|apply|auto|do|with|only|execute|perform|force)[-_]?)?((db|database|schema)[-_]?)?(migrate|migrations?)([-_](only|up|and-exit|exit|now|db|database|schema|all|run))?(=(true|1|yes|on|up|all|only))?$|^-\S*(mode|command|cmd|task|action|run|job|active|role|type|component|entrypoint)=\S*migrat(e|ions?|or)\b|^-[a-z]:\S*migrat";
/// Options whose value is no command.
const VALUED: &str = r"(?i)^--?([\w-]*(dir|path|table|schema|user|username|role|database|dbname|namespace|folder|label|selector|image|name|file|source|host|db|tag|log)|u|n|d|t|l|f)$";
/// Tasks of a project that migrate without saying so.
const TASK: &str = r"(?i)(^|[\s/])(npm|pnpm|yarn|bun|make|task|just|rake|composer|mage|invoke|inv|nx|turbo|lerna|deno|poe|pdm|hatch|mix|gradlew?|mvnw?|cargo|run|grunt|gulp)\s(.*\s)?([\w@/-]+[:.])?(db|database|schema|sql|orm|prisma|knex|typeorm|sequelize|drizzle|ecto)[:._-](deploy|push|up|upgrade|update|apply|sync|setup|prepare|init|latest|run|bootstrap)(:[\w-]+)?(\s|$)|(^|[\s_])(db|database|schema)\s+(upgrade|sync|update|deploy|push|prepare|apply)(\s|$)|(^|[\s/_-])(db[-_](sync|upgrade)|upgrade[-_]?(db|schema)|update[-_]schema|apply[-_]schema|schema[-_](upgrade|update|apply|sync))(\.\w+)?(\s|$)";

// The patterns are constants, and a test compiles them all; `Option` keeps a panic out of the request path all the
// same.
type Pattern = LazyLock<Option<Regex>>;
static COMMAND_SET: LazyLock<Option<RegexSet>> = LazyLock::new(|| {
    RegexSetBuilder::new(known::COMMANDS.iter().map(|(_, pattern)| pattern))
        .unicode(false)
        .case_insensitive(true)
        .build()
        .ok()
});
static WORD_RE: Pattern = LazyLock::new(|| one(WORD));
static JOINED_RE: Pattern = LazyLock::new(|| one(JOINED));
static LOOKS_BEFORE_RE: Pattern = LazyLock::new(|| one(LOOKS_BEFORE));
static LOOKS_AFTER_RE: Pattern = LazyLock::new(|| one(LOOKS_AFTER));
static AND_RE: Pattern = LazyLock::new(|| one(AND));
static OPTION_RE: Pattern = LazyLock::new(|| one(OPTION));
static VALUED_RE: Pattern = LazyLock::new(|| one(VALUED));
static TASK_RE: Pattern = LazyLock::new(|| one(TASK));

/// Compiles the patterns.
pub(super) fn warm_up() -> bool {
    let patterns = [
        &WORD_RE,
        &JOINED_RE,
        &LOOKS_BEFORE_RE,
        &LOOKS_AFTER_RE,
        &AND_RE,
        &OPTION_RE,
        &VALUED_RE,
        &TASK_RE,
    ];
    COMMAND_SET.is_some() && patterns.iter().all(|pattern| pattern.is_some())
}

fn one(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).unicode(false).build().ok()
}

fn is(pattern: &Pattern, text: &str) -> bool {
    pattern
        .as_ref()
        .is_some_and(|regex| regex.is_match(text.as_bytes()))
}

/// What the command line of a container says. `program` is the last part of its image's name: the entry point of
/// many images is called as they are.
pub(super) fn judge<'c>(program: &str, words: impl Iterator<Item = &'c str>) -> Said {
    let argv = cut(words);
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
    // An image of such a program is called with its arguments; one called `test` may hold anything.
    let by_image = || aside(program, own).filter(|said| *said != Said::Nothing);
    if let Some(said) = by_words.or_else(by_image) {
        return said;
    }
    let said = command(own);
    match command(&words) {
        Said::Runs(tool) => Said::Runs(tool),
        // The image's name is no word of the command.
        _ if said != Said::Nothing => said,
        by_image => by_image,
    }
}

/// Whether a word of the line is a command that changes nothing.
pub(super) fn reads<'c>(words: impl Iterator<Item = &'c str>) -> bool {
    cut(words)
        .iter()
        .flat_map(|word| tokens(word))
        .any(|word| READS.contains(&word.trim_start_matches('-')))
}

/// Whether a name says that it migrates.
pub(super) fn is_migration(name: &str) -> bool {
    word(name) == Said::Migrates
}

/// The words up to [`MAX_TEXT`].
fn cut<'c>(words: impl Iterator<Item = &'c str>) -> Vec<&'c str> {
    let mut left = MAX_TEXT;
    let mut kept = Vec::new();
    for word in words {
        let word = crate::job::name::cut(word, left);
        left = left.saturating_sub(word.len() + 1);
        kept.push(word);
        if left == 0 {
            break;
        }
    }
    kept
}

/// The words of a text without quotes and brackets around them.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
        .take_while(|word| !word.starts_with('#'))
        .map(|word| word.trim_matches(['"', '\'', '(', ')', '`', '$', ',']))
        .filter(|word| !word.is_empty())
}

/// The script that a shell among these words gets with `-c`.
fn script<'a, 'c>(argv: &'a [&'c str]) -> Option<&'a [&'c str]> {
    let shell = argv.iter().position(|word| SHELLS.contains(&base(word)))?;
    let options = argv.get(shell + 1..)?;
    // `-c`, `-ec`, `-o pipefail -c`, `su postgres -c`: the script follows the first option that ends in `c`.
    let option =
        |word: &&str| word.starts_with('-') && (word.ends_with('c') || word.ends_with("ommand"));
    let at = options.iter().position(option)?;
    // Of a script in a file, they are its own arguments.
    let is_file = |word: &&str| word.contains(['/', '.']) || word.contains(char::is_whitespace);
    let own = options.get(..at)?.iter().any(is_file);
    options.get(at + 1..).filter(|_| !own)
}

/// The commands of a script. What stands between quotes is not told apart: half a command says as much as a rule.
fn commands(script: &str) -> impl Iterator<Item = &str> {
    script
        .lines()
        .flat_map(|line| line.split("&&"))
        .flat_map(|part| part.split("||"))
        .flat_map(|part| part.split("; "))
        .flat_map(|part| part.split(" | "))
        .flat_map(|part| part.split(" & "))
}

/// The last part of a path.
fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}

/// What one command says.
fn command(words: &[&str]) -> Said {
    let words = program_first(words);
    let Some(program) = words.first().map(|word| base(word)) else {
        return Said::Nothing;
    };
    let rest = words.get(1..).unwrap_or_default();
    if let Some(said) = aside(program, rest) {
        return said;
    }
    let text = words.join(" ");
    let tool = tool(&text);
    let (mut last, mut looks) = (None, false);
    for index in 0..words.len() {
        match at(words, index) {
            Said::Migrates | Said::Runs(_) => last = Some(index),
            Said::Looks => looks = true,
            Said::Nothing => {}
        }
    }
    let migrates = last.is_some() || is(&TASK_RE, &text);
    let dry = words.iter().any(|word| DRY.contains(word)) || text.contains("flask db migrate");
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

/// The words from the program on.
fn program_first<'a, 'c>(mut words: &'a [&'c str]) -> &'a [&'c str] {
    while let [first, rest @ ..] = words {
        let assigns = first.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
        });
        if !assigns && !BEFORE.contains(first) {
            break;
        }
        words = rest;
    }
    words
}

/// What a program says that does not migrate itself; `None` for all others.
fn aside(program: &str, rest: &[&str]) -> Option<Said> {
    let sql = |word: &&str| {
        word.contains('.') && word.ends_with("ql") && word_of_path(word) == Said::Migrates
    };
    if waits(program) {
        Some(waited(rest))
    } else if ASIDE.contains(&program) {
        Some(Said::Nothing)
    } else if CLUSTER.contains(&program) {
        let through = rest.iter().any(|word| THROUGH.contains(word));
        (!through).then_some(Said::Looks)
    } else if CLIENTS.contains(&program) {
        let runs = rest.iter().any(sql);
        Some(if runs { Said::Migrates } else { Said::Nothing })
    } else if COPIES.contains(&program) || program.contains("backup") || program.contains("dump") {
        Some(Said::Looks)
    } else {
        None
    }
}

fn waits(program: &str) -> bool {
    (program.starts_with("wait") || program.contains("wait-for")) && word(program) != Said::Migrates
}

/// What follows once a program that waits is done: after `--`, or from a path on.
fn waited(rest: &[&str]) -> Said {
    let next = rest.iter().position(|word| *word == "--");
    let next = next.or_else(|| rest.iter().position(|word| word.starts_with(['/', '.'])));
    let Some(next) = next else {
        return Said::Looks;
    };
    let rest = program_first(rest.get(next..).unwrap_or_default());
    // One that waits for another ends here, or a line of them would recurse as deep as it is long.
    if rest.first().is_none_or(|word| waits(base(word))) {
        return Said::Looks;
    }
    command(rest).max(Said::Looks)
}

fn tool(text: &str) -> Option<&'static str> {
    let found = COMMAND_SET
        .as_ref()?
        .matches(text.as_bytes())
        .iter()
        .next()?;
    known::COMMANDS.get(found).map(|(tool, _)| *tool)
}

/// What the word at `index` says.
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
        return if is(&OPTION_RE, text) {
            Said::Migrates
        } else {
            Said::Nothing
        };
    }
    if text.contains("://") || text.contains('=') || is(&VALUED_RE, before) {
        return Said::Nothing;
    }
    let is_program = index == 0 || INTERPRETERS.contains(&before) || before.starts_with("python");
    if !text.contains('/') || text.starts_with('@') {
        return word(text);
    }
    match word_of_path(text) {
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

fn word_of_path(path: &str) -> Said {
    word(base(path))
}

/// What a word says, whatever folders it names.
fn word(text: &str) -> Said {
    let captures = WORD_RE
        .as_ref()
        .and_then(|regex| regex.captures(text.as_bytes()));
    let found = captures.and_then(|captures| captures.get(1).or_else(|| captures.get(2)));
    let Some(found) = found else {
        return if is(&JOINED_RE, text) {
            Said::Looks
        } else {
            Said::Nothing
        };
    };
    let before = text.get(..found.start()).unwrap_or_default();
    let after = text.get(found.end()..).unwrap_or_default();
    let looks = is(&LOOKS_BEFORE_RE, before) && !is(&AND_RE, before);
    if looks || is(&LOOKS_AFTER_RE, after) {
        Said::Looks
    } else {
        Said::Migrates
    }
}

/// Whether a command that names a migration only looks at it.
fn only_reads(words: &[&str], last: Option<usize>) -> bool {
    let Some(last) = last else {
        return false;
    };
    let before = last.checked_sub(1).filter(|&index| index > 0);
    if before.is_some_and(|index| READS.contains(&words[index])) {
        return true;
    }
    let after = words.get(last + 1..).unwrap_or_default();
    let after = || after.iter().map(|word| word.trim_start_matches('-'));
    after().any(|word| READS.contains(&word)) && !after().any(|word| WRITES.contains(&word))
}
