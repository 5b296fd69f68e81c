//! What is a password and what is none, in every place of a Job, and how long it takes to tell.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use migration_warden::cli::render::{Render, json::Json, text::Text};
use migration_warden::core::check::Check;
use migration_warden::core::job::credentials::{self, BUDGET};
use migration_warden::core::job::object::Object;
use migration_warden::core::job::{Job, Kind};
use migration_warden::core::policy::Action;
use migration_warden::core::policy::finding::Finding;
use migration_warden::core::policy_file::validate;
use migration_warden::core::report::{Located, Report};
use serde::Deserialize;
use serde_json::{Value, json};

/// One case of `fixtures/credentials.json`.
#[derive(Deserialize)]
struct Case {
    /// `env`, `sh` or `args`.
    kind: String,
    #[serde(default)]
    name: String,
    value: Value,
    /// Whether it holds a password; nothing where either will do.
    flagged: Option<bool>,
}

impl Case {
    /// A container with the text at its place.
    fn container(&self) -> Value {
        match &*self.kind {
            "env" => json!({"env": [{"name": self.name, "value": self.value}]}),
            "sh" => json!({"command": ["sh", "-c", self.value]}),
            "args" => json!({"args": self.value}),
            other => panic!("{other}"),
        }
    }
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("fixtures/credentials.json")).unwrap()
}

/// A migration Job with these containers.
fn job(containers: &[Value]) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "billing-migrate-1766361600",
            "labels": {"app.kubernetes.io/component": "migration"},
        },
        "spec": {"template": {"spec": {"containers": containers}}},
    })
}

/// What `check` says of a manifest.
fn checked(text: &str) -> (Report, Vec<Located>) {
    let (policy, mut found) = (validate::builtin(), Vec::new());
    let mut check = Check::new(&policy, "", Vec::new());
    check.file("job.yaml", text, &mut |located: Located| {
        found.push(located);
    });
    (check.report, found)
}

fn findings(job: &Value) -> Vec<String> {
    let (_, found) = checked(&job.to_string());
    let found = found.iter().map(|located| &located.finding);
    found
        .filter(|finding| finding.rule.id == "MW010")
        .map(|finding| format!("{}: {}", finding.path, finding.detail))
        .collect()
}

