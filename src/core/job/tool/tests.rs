//! Tests of command lines, images and names, and how they are recognised.

use super::*;
use crate::core::job::Kind;
use crate::core::job::object::Object;

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
    assert!(command_words::warm_up() && IMAGE_SET.is_some());
    assert!(NAME_RE.is_some() && NOT_BY_NAME_RE.is_some() && FALSE_RE.is_some());
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

/// Command lines that migrate, as their image calls them: `image | words`.
const MIGRATE: &[&str] = &[
    "app | npm run db:migrate",
    "app | npm run migrate -- --env production",
    "app | npm --prefix server run migration:up",
    "app | yarn db:migrate",
    "app | yarn workspace @shop/api migrate:deploy",
    "app | pnpm --filter @shop/api run migrate",
    "app | pnpm -C apps/api db:push",
    "app | pnpm --filter=@shop/db db:deploy",
    "app | bun run db:migrate",
    "app | deno task db:migrate",
    "app | deno run -A migrate.ts",
    "app | npx knex migrate:latest --knexfile x.js",
    "app | npx drizzle-kit push",
    "app | npx mikro-orm migration:up",
    "app | npx sequelize-cli db:migrate --url $(DATABASE_URL)",
    "app | npx prisma db push --skip-generate",
    "app | npx turbo run db:migrate",
    "app | node ace migration:run --force",
    "app | node dist/migrate.js",
    "app | node ./build/scripts/migrations/run.js",
    "app | node dist/main.js migrate",
    "app | node_modules/.bin/knex-migrator migrate --init",
    "app | make migrate",
    "app | make -C backend db-migrate",
    "app | task db:upgrade",
    "app | just migrate",
    "app | composer run-script migrations:migrate",
    "app | composer migrate",
    "app | php artisan migrate --force",
    "app | php artisan tenants:migrate",
    "app | php bin/console doctrine:migrations:migrate --no-interaction",
    "app | bin/console doctrine:schema:update --force",
    "app | php yii migrate/up --interactive=0",
    "app | vendor/bin/phinx migrate -e production",
    "app | php spark migrate --all",
    "app | drush updatedb -y",
    "app | bin/magento setup:upgrade",
    "app | poetry run python manage.py migrate",
    "app | poetry run alembic upgrade head",
    "app | uv run alembic -c db/alembic.ini upgrade head",
    "app | uv run manage.py migrate --noinput",
    "app | pdm run migrate",
    "app | python -m shop.migrate",
    "app | python -m flask --app shop db upgrade",
    "app | python manage.py migrate --skip-checks",
    "app | aerich upgrade",
    "app | ckan db upgrade",
    "app | yoyo apply --batch",
    "app | bundle exec rake db:create db:migrate db:seed",
    "app | bundle exec hanami db migrate",
    "app | bin/rails db:prepare",
    "app | bin/rails db:migrate:with_data",
    "app | bin/shop eval Shop.Release.migrate",
    "app | mix ecto.migrate",
    "app | go run ./cmd/migrate up",
    "app | ./server migrate up",
    "app | ./server --migrate",
    "app | ./server -mode=migrate",
    "app | /app/bin/server db migrate",
    "app | /app/run-migrations.sh",
    "app | ./bin/wait-for-db-and-migrate",
    "app | sql-migrate up -env=production",
    "app | tern migrate --migrations /migrations",
    "app | sqlx migrate run --source db/migrations",
    "app | diesel migration run",
    "app | cargo run --bin migration -- up",
    "app | java -jar /app/db-migrator.jar",
    "app | java -jar app.jar --spring.profiles.active=migrate",
    "app | java -cp app.jar com.example.MigrationRunner",
    "app | ./gradlew flywayMigrate",
    "app | mvn -B flyway:migrate",
    "app | mvn liquibase:update",
    "app | dotnet Shop.DbMigrator.dll",
    "app | dotnet Shop.dll --migrate",
    "app | dotnet ef database update",
    "app | wait-for-it.sh db:5432 -t 60 -- npm run migrate",
    "app | /scripts/wait-for-deps /scripts/db-migrate",
    "app | dockerize -wait tcp://db:5432 npm run migrate",
    "app | prefect server database upgrade -y",
    "app | nova-manage api_db sync",
    "app | metabase migrate up",
    "app | bundle exec sequel -m db/migrations $(DATABASE_URL)",
    "app | bundle exec rake ridgepole:apply",
    "app | ridgepole -c config.yml --apply",
    "app | atlas migrate apply --latest 1",
    "liquibase/liquibase:4 | update --sql",
    "flyway/flyway:11 | -v migrate",
    "app | temporal-cassandra-tool --ep db update-schema -d /s",
    "app | kubectl exec deploy/shop -- npm run db:migrate",
    "ghcr.io/amacneil/dbmate:2 | --wait migrate",
    "ghcr.io/amacneil/dbmate:2 | up",
    "ghcr.io/pressly/goose:3 | -dir /m postgres $(DSN) up",
    "sqitch/sqitch:1 | deploy --verify db:pg://db/shop",
    "ghcr.io/xataio/pgroll:1 | start /m/1.json",
    "skeema/skeema:1 | push production",
    "schemahero/schemahero:1 | apply --driver postgres --ddl /ddl.sql",
    "sqldef/psqldef:1 | -h db shop --file=/schema.sql",
    "flyway/flyway:11 | -url=jdbc:x info migrate",
    "flyway/flyway:11 | migrate info",
    "redgate/flyway:11 |",
    "liquibase:4.33 | --changelog-file=x.xml update",
    "liquibase/liquibase:4 | --defaultsFile=/x.properties updateToTag v1",
    "migrate/migrate:4 | -path=/m -database $(DSN) goto 7",
    "openfga/openfga:1 | migrate",
    "ghcr.io/permify/permify:1 | migrate up",
    "registry.example.com/shop-migrations:1 |",
    "registry.example.com/shop-migrator:1 | --verbose",
];

