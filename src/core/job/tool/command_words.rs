//! The words of command lines: which programs and commands migrate, look, wait or copy.

use std::sync::LazyLock;

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::known;
use super::line::Said;
use crate::core::job::pattern::{Pattern, compiled, is};

/// Programs that do not migrate anything, whatever their arguments are.
pub(super) const ASIDE: &[&str] = &[
    "echo", "printf", "cd", "cat", "ls", "mkdir", "rm", "cp", "mv", "ln", "chmod", "chown",
    "export", "test", "[", "[[", "grep", "egrep", "sleep", "exit", "find", "touch", "sed", "awk",
    "head", "tail", "sort", "wc", "true", "false", ":", "set", "unset", "trap", "return", "local",
    "date", "nc", "ncat", "curl", "wget", "ping", "apk", "apt-get", "apt", "pip", "pip3", "tar",
    "gzip", "unzip", "jq", "yq", "base64", "tee", "diff", "git", "gsutil", "aws", "gcloud", "az",
    "kill", "pkill", "killall", "pytest", "for", "case", "rsync", "stat", "which",
];
/// Programs that talk to a cluster or start containers.
pub(super) const CLUSTER: &[&str] = &[
    "kubectl", "oc", "helm", "argocd", "flux", "docker", "podman", "nerdctl", "k8s",
];
/// Commands of [`CLUSTER`] programs that run another program, or a plugin that migrates.
pub(super) const THROUGH: &[&str] = &["exec", "run", "schemahero", "atlas"];
/// Clients that run SQL of a file.
pub(super) const CLIENTS: &[&str] = &[
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
pub(super) const COPIES: &[&str] = &[
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
pub(super) const BEFORE: &[&str] = &[
    "exec", "sudo", "env", "time", "nohup", "command", "then", "do", "else", "elif", "if", "while",
    "until", "!", "{", ".", "source", "--",
];
pub(super) const SHELLS: &[&str] = &[
    "sh", "bash", "ash", "dash", "zsh", "ksh", "su", "runuser", "pwsh",
];
/// Interpreters, which come before the path of a program.
pub(super) const INTERPRETERS: &[&str] = &[
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
/// Options for a dry run.
pub(super) const DRY: &[&str] = &[
    "--check",
    "--plan",
    "--dry-run",
    "--dryrun",
    "--help",
    "--list",
    "--status",
    "--show-plan",
    "--pretend",
    "--create-only",
    "--dump-sql",
    "--write-sql",
];
/// Commands that change nothing.
pub(super) const READS: &[&str] = &[
    "status", "check", "list", "ls", "show", "pending", "current", "version", "info", "validate",
    "lint", "diff", "plan", "help", "history", "heads", "generate", "create", "new", "hash",
    "verify", "inspect", "revision", "preview", "dump", "add", "resolve", "squash", "wait",
    "sleep", "script", "bundle", "remove",
];
/// Commands that change something.
pub(super) const WRITES: &[&str] = &[
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

/// Commands of Django and Ecto that only show migrations.
const SHOWS: &[&str] = &["sqlmigrate", "ecto.migrations"];

/// `migrate` and its like within a word: the first or the second group.
const WORD: &str = r"(?:^|[^A-Za-z])((?i:db|auto|schema|sql|data|database|pg|flyway)?(?i:migrat(?:e|es|ed|ions?|ors?|us)))(?:db|all|up|schemas?|database|$|[^a-z])|[a-z0-9](Migrat(?:e|es|ed|ions?|ors?))(?:$|[^a-z])";
/// Words that only look at migrations and are written as one.
const JOINED: &str = r"(?i)(make|show|check|list|verify|test)migrat";
/// Words before and after it that mean looking at it, waiting for it, or writing a file.
const LOOKS_BEFORE: &str = r"(?i)(^|[^a-z])(a?wait(ing|s)?|checks?|verify|assert|show|list|make|create|generate|gen|new|lint|tests?|validate|plan|pending|needs?|has|count|diff|inspect|backup|dump|export|without|skip|no|not|disable|is|are|until|poll|watch|monitor|notify|status|ignore)([^a-z]|$)|(^|[^a-z])(pre|post|before|after)[^a-z]*$";
const LOOKS_AFTER: &str = r"(?i)^[^a-z]*(status|checks?|checker|list|show|pending|current|version|info|validate|lint|diff|new|create|generate|make|plan|dry|help|history|tests?|hash|verify|wait|waiter|report|backup|finished|done|completed?|failed|success|notify|notification|dir|path|table|lock|timeout|logs?|docs?|metrics?|exporter|ui|dashboard)([^a-z]|$)";
/// `wait-for-db-and-migrate` migrates.
const AND: &str = r"(?i)[^a-z](and|then)[^a-z]";
/// Options that ask for a migration: `--run-migrations`, `-mode=migrate`, `-M:migrate`.
const OPTION: &str = r"(?i)^--?((run|apply|auto|do|with|only|execute|perform|force)[-_]?)?((db|database|schema)[-_]?)?(migrate|migrations?)([-_](only|up|and-exit|exit|now|db|database|schema|all|run))?(=(true|1|yes|on|up|all|only))?$|^-\S*(mode|command|cmd|task|action|run|job|active|role|type|component|entrypoint)=\S*migrat(e|ions?|or)\b|^-[a-z]:\S*migrat";
/// Options whose value is not a command.
const VALUED: &str = r"(?i)^--?([\w-]*(dir|path|table|schema|user|username|role|database|dbname|namespace|folder|label|selector|image|name|file|source|host|db|tag|log)|u|n|d|t|l|f)$";
/// Tasks of a project that migrate although their name does not contain `migrate`.
const TASK: &str = r"(?i)(^|[\s/])(npm|pnpm|yarn|bun|make|task|just|rake|composer|mage|invoke|inv|nx|turbo|lerna|deno|poe|pdm|hatch|mix|gradlew?|mvnw?|cargo|run|grunt|gulp)\s(.*\s)?([\w@/-]+[:.])?(db|database|schema|sql|orm|prisma|knex|typeorm|sequelize|drizzle|ecto)[:._-](deploy|push|up|upgrade|update|apply|sync|setup|prepare|init|latest|run|bootstrap)(:[\w-]+)?(\s|$)|(^|[\s_])(db|database|schema)\s+(upgrade|sync|update|deploy|push|prepare|apply)(\s|$)|(^|[\s/_-])(db[-_](sync|upgrade)|upgrade[-_]?(db|schema)|update[-_]schema|apply[-_]schema|schema[-_](upgrade|update|apply|sync))(\.\w+)?(\s|$)";

pub(super) static COMMAND_SET: LazyLock<Option<RegexSet>> = LazyLock::new(|| {
    RegexSetBuilder::new(known::COMMANDS.iter().map(|(_, pattern)| pattern))
        .unicode(false)
        .case_insensitive(true)
        .build()
        .ok()
});
static WORD_RE: Pattern = LazyLock::new(|| compiled(WORD));
static JOINED_RE: Pattern = LazyLock::new(|| compiled(JOINED));
static LOOKS_BEFORE_RE: Pattern = LazyLock::new(|| compiled(LOOKS_BEFORE));
static LOOKS_AFTER_RE: Pattern = LazyLock::new(|| compiled(LOOKS_AFTER));
static AND_RE: Pattern = LazyLock::new(|| compiled(AND));
pub(super) static OPTION_RE: Pattern = LazyLock::new(|| compiled(OPTION));
pub(super) static VALUED_RE: Pattern = LazyLock::new(|| compiled(VALUED));
pub(super) static TASK_RE: Pattern = LazyLock::new(|| compiled(TASK));

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

/// The meaning of a word, without any folders before it.
pub(super) fn word(text: &str) -> Said {
    if SHOWS.contains(&text) {
        return Said::Looks;
    }
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
