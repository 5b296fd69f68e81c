use super::*;

#[test]
fn masks_every_way_a_password_is_written() {
    for (text, masked) in [
        (
            "postgres://app:hunter2@db/shop",
            "postgres://app:***@db/shop",
        ),
        (
            "-u=mysql://app:p/w@x@db:3306/s",
            "-u=mysql://app:***@db:3306/s",
        ),
        ("app:hunter2@tcp(db:3306)/shop", "app:***@tcp(db:3306)/shop"),
        ("--password=hunter2 --x", "--password=*** --x"),
        (
            "flyway -password='hun ter2' migrate",
            "flyway -password='***' migrate",
        ),
        ("mysql --password hunter2 shop", "mysql --password *** shop"),
        ("PGPASSWORD=hunter2 psql -h db", "PGPASSWORD=*** psql -h db"),
        (
            "jdbc:postgresql://db/s?user=a&password=hunter2&ssl=1",
            "jdbc:postgresql://db/s?user=a&password=***",
        ),
        ("Server=db;Pwd=hunter2;", "Server=db;Pwd=***"),
        (
            "postgres://app@srv:hunter2@db/x",
            "postgres://app@srv:***@db/x",
        ),
        ("root:hunter2@/shop", "root:***@/shop"),
        ("root:hunter2@tcp/shop", "root:***@tcp/shop"),
        ("root:p@ss@tcp(db)/x", "root:***@tcp(db)/x"),
        ("postgres://app:hun'ter2@db", "postgres://app:***@db"),
        ("--password=$ecret1", "--password=***"),
        ("postgres://u:$ecret@h", "postgres://u:***@h"),
        ("postgres://u:$(X)hunter2@h", "postgres://u:***@h"),
        ("--password=hunt,er2 x", "--password=*** x"),
        (
            r#"{\"db_password\":\"hunter2\"}"#,
            r#"{\"db_password\":\"***"}"#,
        ),
        (r#"{"db_password": "hunter2"}"#, r#"{"db_password": "***"}"#),
        ("é postgres://é:ü@db é", "é postgres://é:***@db é"),
        ("pwd --password=hunter2", "pwd --password=***"),
        (
            "pwd --db-pass hunter2 DB_PASS=hunter2",
            "pwd --db-pass *** DB_PASS=***",
        ),
        ("PWD=--password=hunter2", "PWD=--password=***"),
        (
            "http://h:1/a,postgres://u:hunter2@h",
            "http://h:1/a,postgres://u:***@h",
        ),
        (
            "--password $(X) --db-password hunter2",
            "--password $(X) --db-password ***",
        ),
        ("mysql -phunter2%Pwd shop", "mysql -p*** shop"),
        ("mysql -pHunterPwd shop", "mysql -p*** ***"),
        // A text that is not a word of a shell may contain another.
        (
            "identified by $A;authorization: bearer hunter2",
            "identified by *** bearer ***",
        ),
        // The rest is read again.
        ("password::5432:@tcp(", "password:***"),
        ("$A:5432:@tcp(svc:svc:@db", "$A:***@tcp(svc:svc:***"),
        ("curl -ksu svc:hunter2 x", "curl -ksu svc:*** x"),
        ("mysqlsh --uri root:hunter2@db", "mysqlsh --uri root:***@db"),
        ("redis-cli AUTH svc hunter2", "redis-cli AUTH svc ***"),
        (
            "sqlplus /nolog <<E\nconn a/hunter2@db",
            "sqlplus /nolog <<E\nconn a/***@db",
        ),
        ("login a\n password hunter2", "login a\n password ***"),
        ("printf 'pwd=%s' hunter2", "printf 'pwd=%s' ***"),
        ("password: |\n  hunter2", "password: |\n  ***"),
        (
            "name: PASSWORD\nvalue: hunter2",
            "name: PASSWORD\nvalue: ***",
        ),
        ("<pwd>hunter2</pwd>", "<pwd>***"),
    ] {
        assert_eq!(mask(text), masked);
    }
}

#[test]
fn leaves_references_and_harmless_text_alone() {
    for text in [
        "postgres://app:$(DB_PASSWORD)@db/shop",
        "postgres://app:${DB_PASSWORD}@db/shop",
        "postgres://app@db/shop",
        "https://registry:5000/@scope/x",
        "https://db:5432/a@b",
        "export PGPASSWORD=$(cat)",
        "postgres://u:$(PW)@h/x?contact=a@b",
        "password=$(PW)&ssl=1",
        "--password-file=/run/secret",
        "PWD=/app",
        "the password is asked for",
        "ALLOW_EMPTY_PASSWORD=yes",
        "MYSQL_PWD=",
        "mail@example.com",
        "--bypass=x compass=north",
        "password=#{PW} pwd=[[ .pw ]]",
        "password: config.password",
        "password:\n  secretKeyRef:\n    name: x",
        "postgres://app:[YOUR-PASSWORD]@db",
    ] {
        assert_eq!(mask(text), text);
    }
}

#[test]
fn what_a_shell_resolves_is_no_finding() {
    for text in [
        "PGPASSWORD=\"$DB\" psql",
        "export PGPASSWORD=$(cat /run/secret)",
        "PGPASSWORD=`cat /run/secret` psql",
        "postgres://u:$PW@h",
    ] {
        let found = scan::secrets(text, Reader::Shell, &mut Context::default());
        assert_eq!(found, [], "{text}");
    }
}

/// The parts of generated texts: keys, separators, references, values, quotes.
const PARTS: &str = "(password|DB_PW|--password|-p|mysql |curl -u |https://|svc:|@db|@tcp\\(|\\$\\(X\\)|\\$\\{Y:-z\\}|\
    \\$A|hunter22|[ =:;,'\"`\\\\(){}<>|#*/\\n-]|identified by |authorization: bearer |echo |:5432:)";

/// The parts of forms that need more than one.
const MORE_PARTS: &str = "(curl -sSu |mysqlsh |redis-cli |auth |sqlplus |<<E\\n|connect |E\\n|db2 |using |beeline |\
    login |password |\\\\n|printf '|%s|' |name: |value: |password:|pw=|pwd>|</|\\|\\n  |\\n  - |\\n|svc:|svc/|hunter22|\
    @db|\\$A|#\\{X\\}|\\[\\[|\\]\\]|config\\.|get\\(|[ =:;,'\"\\\\<>$\\[-])";

fn found(text: &str, reader: Reader) -> Vec<Range<usize>> {
    let found = scan::secrets(text, reader, &mut Context::default());
    found.into_iter().map(|(range, _)| range).collect()
}

/// Asserts that everything the rule finds is masked.
fn assert_masked(text: &str) {
    let masked = ranges(text);
    for range in found(text, Reader::Shell) {
        let is_masked = |at| masked.iter().any(|other| other.contains(&at));
        assert!(
            range.clone().all(is_masked) && may_hold_any(text),
            "{:?} of {text:?}",
            &text[range]
        );
    }
}

proptest::proptest! {
    #[test]
    fn masking_never_panics_and_is_idempotent(text in "\\PC*") {
        let once = mask(&text).into_owned();
        proptest::prop_assert_eq!(mask(&once).into_owned(), once.clone());
    }

    #[test]
    fn masking_what_looks_like_passwords_is_idempotent(text in proptest::collection::vec(PARTS, 0..12)) {
        let once = mask(&text.concat()).into_owned();
        proptest::prop_assert_eq!(mask(&once).into_owned(), once.clone());
        proptest::prop_assert_eq!(blot(&text.concat()).len(), text.concat().len());
    }

    #[test]
    fn masking_forms_of_more_parts_is_idempotent(text in proptest::collection::vec(MORE_PARTS, 0..14)) {
        let once = mask(&text.concat()).into_owned();
        proptest::prop_assert_eq!(mask(&once).into_owned(), once.clone());
    }

    #[test]
    fn what_the_rule_finds_in_forms_of_more_parts_is_masked(
        text in proptest::collection::vec(MORE_PARTS, 0..14),
    ) {
        assert_masked(&text.concat());
    }

    #[test]
    fn what_the_rule_finds_is_masked(text in proptest::collection::vec(PARTS, 0..12)) {
        assert_masked(&text.concat());
    }

    #[test]
    fn a_planted_password_never_survives(
        before in "[a-z ]{0,8}", user in "[a-z]{0,6}", password in "[A-Za-z0-9!%^*+/_.-]{6,20}",
    ) {
        // The marker keeps it from being a port or a switch.
        let secret = format!("s3cr3t{password}");
        for text in [
            format!("{before} postgres://{user}:{secret}@db/shop"),
            format!("{before} --password={secret}"),
            format!("{before} PGPASSWORD={secret} psql"),
            format!("{before} --password {secret}"),
            format!("{before} mysql -p{secret} shop"),
            format!("{before} sqlcmd -U sa -P '{secret}'"),
            format!("{before} redis-cli -a {secret} ping"),
            format!("{before} curl -u x{user}:{secret} https://x"),
            format!("{before} sqlplus x{user}/{secret}@db"),
            format!("{before} ALTER USER x PASSWORD '{secret}'"),
            format!("{before} CREATE USER x IDENTIFIED BY \"{secret}\""),
            format!("{before} Authorization: Bearer {secret}"),
            format!("{before} https://x/y?token={secret}"),
            format!("{before} db:5432:shop:x{user}:{secret}"),
            format!("{before} {{\"dbPassword\": \"{secret}\"}}"),
            format!("{before} DB_PW: '{secret}'"),
            format!("{before} ${{DB_PASSWORD:-{secret}}}"),
            format!("{before} curl -sSu x{user}:{secret} https://x"),
            format!("{before} mysqlsh --uri x{user}:{secret}@db"),
            format!("{before} redis-cli AUTH {secret}"),
            format!("{before} redis-cli AUTH x{user} {secret}"),
            format!("{before} db2 connect to x user x{user} using {secret}"),
            format!("{before} sqlplus /nolog <<EOF\nconnect x{user}/{secret}@db\nEOF"),
            format!("{before} sqlplus <<EOF\nx{user}/{secret}@db\nEOF"),
            format!("machine x\n  login x{user}\n  password {secret}\n"),
            format!("{before} printf 'password=%s' {secret} > x"),
            format!("{before} printf 'db:5432:shop:x:%s' {secret} > x"),
            format!("db:\n  password: |\n    {secret}\n"),
            format!("db:\n  password:\n  - {secret}\n"),
            format!("- name: DB_PASSWORD\n  value: {secret}\n"),
            format!("<password>{secret}</password>"),
        ] {
            proptest::prop_assert!(!mask(&text).contains(&secret), "{}", mask(&text));
        }
    }
}
