//! Recognises migration Jobs that carry no label: by tool, image or name.
//!
//! A net for charts that nobody has labelled, and for the Atlas guide's own Job, which has no
//! migration label. It errs on the side of silence; what it finds is capped at
//! `detection.maxAction` by the policy.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use crate::job::Job;

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

/// Command lines, most specific first. Matched on command and arguments joined by a space.
const COMMANDS: &[(&str, &str)] = &[
    (
        "Atlas",
        r"(^|[/\s])atlas\s+(migrate|schema)\s+apply\b|^migrate\s+apply\b",
    ),
    ("Flyway", r"\bflyway\b.*\bmigrate\b"),
    (
        "Liquibase",
        r"\bliquibase\b.*\bupdate(-to-tag|-count|-testing-rollback)?\b",
    ),
    (
        "Alembic",
        r"\balembic\b.*\bupgrade\b|\bflask\s+db\s+upgrade\b",
    ),
    (
        "Superset",
        r"\bsuperset\s+(db\s+(upgrade|migrate)|init)\b|\bsuperset_init\.sh\b",
    ),
    ("Airflow", r"\bairflow\s+db\s+(upgrade|migrate)\b"),
    ("Goose", r"\bgoose\b.*\bup(-to|-by-one)?\b"),
    (
        "golang-migrate",
        r"\bmigrate\b.*-(path|source|database)\b.*\b(up|goto)\b",
    ),
    (
        "Prisma",
        r"\bprisma\s+(migrate\s+deploy|db\s+push)\b|prisma_migration\.py",
    ),
    (
        "Rails",
        r"\b(rails|rake)\s+(\S+\s+)*db:(migrate|prepare|schema:load|setup|\w+_prepare)\b",
    ),
    ("Django", r"\b(manage\.py|django-admin)\s+migrate\b"),
    ("dbmate", r"\bdbmate\b.*\b(up|migrate)\b"),
    ("Sqitch", r"\bsqitch\s+deploy\b"),
    ("Knex", r"\bknex\b.*\bmigrate:(latest|up)\b"),
    ("TypeORM", r"\btypeorm\S*\s+migration:run\b"),
    ("Sequelize", r"\bsequelize(-cli)?\s+db:migrate\b"),
    ("Diesel", r"\bdiesel\s+(migration\s+run|setup)\b"),
    ("SQLx", r"\bsqlx\s+migrate\s+run\b"),
    ("SeaORM", r"\bsea-orm-cli\s+migrate\s+(up|fresh|refresh)\b"),
    (
        "EF Core",
        r"\bdotnet\s+ef\s+database\s+update\b|(^|/)efbundle\b",
    ),
    ("Laravel", r"\bartisan\s+migrate\b"),
    ("Doctrine", r"doctrine:migrations:migrate"),
    ("Phinx", r"\bphinx\s+migrate\b"),
    (
        "a Node.js migrator",
        r"node-pg-migrate|drizzle-kit\s+(migrate|push)|mikro-orm\s+migration:up|graphile-migrate\s+migrate|db-migrate\s+up",
    ),
    ("Ecto", r"\bmix\s+ecto\.migrate\b|Release\.migrate"),
    (
        "Ory",
        r"\b(kratos|hydra)\s+migrate\s+sql\b|\bketo\s+migrate\s+up\b",
    ),
    ("Kong", r"\bkong\s+migrations\s+(bootstrap|up|finish)\b"),
    ("Harbor", r"harbor_core\s+-mode=migrate"),
    (
        "Sentry",
        r"\bsentry\s+upgrade\b|\bsnuba\s+migrations\s+migrate\b",
    ),
    ("Dagster", r"\bdagster\s+instance\s+migrate\b"),
    (
        "Temporal",
        r"temporal-(sql|cassandra)-tool\b.*\b(setup|update)-schema\b",
    ),
    ("SpiceDB", r"\bspicedb\s+(datastore\s+)?migrate\b"),
];

