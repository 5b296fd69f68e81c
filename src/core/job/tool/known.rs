//! The migration tools that are known by name: how each is called, and the images made for one of them.
//!
//! [`super::line`] covers command lines without a known tool.

/// Patterns for command lines, most specific first. Each is matched on one command: program and arguments, joined by a
/// space.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    (
        "Atlas",
        r"(^|[/\s])atlas\s+(migrate|schema)\s+apply\b|^migrate\s+apply\b",
    ),
    ("Flyway", r"\bflyway\b.*\bmigrate\b|\bflywaymigrate\b"),
    (
        "Liquibase",
        r"\bliquibase\b.*[\s:](update(-to-tag|-count|-testing-rollback|-one-changeset)?|updatetotag|updatecount)(\s|$)|\bliquibaseupdate\b",
    ),
    (
        "Alembic",
        r"\balembic\b.*\bupgrade\b|\bflask\b.*\sdb\s+upgrade\b",
    ),
    (
        "Superset",
        r"\bsuperset\s+(db\s+(upgrade|migrate)|init)\b|\bsuperset_init\.sh\b",
    ),
    (
        "Airflow",
        r"\bairflow\s+(db\s+(upgrade|migrate)|upgradedb)\b",
    ),
    ("Goose", r"\bgoose\b.*\sup(-to|-by-one)?\b"),
    (
        "golang-migrate",
        r"\bmigrate\b.*-(path|source|database)\b.*\s(up|goto)\b",
    ),
    (
        "Prisma",
        r"\bprisma\s+(migrate\s+deploy|db\s+push)\b|prisma_migration\.py",
    ),
    (
        "Rails",
        r"\b(rails|rake)\s+(\S+\s+)*db:(migrate|prepare|schema:load|structure:load|setup|\w+_prepare)\b",
    ),
    (
        "Django",
        r"\b(manage\.py|django-admin)\s+(\S+\s+)*(migrate(_\w+)?|syncdb)(\s|$)",
    ),
    ("dbmate", r"\bdbmate\b.*\s(up|migrate)\b"),
    ("Sqitch", r"\bsqitch\b.*\s(deploy|rebase|checkout)\b"),
    (
        "Knex",
        r"\bknex\b.*\bmigrate:(latest|up)\b|\bknex-migrator(-migrate)?\s+(init|migrate|--init)\b",
    ),
    (
        "TypeORM",
        r"\btypeorm\S*\s+(\S+\s+)*(migration:run|schema:sync)\b",
    ),
    ("Sequelize", r"\bsequelize(-cli)?\s+db:migrate\b"),
    (
        "Diesel",
        r"\bdiesel\s+(migration\s+(run|redo)|(database\s+)?setup)\b",
    ),
    (
        "SQLx",
        r"\bsqlx\s+(migrate\s+run|(database|db)\s+(setup|reset))\b",
    ),
    (
        "SeaORM",
        r"\bsea-orm-cli\s+migrate(\s+(up|fresh|refresh)\b|$)",
    ),
    (
        "EF Core",
        r"\bdotnet[\s-]ef\s+database\s+update\b|(^|[/\s])efbundle(\.exe)?(\s|$)",
    ),
    ("Laravel", r"\bartisan\s+(migrate|tenants:migrate)\b"),
    (
        "Doctrine",
        r"doctrine:migrations:(migrate|execute)|doctrine-migrations\s+migrate|doctrine:schema:update\b.*--force",
    ),
    ("Phinx", r"\bphinx\s+migrate\b"),
    (
        "Yii",
        r"\b(yii|craft)(\.php)?\s+(migrate(/(up|all|to|fresh))?|up)(\s|$)",
    ),
    (
        "a Node.js migrator",
        r"\bnode-pg-migrate\b|\bdrizzle-kit\s+(migrate|push|up)|\bmikro-orm\S*\s+(migration:up|schema:update)|\bgraphile-migrate\s+migrate|\bdb-migrate\s+up|\bmigrate-mongo\s+up",
    ),
    (
        "Ecto",
        r"\bmix\s+(ecto|ash(_postgres)?)\.(migrate|setup)\b|Release\.migrate",
    ),
    ("Ory", r"\b(kratos|hydra|keto)\s+migrate\s+(sql|up)\b"),
    ("Kong", r"\bkong\s+migrations\s+(bootstrap|up|finish)\b"),
    ("Harbor", r"harbor_core\s+-mode=migrate"),
    (
        "Sentry",
        r"\bsentry\s+(django\s+)?(upgrade|migrate)\b|\bsnuba\s+(migrations\s+migrate|bootstrap)\b",
    ),
    ("Dagster", r"\bdagster\s+instance\s+migrate\b"),
    (
        "Temporal",
        r"\b(temporal|cadence)-(sql|cassandra|elasticsearch)-tool\b.*\b(setup|update|upgrade)-(schema|index|template)\b",
    ),
    ("SpiceDB", r"\bspicedb\s+(datastore\s+)?migrate\b"),
    ("Zitadel", r"\bzitadel\s+(\S+\s+)*(init|setup)(\s|$)"),
    ("OpenProject", r"\bopenproject\S*\s.*\bseeder\b"),
    (
        "pgroll",
        r"\bpgroll\b.*\s(start|complete|migrate|baseline)(\s|$)",
    ),
    ("Skeema", r"\bskeema\b.*\spush\b"),
    ("SchemaHero", r"\bschemahero\b.*\s(apply|approve)\b"),
    ("sqldef", r"\b(psql|mysql|sqlite3|mssql)def\s"),
    (
        "Sequel",
        r"(^|[/\s])sequel\s+(\S+\s+)*(-m|--migrate-directory)[\s=]",
    ),
    (
        "Ridgepole",
        r"\bridgepole:apply\b|(^|[/\s])ridgepole\s.*(\s|^)(-a|--apply)(\s|$)",
    ),
    (
        "gh-ost",
        r"\bgh-ost\s.*--execute\b|\bpt-online-schema-change\s.*--execute\b",
    ),
    ("Yoyo", r"\byoyo\b.*\sapply\b"),
    ("Aerich", r"\baerich\s+(upgrade|init-db)\b"),
    ("grate", r"(^|[/\s])grate\s+-"),
    ("Yuniql", r"\byuniql\s+run\b"),
    (
        "Hasura",
        r"\bhasura(-cli)?\s+(\S+\s+)*(migrate|metadata)\s+apply\b",
    ),
    ("Supabase", r"\bsupabase\s+(db\s+push|migration\s+up)\b"),
    (
        "Directus",
        r"\bdirectus\S*\s+(\S+\s+)*(bootstrap|database\s+(install|migrate:latest))\b",
    ),
    (
        "Magento",
        r"\bmagento\s+setup:(upgrade|db-schema:upgrade|db:schema)\b",
    ),
    ("Drupal", r"\bdrush\s+(\S+\s+)*(updb|updatedb|deploy)\b"),
    ("WordPress", r"\bwp\s+(\S+\s+)*core\s+update-db\b"),
    ("Nextcloud", r"\bocc\s+(upgrade|db:add-missing-\w+)\b"),
    ("Moodle", r"admin/cli/upgrade\.php"),
    (
        "MediaWiki",
        r"maintenance/(update\.php|run(\.php)?\s+update\b)",
    ),
    ("Matomo", r"\bconsole\s+core:update\b"),
    (
        "Odoo",
        r"\bodoo(-bin)?\s+(\S+\s+)*(-u|--update|-i|--init)[\s=]",
    ),
    (
        "OpenStack",
        r"\b\w+-manage\s+(\S+\s+)?(db_sync|(api_|cell_)?db\s+(sync|upgrade))\b|\bneutron-db-manage\s.*\bupgrade\b",
    ),
];