#[test]
fn what_people_write_is_told_apart() {
    let mut wrong = Vec::new();
    for case in cases() {
        let found = !findings(&job(&[case.container()])).is_empty();
        if case.flagged.is_some_and(|flagged| flagged != found) {
            wrong.push(format!(
                "flagged: {found}: {} {} {}",
                case.kind, case.name, case.value
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// What the text of a password's neighbours is made of: each key form before each separator.
const UNITS: [&str; 61] = [
    "pwd=$(X),",
    "pwd=$a",
    "pwd=$a ",
    "pwd: $a ",
    "pwd=<",
    "pwd='",
    "pwd=\"",
    "pwd=/a/",
    "pwd:/a/",
    "pass=$(",
    "pass=${",
    "${pass:-",
    "pass=\\",
    "pass=}",
    "pass={{",
    "pwd=****",
    "pwd = ",
    "\"pwd\": ",
    "password x ",
    "--password ",
    "--password '",
    "-p ",
    "mysql -p",
    "curl -u a:",
    "sqlplus a/",
    "echo pwd: x ",
    "echo echo\n",
    "a://:1/",
    "a:$",
    "a://",
    "p@tcp(",
    "?token=$a&",
    "a:1:b:c:",
    "authorization: bearer ",
    "identified by ",
    "login password ",
    "# pwd\n",
    "=:(",
    "curl -su a:",
    "mysqlsh a:b@c ",
    "sqlplus <<E\na/b@c\n",
    "sqlplus <<E\nconn ",
    "<<E\n",
    "redis-cli auth a ",
    "db2 using ",
    "printf 'pwd=%s' ",
    "printf '%s%s",
    "pwd: |\n ",
    "pwd:\n  - ",
    "name: pwd\nvalue: ",
    "name=pwd ",
    "<pwd>",
    "<pwd>$a</pwd>",
    "pwd='\"",
    "pwd=a.b(",
    "pwd=a[",
    "pwd=$env:",
    "pwd=[[",
    "pwd=#{",
    "pwd=a/data/",
    "login a\\npassword ",
];

/// A Job with `text` in one field after the other.
fn fields(text: &str) -> Vec<(&'static str, Value)> {
    let of = |container: Value| job(&[container]);
    let meta = |tweak: &dyn Fn(&mut Value)| {
        let mut job = job(&[]);
        tweak(&mut job["metadata"]);
        job
    };
    vec![
        ("command", of(json!({"command": ["sh", "-c", text]}))),
        ("args", of(json!({"args": [text]}))),
        ("value", of(json!({"env": [{"name": "X", "value": text}]}))),
        (
            "value of a key",
            of(json!({"env": [{"name": "PASSWORD", "value": text}]})),
        ),
        (
            "name of a variable",
            of(json!({"env": [{"name": text, "value": "x"}]})),
        ),
        ("image", of(json!({"image": text}))),
        (
            "hook",
            meta(&|metadata| metadata["annotations"] = json!({"helm.sh/hook": text})),
        ),
        ("name", meta(&|metadata| metadata["name"] = json!(text))),
        (
            "label",
            meta(&|metadata| metadata["labels"]["app.kubernetes.io/instance"] = json!(text)),
        ),
        ("no label", {
            let mut job = of(json!({"command": [text], "args": [text]}));
            job["metadata"]["labels"] = json!({});
            job
        }),
    ]
}

/// What judging a Job takes, reading it apart.
fn judged(json: &str) -> Duration {
    let policy = validate::builtin();
    let object: Object<'_> = serde_json::from_str(json).unwrap();
    let start = Instant::now();
    let job = Job::new(&object, Kind::Job, "billing");
    let selection = policy.select(&job);
    let mut findings = policy.evaluate(&job, selection, Action::Deny);
    credentials::hide(&job, findings.iter_mut().flat_map(Finding::texts_mut));
    let release = migration_warden::core::job::release::Release::of(&job);
    std::hint::black_box((findings, release, credentials::mask(job.name.shown())));
    start.elapsed()
}

/// A search for each of them took minutes and a gigabyte.
#[test]
fn passwords_as_long_as_the_budget_are_hidden() {
    for count in [1, 50] {
        let value = |index: usize| format!("{index}s3cr3t").repeat(BUDGET / count / 8);
        let env: Vec<_> = (0..count)
            .map(|index| json!({"name": "DB_PASSWORD", "value": value(index)}))
            .collect();
        let mut job = job(&[json!({"env": env})]);
        job["metadata"]["annotations"] = json!({"helm.sh/hook": value(0)});
        assert!(!printed(&job.to_string()).contains("s3cr3t"));
    }
}

/// Each attempt reads `n` and `4n` bytes; the second must not take much more than four times as long.
/// What reads a rest again for each candidate takes sixteen times as long, in every attempt.
fn assert_linear(what: &str, time: impl Fn(usize) -> Duration) {
    const BYTES: usize = 8 * 1024;
    const NOISE: Duration = Duration::from_millis(20);
    let is_linear = || time(4 * BYTES) < 9 * time(BYTES) + NOISE;
    assert!(
        (0..5).any(|_| is_linear()),
        "{what}: {:?} and {:?}",
        time(BYTES),
        time(4 * BYTES)
    );
}

#[test]
#[ignore = "measures time: run tests/long"]
fn the_time_is_linear_in_the_text_of_every_field() {
    warm_up();
    for unit in UNITS {
        let text = |bytes: usize| format!("{}a@tcp(>", unit.repeat(bytes / unit.len()));
        // Most are read alike, and each text takes its time where nothing is optimised.
        let is_first = unit == UNITS[0];
        for (index, (field, _)) in fields("").iter().enumerate() {
            if !is_first && !matches!(*field, "args" | "value") {
                continue;
            }
            assert_linear(&format!("{unit:?} in {field}"), |bytes| {
                judged(&fields(&text(bytes))[index].1.to_string())
            });
        }
        assert_linear(&format!("{unit:?} masked"), |bytes| {
            let text = text(bytes);
            let start = Instant::now();
            std::hint::black_box((credentials::mask(&text), credentials::blot(&text)));
            start.elapsed()
        });
    }
}

/// Many candidates end in the same run of characters, which belongs to none of them.
#[test]
#[ignore = "measures time: run tests/long"]
fn a_run_behind_many_candidates_is_read_once() {
    warm_up();
    let more = [
        "key=",
        "name=",
        "value=",
        "password=",
        "\"key\":\"",
        "--token=",
        "u:p@",
    ];
    for unit in UNITS.into_iter().chain(more) {
        for tail in ["'", "\\", ",", "\"", " ", "-", ")", ";", "*", "\\n"] {
            assert_linear(&format!("{unit:?} before {tail:?}"), |bytes| {
                let (units, tails) = (bytes / 2 / unit.len(), bytes / 2 / tail.len());
                let text = format!("pw {}{}", unit.repeat(units), tail.repeat(tails));
                judged(&job(&[json!({"args": [text]})]).to_string())
            });
        }
    }
}

fn warm_up() {
    migration_warden::core::job::tool::warm_up();
    judged(&job(&[]).to_string());
}

#[test]
#[ignore = "measures time: run tests/long"]
fn many_words_take_no_longer_than_a_long_one() {
    warm_up();
    for unit in ["--password", "-p", "pwd=$(X)", "$a", "mysql"] {
        for field in ["command", "args"] {
            assert_linear(&format!("{unit} in {field}"), |bytes| {
                let words = vec![unit; bytes / unit.len()];
                judged(&job(&[json!({field: words})]).to_string())
            });
        }
    }
}

#[test]
fn a_megabyte_is_read_up_to_the_budget_and_the_rest_is_told() {
    let long = "pwd=$(X),".repeat(1_000_000 / 9);
    let secret = "s3cr3t-behind";
    let found = findings(&job(&[
        json!({"args": [long, format!("--password={secret}")]}),
        json!({"env": [{"name": "DB_PASSWORD", "value": secret}]}),
    ]));
    let long = long.len();
    // The rest of the first, and both that come later.
    let unread = long - BUDGET + "--password=".len() + 2 * secret.len();
    assert_eq!(
        found,
        [format!(
            "spec.template.spec.containers[0].args[0]: {unread} bytes of this Job's text are not searched for \
             passwords: the search ends after {BUDGET} bytes"
        )]
    );
}

#[test]
fn what_is_not_read_is_not_printed() {
    let secret = "s3cr3t-behind";
    let long = format!(
        "{} --password={secret}",
        "pwd=$(X), ".repeat(BUDGET / 10 + 1)
    );
    let masked = credentials::mask(&long);
    assert!(
        masked.ends_with(" bytes cut)") && masked.len() <= 64 * 1024,
        "{}",
        masked.len()
    );
    assert!(!masked.contains("s3cr3t") && !credentials::blot(&long).contains("s3cr3t"));
    assert_eq!(credentials::mask(&masked), masked);
    let word = format!("postgres://svc:{}@db", "s3cr3t".repeat(20_000));
    assert_eq!(
        credentials::mask(&word),
        format!(" … ({} bytes cut)", word.len())
    );

    let container = json!({"args": [long], "image": "x:latest", "env": [{"name": "X_PASSWORD", "value": secret}]});
    let mut job = job(&[container]);
    job["metadata"]["annotations"] = json!({"helm.sh/hook": long});
    assert!(!printed(&job.to_string()).contains("s3cr3t"));
}

/// All that `check` prints of a manifest.
fn printed(text: &str) -> String {
    let (report, found) = checked(text);
    let mut out = Vec::new();
    let (mut text, mut object) = (Text::default(), Json::default());
    object.begin(&mut out).unwrap();
    for located in &found {
        text.finding(located, &mut out).unwrap();
        object.finding(located, &mut out).unwrap();
    }
    text.end(&report, &mut out).unwrap();
    object.end(&report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_password_is_hidden_wherever_it_stands_again() {
    let secret = "s3cr3t-again";
    let words = [
        json!({"env": [{"name": "DB_PASSWORD", "value": secret}]}),
        json!({"args": ["--password", secret]}),
        json!({"command": ["mysql", format!("-p{secret}")]}),
        json!({"args": [format!("sh -c 'redis-cli -a {secret}'")]}),
    ];
    for container in words {
        let mut container = container;
        container["image"] = json!(format!("registry.example.com/{secret}:latest"));
        let mut job = job(&[container]);
        let padded = format!("{}{secret}", "x".repeat(73));
        job["metadata"]["annotations"] =
            json!({"helm.sh/hook": secret, "helm.sh/hook-delete-policy": padded});
        job["spec"]["template"]["spec"]["restartPolicy"] = json!(format!("a {secret}"));
        let out = printed(&serde_json::to_string_pretty(&job).unwrap());
        assert!(out.contains("MW004") && out.contains("MW010"), "{out}");
        assert!(!out.contains("s3cr3t"), "{out}");
    }
}

/// Values are quoted where they are shown, and quoting changes some characters.
#[test]
fn a_password_is_hidden_as_it_is_quoted() {
    for secret in [
        "s3cr3t'\"x",
        "s3\u{301}cr3t",
        "s3cr3t\\\n\u{7}x",
        "\u{301}s3cr3t\u{200d}",
    ] {
        let env = json!([{"name": "DB_PASSWORD", "value": secret}]);
        let mut job = job(&[json!({"env": env})]);
        job["spec"]["template"]["spec"]["restartPolicy"] = json!(secret);
        job["metadata"]["annotations"] = json!({"helm.sh/hook": secret});
        let text = job.to_string();
        let object: Object<'_> = serde_json::from_str(&text).unwrap();
        let job = Job::new(&object, Kind::Job, "billing");
        let policy = validate::builtin();
        let mut findings = policy.evaluate(&job, policy.select(&job), Action::Deny);
        credentials::hide(&job, findings.iter_mut().flat_map(Finding::texts_mut));
        let told: Vec<_> = findings.iter().map(Finding::message).collect();
        let told = told.concat();
        assert!(told.contains("MW004") && !told.contains("cr3t"), "{told}");
    }
}

/// What was not searched may hold a password that is shown elsewhere.
#[test]
fn a_job_with_unread_text_is_told_of_without_its_values() {
    let long = "pwd=$(X),".repeat(BUDGET / 9 + 1);
    let mut job =
        job(&[json!({"args": [long], "env": [{"name": "PG_PASSWORD", "value": "hunter2zqkk"}]})]);
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("hunter2zqkk");
    let out = printed(&serde_json::to_string_pretty(&job).unwrap());
    assert!(
        out.contains("found \"***\"") && !out.contains("hunter2"),
        "{out}"
    );
}

const SCRIPT: &str = r#"apiVersion: batch/v1
kind: Job
metadata:
  name: billing-migrate-1766361600
  labels: {app.kubernetes.io/component: migration}
spec:
  template:
    spec:
      containers:
        - name: a
          command:
            - sh
            - -c
            - |
              set -e

              echo svc
              mysql -h db -u svc -phunter22 billing
              PGPASSWORD=hunter23 psql; DB_PW=hunter24
          args: ["a", "--url=postgres://svc:hunter25@db"]
          env:
            - name: CONFIG
              value: >
                user: x
                password: hunter26
"#;

#[test]
fn a_finding_points_at_the_line_within_a_block() {
    let (_, found) = checked(SCRIPT);
    let found: Vec<_> = found
        .iter()
        .filter(|located| located.finding.rule.id == "MW010")
        .map(|located| {
            let source = located.source.as_ref().unwrap();
            let at = source.position;
            (at.line, at.column, source.line.trim())
        })
        .collect();
    assert_eq!(
        found,
        [
            (18, 36, "mysql -h db -u svc -p******** billing"),
            (19, 26, "PGPASSWORD=******** psql; DB_PW=********"),
            (
                20,
                45,
                "args: [\"a\", \"--url=postgres://svc:********@db\"]"
            ),
            (25, 27, "password: ********"),
        ]
    );
    assert!(!printed(SCRIPT).contains("hunter"));
}
