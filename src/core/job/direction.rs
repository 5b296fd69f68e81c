//! Whether a Job undoes a migration, by its commands and its name.
//!
//! This only selects the advice, never the verdict, so a guess is enough. In doubt a Job undoes something: advice to
//! run such a Job before each upgrade would destroy data.

use std::sync::LazyLock;

use crate::core::job::pattern::{Pattern, is, of_any_case};
use crate::core::job::{Job, tool};

/// Words by which tools undo a migration: `alembic downgrade`, `migrate down`, `db:rollback`, `flyway undo`,
/// `migration:revert`, `goose redo`.
const DOWN: [&str; 9] = [
    "backwards",
    "down",
    "down-to",
    "downgrade",
    "reapply",
    "redo",
    "revert",
    "rollback",
    "undo",
];
/// Words by which tools migrate.
const UP: [&str; 6] = ["apply", "deploy", "latest", "up", "up-to", "upgrade"];
/// Commands of one tool each that undo a migration: Liquibase, Doctrine, tern, Django, EF Core, Hasura, Sqitch.
const UNDO: &str = r"[\s:]rollback-?(count|to-?date|one-?(changeset|update))\b|\bliquibase\b.*[\s:]rollback|\bdoctrine[:-]migrations[:\s]+migrate\b.*\s(first|prev|0|current-\d+)(\s|$)|\btern\s.*\s(-d|--destination)[\s=](-|0(\s|$))|\bmigrate\s+(\S+\s+)*zero(\s|$)|\bdatabase\s+update\s+0(\s|$)|\bhasura\b.*\s--(down|type[\s=]down)\b|\bsqitch\b.*\s(rebase|checkout)\b";
/// Commands that empty or drop a database: `flyway clean`, `db:drop`, `migrate:fresh`, `prisma migrate reset`.
const WIPE: &str = r"(^|[\s/])flyway(\s.*)?\sclean(\s|$)|\bflyway:?clean\b|\bliquibase\b.*[\s:]drop-?all\b|\bliquibasedropall\b|\b(db|database|schema|ecto|migrate|migrations?|migrator|goose|dbmate|soda|pop|supabase|evolve|yuniql)([:._/-](all:)?|\s(.*\s)?)(drop|reset|fresh|refresh|wipe|purge|erase)(\s|:|$)|\bschema[\s:]clean\b|\b(reset|drop|wipe)[-_]?(db|database|schema)(\s|\.|$)|\s--force-reset\b|\bmanage\.py\s+flush\b|\bgrate\b.*\s--drop\b";
/// Most bytes of a command line that are read: reading a megabyte is not worth it for advice.
const MAX: usize = 4096;

static UNDO_RE: Pattern = LazyLock::new(|| of_any_case(UNDO));
static WIPE_RE: Pattern = LazyLock::new(|| of_any_case(WIPE));

/// Compiles the patterns in advance, so that the first Job with advice does not wait for it.
pub(super) fn warm_up() -> bool {
    UNDO_RE.is_some() && WIPE_RE.is_some()
}

/// The direction in which a command migrates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Down,
    /// Explicitly up.
    Up,
    /// It runs a migration tool, without a direction.
    Migrates,
}

impl Job<'_> {
    /// Whether it undoes a migration, or wipes a database.
    #[must_use]
    pub fn is_downward(&self) -> bool {
        // The first direction counts, because a fallback comes later: `alembic upgrade head || alembic downgrade -1`.
        let (mut first, mut wipes) = (None, false);
        for (_, _, container) in self.containers() {
            let words = container.command.iter().chain(&container.args);
            let words = words.map(|word| &**word);
            tool::each_command(&container.image, words, MAX, |command| {
                let text = command.join(" ");
                wipes |= is(&WIPE_RE, &text);
                first = first.or_else(|| way(command, &text));
            });
        }
        let is_named = self.name.base().split('-').any(|word| DOWN.contains(&word));
        wipes || first == Some(Way::Down) || is_named && first != Some(Way::Up)
    }
}

/// The direction of a command, if it shows one.
fn way(command: &[&str], text: &str) -> Option<Way> {
    let has = |known: &[&str]| {
        command
            .iter()
            .any(|word| parts(word).any(|part| known.contains(&part)))
    };
    let is_option =
        |word: &&str| word.starts_with('-') && DOWN.contains(&word.trim_start_matches('-'));
    if is(&UNDO_RE, text) {
        Some(Way::Down)
    } else if has(&UP) {
        Some(Way::Up)
    } else if has(&DOWN) || command.iter().any(is_option) {
        Some(Way::Down)
    } else {
        tool::runs_a_tool(command).then_some(Way::Migrates)
    }
}

/// The parts of a word of a command line; `db:migrate:undo` has three. Options, settings and folders have none.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    let is_value = word.starts_with('-') || word.contains('=') || word.contains("://");
    let name = word.rsplit('/').next().filter(|_| !is_value);
    let is_end = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
    name.unwrap_or_default().split(is_end)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use crate::core::job::object::Object;
    use crate::core::job::{Job, Kind};
    use crate::testing::{job, table};

    #[derive(Deserialize)]
    struct Directions {
        down: Vec<Vec<String>>,
        up: Vec<Vec<String>>,
    }

    fn is_downward(name: &str, args: &[String]) -> bool {
        let job = job(|job| {
            job["metadata"]["name"] = json!(name);
            job["spec"]["template"]["spec"]["containers"] =
                json!([{"image": "shop:1", "args": args}]);
        });
        let object = Object::deserialize(&job).unwrap();
        Job::new(&object, Kind::Job, "shop").is_downward()
    }

    #[test]
    fn the_patterns_compile() {
        assert!(super::warm_up());
    }

    #[test]
    fn tools_say_which_way_they_go() {
        let Directions { down, up } = table("job/directions");
        for args in down {
            assert!(is_downward("shop-job-1766361600", &args), "{args:?}");
        }
        for args in up {
            assert!(!is_downward("shop-migrate-1766361600", &args), "{args:?}");
        }
        assert!(is_downward(
            "shop-downgrade-1766361600",
            &["./run".to_owned()]
        ));
        // The arguments of an image belong to its program.
        let job = job(|job| {
            let container = &mut job["spec"]["template"]["spec"]["containers"][0];
            *container = json!({"image": "flyway/flyway:11", "args": ["-url=x", "clean"]});
        });
        let object = Object::deserialize(&job).unwrap();
        assert!(Job::new(&object, Kind::Job, "shop").is_downward());
    }
}
