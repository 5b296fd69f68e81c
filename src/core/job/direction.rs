//! Whether a Job undoes a migration, by its commands and its name.
//!
//! This only selects the advice, never the verdict, so a guess is enough. In doubt a Job undoes something: advice to
//! run such a Job before each upgrade would destroy data.

use crate::core::job::tool::{TABLES, Words};
use crate::core::job::{Job, tool};

/// Most bytes of a command line that are read: reading a megabyte is not worth it for advice.
const MAX: usize = 4096;

/// The direction in which a command migrates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Down,
    Up,
    /// It runs a migration tool, without a direction.
    Migrates,
}

impl Job<'_> {
    /// Whether it undoes a migration, or wipes a database.
    pub(crate) fn is_downward(&self) -> bool {
        // The first direction counts, because a fallback comes later: `alembic upgrade head || alembic downgrade -1`.
        let (mut first, mut wipes) = (None, false);
        for (_, _, container) in self.containers() {
            let words = container.command.iter().chain(&container.args);
            let words = words.map(|word| &**word);
            tool::each_command(&container.image, words, MAX, |command| {
                let text = command.join(" ");
                wipes |= TABLES.wipe.is_in(&text);
                first = first.or_else(|| way(command, &text));
            });
        }
        let is_named = self
            .name
            .base()
            .split('-')
            .any(|word| TABLES.down.has(word));
        wipes || first == Some(Way::Down) || is_named && first != Some(Way::Up)
    }
}

fn way(command: &[&str], text: &str) -> Option<Way> {
    let has = |known: &Words| {
        let mut parts = command.iter().flat_map(|word| parts(word));
        parts.any(|part| known.has(part))
    };
    let is_option =
        |word: &&str| word.starts_with('-') && TABLES.down.has(word.trim_start_matches('-'));
    if TABLES.undo.is_in(text) {
        Some(Way::Down)
    } else if has(&TABLES.up) {
        Some(Way::Up)
    } else if has(&TABLES.down) || command.iter().any(is_option) {
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
    use serde_json::{Value, json};

    use crate::core::job::object::Object;
    use crate::core::job::{Job, Kind};
    use crate::testing::{job, table};

    #[derive(Deserialize)]
    struct Directions {
        down: Vec<Vec<String>>,
        up: Vec<Vec<String>>,
    }

    fn undoes(job: &Value) -> bool {
        let object = Object::deserialize(job).unwrap();
        Job::new(&object, Kind::Job, "shop").is_downward()
    }

    fn is_downward(name: &str, args: &[String]) -> bool {
        let job = job(|job| {
            job["metadata"]["name"] = json!(name);
            job["spec"]["template"]["spec"]["containers"] =
                json!([{"image": "shop:1", "args": args}]);
        });
        undoes(&job)
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
        assert!(undoes(&job));
    }
}
