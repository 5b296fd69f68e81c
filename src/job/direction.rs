//! Whether a Job undoes a migration, by what it runs and by its name.
//!
//! This chooses between sentences and never between verdicts, so a guess is good enough.

use crate::job::Job;

/// Words by which tools undo a migration: `alembic downgrade`, `migrate down`, `db:rollback`, `flyway undo`,
/// `migration:revert`.
const DOWN: [&str; 6] = ["down", "down-to", "downgrade", "revert", "rollback", "undo"];
/// Words by which tools migrate. A script with both is taken for one that migrates.
const UP: [&str; 6] = ["apply", "deploy", "latest", "up", "up-to", "upgrade"];
/// Most bytes of a command line that are looked at.
const MAX: usize = 4096;

impl Job<'_> {
    /// Whether it undoes a migration.
    #[must_use]
    pub fn is_downward(&self) -> bool {
        let name = self.name.base().split('-');
        let containers = self.containers().flat_map(|(_, _, container)| {
            let texts = container.command.iter().chain(&container.args);
            texts.flat_map(|text| words(crate::job::name::cut(text, MAX)))
        });
        let (mut is_down, mut is_up) = (name.clone().any(|word| DOWN.contains(&word)), false);
        // A Job has few command lines, and one of a megabyte is not worth reading for a sentence.
        for word in containers.take(MAX) {
            is_down |= DOWN.contains(&word);
            is_up |= UP.contains(&word);
        }
        is_down && !is_up
    }
}

/// Words of a command line; `db:migrate:undo` is three.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use crate::job::object::Object;
    use crate::job::{Job, Kind};
    use crate::policy::testing::job;

    fn is_downward(name: &str, args: &[&str]) -> bool {
        let job = job(|job| {
            job["metadata"]["name"] = json!(name);
            job["spec"]["template"]["spec"]["containers"][0]["args"] = json!(args);
        });
        let object = Object::deserialize(&job).unwrap();
        Job::new(&object, Kind::Job, "shop").is_downward()
    }

    #[test]
    fn tools_say_which_way_they_go() {
        for args in [
            &["alembic", "downgrade", "-1"][..],
            &["migrate", "-path", "/m", "down", "1"],
            &["sh", "-c", "rails db:rollback STEP=1"],
            &["npx sequelize db:migrate:undo"],
            &["flyway", "undo"],
            &["typeorm", "migration:revert"],
        ] {
            assert!(is_downward("shop-job-1766361600", args), "{args:?}");
        }
        for args in [
            &["alembic", "upgrade", "head"][..],
            &["sh", "-c", "alembic upgrade head || alembic downgrade -1"],
            &["migrate", "apply"],
            &["./bin/migrate", "--download", "countdown"],
        ] {
            assert!(!is_downward("shop-migrate-1766361600", args), "{args:?}");
        }
        assert!(is_downward("shop-downgrade-1766361600", &["./run"]));
    }
}
