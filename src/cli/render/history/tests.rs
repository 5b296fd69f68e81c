use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Layout, csv, table};
use crate::core::history::{Entry, History};

fn run(time: &str, attempt: i32, outcome: &str, tweak: impl FnOnce(&mut Value)) -> Value {
    let at = format!("2026-11-25T{time}Z");
    let stamp = at.parse::<Timestamp>().unwrap().as_second();
    let mut run = json!({
        "metadata": {"name": format!("run-{stamp}"), "namespace": "shop", "creationTimestamp": at},
        "spec": {
            "job": {"name": format!("shop-migrate-{stamp}"), "uid": format!("uid-{stamp}")},
            "release": {"name": "shop", "source": "instance-label"},
            "migration": "shop-migrate", "deployer": "Helm", "chart": "shop-1.4.2",
            "requestedBy": "ci", "decision": "01ac-7", "reviewed": true, "attempt": attempt,
        },
        "status": {"outcome": outcome, "admittedAt": at, "startedAt": at},
    });
    tweak(&mut run);
    run
}

fn entries(items: &[Value]) -> Vec<Entry> {
    let mut history = History::of(None);
    let page = json!({"metadata": {}, "items": items}).to_string();
    history.page(&page).unwrap();
    history.in_order()
}

fn all() -> Vec<Entry> {
    entries(&[
        run("02:00:00", 1, "Succeeded", |run| {
            run["status"]["finishedAt"] = json!("2026-11-25T02:00:04Z");
            run["status"]["exitCode"] = json!(0);
        }),
        run("03:12:07", 1, "Failed", |run| {
            run["status"]["finishedAt"] = json!("2026-11-25T03:13:19Z");
            run["status"]["reason"] = json!("BackoffLimitExceeded");
            run["status"]["exitCode"] = json!(3);
            run["status"]["message"] = json!("ERROR: relation \"orders\"\nalready exists\u{1b}[2J");
        }),
        run("03:20:00", 2, "Lost", |run| {
            // When it was found missing, which is no end.
            run["status"]["finishedAt"] = json!("2026-11-25T03:21:30Z");
            run["spec"]["reviewed"] = json!(false);
            run["spec"]["requestedBy"].take();
        }),
        run("03:30:00", 3, "Running", |run| {
            run["spec"]["exceptions"] = json!(["old-chart", "no-hook"]);
            run["spec"]["adopted"] = json!("detected");
        }),
        run("03:00:00", 1, "Deleted", |run| {
            run["metadata"]["namespace"] = json!("web");
            run["spec"]["release"]["name"] = json!("web");
        }),
    ])
}

fn written(entries: &[Entry], wide: bool, width: Option<usize>) -> Vec<u8> {
    let mut out = Vec::new();
    let now = "2026-11-25T03:50:03Z".parse().unwrap();
    table(entries, Layout { wide, width }, now, &mut out).unwrap();
    out
}

fn plain(entries: &[Entry], wide: bool, width: Option<usize>) -> String {
    let stripped = anstream::adapter::strip_bytes(&written(entries, wide, width)).into_vec();
    String::from_utf8(stripped).unwrap()
}

#[test]
fn a_table_fits_a_terminal() {
    let text = plain(&all(), false, Some(80));
    assert_eq!(
        text,
        "  \
         WHEN (UTC)           OUTCOME    TOOK   TRY  JOB                      BY
release shop in namespace shop
  2026-11-25 02:00:00  Succeeded  4s     1    shop-migrate-1795572000  ci
  2026-11-25 03:12:07  Failed     1m12s  1    shop-migrate-1795576327  ci
                       BackoffLimitExceeded, exit code 3: ERROR: relation \"or...
  2026-11-25 03:20:00  Lost       -      2    shop-migrate-1795576800  -
                       unreviewed: created without a decision
  2026-11-25 03:30:00  Running    20m3s  3    shop-migrate-1795577400  ci
                       adopted as detected; exempted by old-chart, no-hook
release web in namespace web
  2026-11-25 03:00:00  Deleted    -      1    shop-migrate-1795575600  ci
"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn where_there_is_no_terminal_nothing_is_cut() {
    let text = plain(&all(), false, None);
    let why = "BackoffLimitExceeded, exit code 3: ERROR: relation \"orders\" already exists [2J\n";
    assert!(text.contains(why), "{text}");
}

#[test]
fn wide_adds_what_deployed_it_and_the_decision() {
    let text = plain(&all()[..1], true, Some(80));
    let mut lines = text.lines();
    let head = lines.next().unwrap();
    assert!(
        head.ends_with("  BY  DEPLOYER  CHART       DECISION"),
        "{text}"
    );
    let row = lines.nth(1).unwrap();
    assert!(
        row.ends_with("  ci  Helm      shop-1.4.2  01ac-7"),
        "{text}"
    );
}

#[test]
fn outcomes_are_coloured() {
    let text = String::from_utf8(written(&all(), false, None)).unwrap();
    for coloured in [
        "\u{1b}[32mSucceeded\u{1b}[0m",
        "\u{1b}[31mFailed   \u{1b}[0m",
        "\u{1b}[36mRunning  \u{1b}[0m",
        "\u{1b}[33mLost     \u{1b}[0m",
    ] {
        assert!(text.contains(coloured), "{text:?}");
    }
}

#[test]
fn csv_is_quoted_and_no_formula() {
    let items = [run("02:00:00", 1, "Failed", |run| {
        run["spec"]["release"]["name"] = json!("=HYPERLINK(\"http://x\")");
        run["spec"]["requestedBy"] = json!("@SUM(1+1)*cmd|' /C calc'!A0");
        run["spec"]["chart"] = json!("-shop");
        run["spec"]["tool"] = json!("\t=1");
        run["spec"]["images"] = json!(["+a", "b"]);
        run["status"]["exitCode"] = json!(-1);
        run["status"]["message"] = json!("said \"no\", and\r\nmore");
    })];
    let mut out = Vec::new();
    csv::write(&entries(&items), &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "namespace,release,migration,job,job_uid,attempt,outcome,admitted_at,started_at,finished_at,\
         duration_seconds,reason,exit_code,message,requested_by,deployer,chart,tool,images,image_ids,\
         reviewed,decision,exceptions,run,adopted\r\n\
         shop,\"'=HYPERLINK(\"\"http://x\"\")\",shop-migrate,shop-migrate-1795572000,uid-1795572000,1,Failed,\
         2026-11-25T02:00:00Z,2026-11-25T02:00:00Z,,,,-1,\"said \"\"no\"\", and  more\",\
         '@SUM(1+1)*cmd|' /C calc'!A0,Helm,'-shop,' =1,'+a b,,true,01ac-7,,run-1795572000,\r\n"
    );
}

/// Names and order of the two are the same.
#[test]
fn csv_has_the_fields_of_json() {
    let entries = all();
    let mut out = Vec::new();
    csv::write(&entries, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let json = serde_json::to_string(&entries[0]).unwrap();
    let mut from = 0;
    for field in text.lines().next().unwrap().split(',') {
        let at = json[from..].find(&format!("\"{field}\":"));
        from += at.unwrap_or_else(|| panic!("{field} is not there in this order: {json}"));
    }
    let fields = serde_json::to_value(&entries[0]).unwrap();
    let count = text.lines().next().unwrap().split(',').count();
    assert_eq!(fields.as_object().unwrap().len(), count);
}

#[test]
fn nothing_is_an_empty_list() {
    let mut out = Vec::new();
    csv::write(&[], &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 1);
    assert_eq!(serde_json::to_string(&entries(&[])).unwrap(), "[]");
}