/// Images whose one purpose is to migrate, or, with arguments, of applications that can.
/// Matched on the image, a space, and the command line.
const IMAGES: &[(&str, &str)] = &[
    ("Atlas", r"^\S*(^|/)arigaio/atlas[:@\s]"),
    ("Flyway", r"^\S*(^|/)(flyway|redgate)/flyway[:@\s]"),
    ("Liquibase", r"^\S*(^|/)liquibase/liquibase[:@\s]"),
    ("golang-migrate", r"^\S*(^|/)migrate/migrate[:@\s]"),
    ("Hatchet", r"^\S*(^|/)hatchet-migrate[:@\s]"),
    (
        "Zitadel",
        r"^\S*(^|/)zitadel[:@]\S*\s+(\S+\s+)*(init|setup)\b",
    ),
    ("OpenProject", r"^\S*(^|/)openproject[:@]\S*\s.*\bseeder\b"),
];

/// Weak: any command called migrate.
const GENERIC: &str = r"(^|[/\s_-])(db-?)?migrat(e|ions?|or)([\s.:_-]|$)";

const NAME: &str = r"(^|-)(db-?|schema-?|auto-?)?migrat(e|ions?|or)(-|$)";

/// Things that are called migration and migrate no database schema.
const FALSE_FRIENDS: &str =
    r"storage-version-migrat|resource-migration|crd-migrat|\bvelero/velero\b";

static COMMAND_SET: LazyLock<Option<RegexSet>> = LazyLock::new(|| set(COMMANDS));
static IMAGE_SET: LazyLock<Option<RegexSet>> = LazyLock::new(|| set(IMAGES));
static GENERIC_RE: LazyLock<Option<Regex>> = LazyLock::new(|| one(GENERIC));
static NAME_RE: LazyLock<Option<Regex>> = LazyLock::new(|| one(NAME));
static FALSE_RE: LazyLock<Option<Regex>> = LazyLock::new(|| one(FALSE_FRIENDS));

/// Compiles the signatures, which the first unlabelled Job would otherwise wait for.
pub fn warm_up() {
    for set in [&COMMAND_SET, &IMAGE_SET] {
        LazyLock::force(set);
    }
    for regex in [&GENERIC_RE, &NAME_RE, &FALSE_RE] {
        LazyLock::force(regex);
    }
}

/// What gives this Job away as a migration, strongest evidence first.
#[must_use]
pub fn detect(job: &Job<'_>) -> Option<Detection> {
    let name = job.name.shown().as_bytes();
    if is(&FALSE_RE, name) {
        return None;
    }
    let mut generic = false;
    for (_, _, container) in job.containers() {
        let words = container.command.iter().chain(&container.args);
        match evidence(&container.image, words.map(|word| &**word)) {
            Some(Detection::Generic) => generic = true,
            Some(detection) => return Some(detection),
            None => {}
        }
    }
    if is(&NAME_RE, name) {
        return Some(Detection::Name);
    }
    generic.then_some(Detection::Generic)
}

/// The tool that a Job with these containers runs, each with its image and the words of its command line.
pub fn named<'c, W: Iterator<Item = &'c str>>(
    containers: impl Iterator<Item = (&'c str, W)>,
) -> Option<&'static str> {
    let mut found = containers.filter_map(|(image, words)| evidence(image, words));
    found.find_map(|detection| match detection {
        Detection::Command(tool) | Detection::Image(tool) => Some(tool),
        Detection::Generic | Detection::Name => None,
    })
}

/// What gives one container away.
fn evidence<'c>(image: &str, words: impl Iterator<Item = &'c str>) -> Option<Detection> {
    if is(&FALSE_RE, image.as_bytes()) {
        return None;
    }
    let mut line = image.as_bytes().to_vec();
    for word in words {
        line.push(b' ');
        line.extend_from_slice(word.as_bytes());
    }
    let command = strip_shell(line.get(image.len() + 1..).unwrap_or_default());
    if let Some(tool) = first(&COMMAND_SET, COMMANDS, command) {
        return Some(Detection::Command(tool));
    }
    let generic = is(&GENERIC_RE, command);
    line.push(b' ');
    let image = first(&IMAGE_SET, IMAGES, &line).map(Detection::Image);
    image.or_else(|| generic.then_some(Detection::Generic))
}

fn is(regex: &LazyLock<Option<Regex>>, text: &[u8]) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