/// Command lines that do not migrate anything.
const OTHERS: &[&str] = &[
    "app | ./bin/bootstrap --skip-migrations",
    "app | ./server --no-migrate --port 80",
    "app | ./server --migrate=false",
    "app | ./server start --migrations-dir /app/migrations",
    "app | kc.sh start --spi-connections-jpa-quarkus-migration-strategy=update",
    "app | ./wait-for-migrations.sh",
    "app | wait_for_migrations",
    "app | python manage.py wait_for_migrations",
    "app | python manage.py check_migrations",
    "app | python manage.py showmigrations",
    "app | python manage.py makemigrations --check",
    "app | python manage.py migrate --check",
    "app | python manage.py migrate --plan",
    "app | airflow db check-migrations --migration-wait-timeout=60",
    "app | alembic current",
    "app | alembic check",
    "app | alembic upgrade head --sql",
    "app | flask db migrate -m x",
    "app | rails db:abort_if_pending_migrations",
    "app | bundle exec rake db:migrate:status",
    "app | rails db:version",
    "app | rails generate migration AddPrice",
    "app | npx prisma migrate status",
    "app | npx prisma migrate diff --from-empty",
    "app | npx prisma generate",
    "app | npx knex migrate:status",
    "app | npx typeorm migration:show",
    "app | npm run migration:generate",
    "app | npm run check-migrations",
    "app | npm run db:seed",
    "app | npm run test:migrations",
    "app | php artisan migrate:status",
    "app | php artisan migrate --pretend",
    "app | php bin/console doctrine:migrations:status",
    "app | diesel migration list",
    "app | sqlx migrate info",
    "app | sql-migrate status",
    "app | atlas migrate lint --dir file://m",
    "app | atlas migrate lint --latest 1",
    "app | mix ecto.migrations",
    "app | python manage.py sqlmigrate shop 0042",
    "app | dotnet ef migrations script --idempotent",
    "app | dotnet ef migrations remove",
    "app | npx prisma migrate dev --create-only",
    "app | bin/console doctrine:migrations:migrate --write-sql",
    "app | ridgepole -c config.yml --apply --dry-run",
    "app | bundle exec rake ridgepole:dry-run",
    "app | atlas migrate apply --dry-run",
    "app | liquibase status",
    "app | liquibase update-sql",
    "app | goose postgres $(DSN) status",
    "app | kubectl wait --for=condition=complete job/shop-migrate-1",
    "app | kubectl delete job shop-db-migrate",
    "app | helm rollback migrate",
    "app | pg_dump -f /backup/pre-migrate.sql shop",
    "app | mysqldump --ignore-table=shop.migrations shop",
    "app | ./backup.sh pre-migration",
    "app | cp -r /app/migrations /shared",
    "app | psql -c SELECT * FROM schema_migrations",
    "app | pg_restore --exclude-schema migrations x",
    "app | pytest tests/migrations",
    "app | curl -X POST http://shop/migrate",
    "app | ./immigration-report",
    "app | ./server --user migrator serve",
    "app | echo migrate",
    "flyway/flyway:11 | info",
    "flyway/flyway:11 | -url=jdbc:x validate",
    "arigaio/atlas:1 | migrate status --url x",
    "migrate/migrate:4 | -version",
    "migrate/migrate:4 | -path /m -database x version",
    "ghcr.io/amacneil/dbmate:2 | status",
    "ghcr.io/amacneil/dbmate:2 | dump",
    "sqitch/sqitch:1 | status db:pg://db/shop",
    "liquibase:4.33 | --url=x validate",
    "liquibase:4.33 | update-sql",
    "liquibase:4.33 | --url=x future-rollback-sql",
    "flyway/flyway:11 | -v",
    "groundnuty/k8s-wait-for:v2 | job shop-migrate-1",
    "bitnami/kubectl:1 | wait --for=condition=complete job/shop-migrate",
    "registry.example.com/shop-backup:1 | migrate",
    "registry.example.com/shop-migrate:1 | status",
];