/// Patterns for images made for one tool, which migrates unless its command line shows otherwise.
pub(super) const IMAGES: &[(&str, &str)] = &[
    ("Atlas", r"(^|/)arigaio/atlas([:@]|$)"),
    ("Flyway", r"(^|/)flyway([:@]|$)"),
    (
        "Liquibase",
        r"(^|/)liquibase(-pro|-secure|-alpine)?([:@]|$)",
    ),
    ("golang-migrate", r"(^|/)migrate/migrate([:@]|$)"),
    ("Hatchet", r"(^|/)hatchet-migrate([:@]|$)"),
    ("dbmate", r"(^|/)dbmate([:@]|$)"),
    ("Goose", r"(^|/)goose(-docker)?([:@]|$)"),
    ("Sqitch", r"(^|/)sqitch([:@]|$)"),
    ("pgroll", r"(^|/)pgroll([:@]|$)"),
    ("Skeema", r"(^|/)skeema([:@]|$)"),
    ("SchemaHero", r"(^|/)schemahero([:@]|$)"),
    ("sqldef", r"(^|/)(psql|mysql|sqlite3|mssql)def([:@]|$)"),
    ("grate", r"(^|/)grate([:@]|$)"),
    ("Jaeger", r"(^|/)jaeger-cassandra-schema([:@]|$)"),
];