fn strip_shell(line: &[u8]) -> &[u8] {
    let text = line.trim_ascii_start();
    let Some(end) = text.iter().position(u8::is_ascii_whitespace) else {
        return text;
    };
    let (program, rest) = text.split_at(end);
    let shell = program
        .rsplit(|&byte| byte == b'/')
        .next()
        .unwrap_or_default();
    let rest = rest.trim_ascii_start();
    let is_shell = matches!(shell, b"sh" | b"bash" | b"ash" | b"dash");
    if !is_shell {
        return text;
    }
    // `-c`, `-ec`, `-o pipefail -c`: the command follows the first option that ends in `c`.
    let mut left = rest;
    while left.starts_with(b"-") || left.starts_with(b"pipefail") {
        let end = left
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(left.len());
        let (option, after) = left.split_at(end);
        left = after.trim_ascii_start();
        if option.starts_with(b"-") && option.ends_with(b"c") {
            return left;
        }
    }
    text
}

fn first(
    set: &LazyLock<Option<RegexSet>>,
    table: &[(&'static str, &str)],
    text: &[u8],
) -> Option<&'static str> {
    set.as_ref()?
        .matches(text)
        .iter()
        .next()
        .map(|index| table[index].0)
}

// The patterns are constants, and a test compiles them all; `Option` keeps a panic out of the
// request path all the same.
fn set(table: &[(&str, &str)]) -> Option<RegexSet> {
    RegexSetBuilder::new(table.iter().map(|(_, pattern)| pattern))
        .unicode(false)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .build()
        .ok()
}

fn one(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .case_insensitive(true)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Kind;
    use crate::job::object::Object;

    fn detected(name: &str, image: &str, words: &[&str]) -> Option<Detection> {
        let json = serde_json::json!({
            "metadata": {"name": name},
            "spec": {"template": {"spec": {"containers": [{"image": image, "args": words}]}}},
        });
        let text = json.to_string();
        let object: Object<'_> = serde_json::from_str(&text).unwrap();
        detect(&Job::new(&object, Kind::Job, "shop"))
    }

    #[test]
    fn all_signatures_compile() {
        assert!(COMMAND_SET.is_some() && IMAGE_SET.is_some());
        assert!(GENERIC_RE.is_some() && NAME_RE.is_some() && FALSE_RE.is_some());
    }

    #[test]
    fn knows_tools_by_their_command_line() {
        for (words, tool) in [
            (&["migrate", "apply", "-u", "x"][..], "Atlas"),
            (
                &["/bin/sh", "-ec", "cd /src && atlas migrate apply"],
                "Atlas",
            ),
            (&["sh", "-c", "migrate apply --dir file:///src"], "Atlas"),
            (&["bundle", "exec", "rails", "db:migrate"], "Rails"),
            (&["npx", "prisma", "migrate", "deploy"], "Prisma"),
            (&["python", "manage.py", "migrate", "--noinput"], "Django"),
            (&["alembic", "-c", "x.ini", "upgrade", "head"], "Alembic"),
        ] {
            assert_eq!(
                detected("x", "app:1", words),
                Some(Detection::Command(tool)),
                "{words:?}"
            );
        }
    }

    #[test]
    fn knows_images_names_and_the_word_itself() {
        assert_eq!(
            detected("x", "arigaio/atlas:1", &[]),
            Some(Detection::Image("Atlas"))
        );
        assert_eq!(
            detected("x", "registry:5000/flyway/flyway", &[]),
            Some(Detection::Image("Flyway"))
        );
        assert_eq!(
            detected("shop-db-migrate-1", "app:1", &[]),
            Some(Detection::Name)
        );
        assert_eq!(
            detected("x", "app:1", &["./bin/migrate"]),
            Some(Detection::Generic)
        );
    }

    #[test]
    fn leaves_other_jobs_and_false_friends_alone() {
        assert_eq!(
            detected("backup-1", "postgres:16", &["pg_dump", "shop"]),
            None
        );
        assert_eq!(detected("immigration-report", "app:1", &["report"]), None);
        assert_eq!(
            detected("gloo-resource-migration", "kubectl:1", &["migrate"]),
            None
        );
        assert_eq!(detected("x", "velero/velero:1", &["migrate"]), None);
        assert_eq!(
            detected("x", "storage-version-migrator:1", &["migrator"]),
            None
        );
    }
}