fn wrong(lines: &[&str], migrates: bool) -> Vec<String> {
    let judge = |line: &&str| {
        let (image, words) = line.split_once(" |").unwrap();
        let words: Vec<_> = words.split_whitespace().collect();
        (detected("x", image, &words).is_some() != migrates).then(|| (*line).to_owned())
    };
    lines.iter().filter_map(judge).collect()
}

#[test]
fn knows_what_migrates() {
    assert_eq!(wrong(MIGRATE, true), [""; 0]);
}

#[test]
fn leaves_alone_what_waits_looks_and_copies() {
    assert_eq!(wrong(OTHERS, false), [""; 0]);
}

#[test]
fn reads_scripts_command_by_command() {
    let script =
        |text: &str| detected("x", "app:1", &["bash", "-euo", "pipefail", "-c", text]).is_some();
    for text in [
        "set -e\nuntil nc -z db 5432; do sleep 1; done\nnpm run db:migrate",
        "alembic current || alembic upgrade head",
        "cd /app && python manage.py migrate --noinput && echo done",
        "if [ -n \"$X\" ]; then bundle exec rake db:migrate; fi",
        "exec alembic \\\n  -c x.ini \\\n  upgrade head",
        "RAILS_ENV=production bin/rails db:migrate",
    ] {
        assert!(script(text), "{text}");
    }
    for text in [
        "echo 'run the migrations first'",
        "# npm run migrate\n./report",
        "until python manage.py migrate --check; do sleep 2; done",
        "ls /app/migrations; ./serve",
        "kubectl get job shop-migrate && ./serve",
    ] {
        assert!(!script(text), "{text}");
    }
}

#[test]
fn a_name_does_not_make_a_migration_of_what_only_waits() {
    assert_eq!(
        detected("shop-migrate", "app:1", &["alembic", "check"]),
        Some(Detection::Name)
    );
    assert_eq!(
        detected("shop-migrate", "app:1", &["./wait-for-migrations"]),
        None
    );
    assert_eq!(
        detected("shop-migration-backup-1", "app:1", &["./run"]),
        None
    );
    assert_eq!(detected("wait-for-migrations-1", "app:1", &["./run"]), None);
}

#[test]
fn a_long_command_line_is_read_in_part() {
    let long = "x ".repeat(100_000);
    assert_eq!(
        detected("x", "app:1", &[&long, "npm", "run", "migrate"]),
        None
    );
    assert!(detected("x", "app:1", &["npm", "run", "migrate", &long]).is_some());
    let waits = "wait -- ".repeat(10_000);
    assert_eq!(detected("x", "app:1", &["sh", "-c", &waits]), None);
}
