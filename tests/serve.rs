//! The program as the README starts it: what it serves, prints, reloads, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "common/server.rs"]
mod server;

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;
use server::{PATIENCE, Server, example, good};

#[test]
fn the_readmes_review_gets_the_readmes_answer() {
    let server = Server::start(&[]);
    let (status, answer) = server.post("/validate", &example());
    assert_eq!(status, 200);
    let decision = server.decision();
    assert_eq!(decision["verdict"], "denied");
    let annotations = &answer["response"]["auditAnnotations"];
    assert_eq!(
        annotations["decision"], decision["id"],
        "the audit log leads to the decision"
    );
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let from = readme.find("<!-- curl:begin -->").unwrap();
    let part = &readme[from..readme.find("<!-- curl:end -->").unwrap()];
    let shown = part
        .split("```json\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let mut shown: Value = serde_json::from_str(shown).unwrap();
    // The one thing that is new each time.
    shown["response"]["auditAnnotations"]["decision"] = decision["id"].clone();
    assert_eq!(shown, answer);
}

#[test]
fn malformed_bodies_get_a_status_and_the_server_goes_on() {
    let server = Server::start(&[]);
    for body in [
        "",
        "{",
        "[]",
        "{\"apiVersion\":\"v1\"}",
        &"[".repeat(100_000),
    ] {
        let (status, answer) = server.post("/validate", body);
        assert_eq!(
            (status, &answer["kind"], &answer["reason"]),
            (400, &"Status".into(), &"BadRequest".into())
        );
    }
    assert_eq!(server.post("/mutate", &example()).0, 200);
    let metrics = server.get("/metrics");
    assert!(
        metrics.contains("migration_warden_requests_rejected_total{reason=\"malformed\"} 5\n"),
        "{metrics}"
    );
    assert!(metrics.contains("migration_warden_reviews_total{phase=\"mutate\",operation=\"CREATE\",verdict=\"denied\"} 1\n"));
    assert!(
        !metrics.contains("shop"),
        "no name of a Job or namespace is a label"
    );
}

#[test]
fn a_new_policy_is_taken_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
    std::fs::write(&path, head).unwrap();
    let server = Server::start(&["--config", path.to_str().unwrap()]);
    let verdict = || {
        let (_, answer) = server.post("/validate", &example());
        let decision = server.decision();
        assert_eq!(
            answer["response"]["auditAnnotations"]["policy"],
            decision["policy"]
        );
        (decision["verdict"].clone(), decision["policy"].clone())
    };
    let (first, before) = verdict();
    assert_eq!(first, "denied");
    std::fs::write(&path, format!("{head}profile: audit\n")).unwrap();
    server.logged(|line| line["message"] == "the policy file was reloaded");
    let (second, after) = verdict();
    assert_eq!((second, after != before), ("allowed".into(), true));
    std::fs::write(&path, format!("{head}profile: none\n")).unwrap();
    let kept = "failed to reload the policy file, the last valid policy stays in use";
    server.logged(|line| line["message"] == kept);
    let failures = "policy_reloads_total{result=\"failure\"} 1\n";
    assert!(server.get("/metrics").contains(failures));
    assert_eq!(verdict(), ("allowed".into(), after));
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200"));
}

#[test]
fn sigterm_ends_it_with_success() {
    let mut server = Server::start(&[]);
    let pid = server.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn a_second_signal_ends_the_wait() {
    let mut server = Server::start(&["--shutdown-delay", "1h"]);
    let pid = server.child.id().to_string();
    for signal in ["-TERM", "-INT"] {
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }
    assert_eq!(server.child.wait().unwrap().code(), Some(2));
}

/// A pipe is read until its writer closes it, so this one is read for ever, as a file on a network volume may be.
#[test]
fn a_read_that_hangs_does_not_keep_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let [path, pipe] = ["policy.yaml", "pipe"].map(|name| folder.path().join(name));
    let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
    std::fs::write(&path, head).unwrap();
    let mut server = Server::start(&["--config", path.to_str().unwrap()]);
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    std::fs::rename(&pipe, &path).unwrap();
    // Opens as soon as the server reads.
    let _open = std::fs::File::options().write(true).open(&path).unwrap();
    let process = Pid::from_child(&server.child);
    let ended = pidfd_open(process, PidfdFlags::empty()).unwrap();
    kill_process(process, Signal::TERM).unwrap();
    let limit = PATIENCE.try_into().unwrap();
    let mut ended = [PollFd::new(&ended, PollFlags::IN)];
    assert_eq!(poll(&mut ended, Some(&limit)), Ok(1), "it has not ended");
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn at_the_level_debug_each_review_is_a_line() {
    let server = Server::start(&["--log-level", "debug"]);
    server.post("/validate", &good());
    let line = server.logged(|line| line["verdict"] == "allowed");
    assert_eq!(
        line["message"],
        "reviewed CREATE Job shop/shop-migrate-1766361600"
    );
    for part in ["evaluation_us", "api_server_us", "decision_log_us"] {
        assert!(line[part].is_u64(), "{line}");
    }
}

/// The most memory that the process has had, in MiB.
fn peak(server: &Server) -> u64 {
    let status = format!("/proc/{}/status", server.child.id());
    let status = std::fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().trim_end_matches(" kB");
    peak.parse::<u64>().unwrap() / 1024
}

/// As much as fits into a review of `one` after another, with what stands before and behind them.
fn many(before: &str, one: &str, behind: &str) -> String {
    let count = (7_900_000 - before.len() - behind.len()) / (one.len() + 1);
    let list = vec![one; count].join(",");
    format!("{before}{list}{behind}")
}

#[test]
fn no_list_in_a_review_takes_its_memory() {
    let server = Server::start(&[]);
    let review = |object: &str| {
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","kind":{{"group":"batch","version":"v1","kind":"Job"}},"operation":"CREATE","namespace":"team",{object}}}}}"#
        )
    };
    let meta = |more: &str| review(&format!(r#""object":{{"metadata":{{{more}}}}}"#));
    let spec = |more: &str| {
        let labels =
            r#""metadata":{"name":"x","labels":{"app.kubernetes.io/component":"migration"}}"#;
        review(&format!(r#""object":{{{labels},"spec":{{{more}}}}}"#))
    };
    let pod = |more: &str| spec(&format!(r#""template":{{"spec":{{{more}}}}}"#));
    let container = |more: &str| pod(&format!(r#""containers":[{{{more}}}]"#));
    let rules = vec!["{}"; 9_000].join(",");
    let rules = format!(r#"{{"restartPolicyRules":[{rules}]}}"#);
    let mut inner = String::new();
    for _ in 0..25 {
        let lists = format!(
            r#""template":{{"spec":{{"containers":[{}]}}}}"#,
            vec!["{}"; 9_000].join(",")
        );
        let deeper = if inner.is_empty() {
            String::new()
        } else {
            format!(r#","jobTemplate":{{"spec":{{{inner}}}}}"#)
        };
        inner = lists + &deeper;
    }
    let nested = spec(&inner);
    let lists = [
        (review(r#""userInfo":{"groups":[@]},"object":{}"#), r#""""#),
        (meta(r#""labels":{@}"#), r#""":"""#),
        (meta(r#""annotations":{@}"#), r#""helm.sh/hook":"""#),
        (meta(r#""ownerReferences":[@]"#), "{}"),
        (meta(r#""managedFields":[@]"#), "{}"),
        (review(r#""object":{"status":{"conditions":[@]}}"#), "{}"),
        (spec(r#""podFailurePolicy":{"rules":[@]}"#), "{}"),
        (
            spec(r#""podFailurePolicy":{"rules":[{"onExitCodes":{"values":[@]}}]}"#),
            "1",
        ),
        (
            spec(r#""podFailurePolicy":{"rules":[{"onPodConditions":[@]}]}"#),
            "{}",
        ),
        (pod(r#""initContainers":[@]"#), "{}"),
        (pod(r#""containers":[@]"#), "{}"),
        (pod(r#""containers":[@]"#), &rules),
        (container(r#""command":[@]"#), r#""""#),
        (container(r#""args":[@]"#), r#""""#),
        (
            container(r#""env":[@]"#),
            r#"{"name":"PASSWORD","value":"x"}"#,
        ),
    ];
    let mut bodies: Vec<_> = lists
        .iter()
        .map(|(text, one)| {
            let (before, behind) = text.split_once('@').unwrap();
            many(before, one, behind)
        })
        .collect();
    bodies.push(nested);
    for body in &bodies {
        let (status, answer) = server.post("/validate", body);
        let message = answer["message"].as_str().unwrap_or_default();
        let expected = "the body is not an AdmissionReview: its lists and maps have more than 20000 entries at line 1";
        assert!(
            status == 400 && message.starts_with(expected),
            "{} {status} {message}",
            &body[..300]
        );
    }
    // As many as there may be, each with a finding, beside a text that has to be copied.
    let full = vec![r#"{"image":"x","restartPolicy":"Always"}"#; 19_990].join(",");
    let text = "x\\n".repeat(200_000);
    let full = pod(&format!(r#""containers":[{full},{{"args":["{text}"]}}]"#));
    assert_eq!(server.post("/validate", &full).0, 200);
    assert!(peak(&server) < 128, "{} MiB", peak(&server));
}

/// A kubelet's and a scraper's.
#[test]
fn an_admin_connection_that_is_used_outlives_those_that_are_not() {
    let server = Server::start(&[]);
    let mut used = std::net::TcpStream::connect(&server.admin).unwrap();
    let mut idle = Vec::new();
    for _ in 0..160 {
        idle.push(std::net::TcpStream::connect(&server.admin).unwrap());
        write!(used, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            let mut byte = [0];
            used.read_exact(&mut byte).expect("it is kept");
            answer.push(byte[0]);
        }
    }
}

#[test]
fn no_number_of_idle_connections_stops_it_or_takes_its_memory() {
    let server = Server::start(&[]);
    let head = format!("GET /livez HTTP/1.1\r\nX: {}", "a".repeat(60_000));
    // A handshake whose first message has not come to its end, in records of 16 KiB.
    let mut hello = Vec::new();
    for number in 0..4 {
        hello.extend([22, 3, 1, 0x3f, 0xfc]);
        let from = hello.len();
        hello.resize(from + 0x3ffc, 0);
        if number == 0 {
            hello[from..from + 4].copy_from_slice(&[1, 0, 0xff, 0xff]);
        }
    }
    let mut open = Vec::new();
    let mut hold = |address: &str, count: usize, bytes: &[u8]| {
        for _ in 0..count {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            // The server may have closed it already.
            let _ = stream.write_all(bytes);
            open.push(stream);
        }
    };
    for bytes in [&b""[..], head.as_bytes()] {
        hold(&server.admin, 160, bytes);
        assert!(server.get("/livez").starts_with("HTTP/1.1 200"));
    }
    for bytes in [&b""[..], b"\x16\x03\x01", &hello] {
        hold(&server.https, 530, bytes);
        assert_eq!(server.post("/validate", &good()).0, 200);
    }
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200"));
    let metrics = server.get("/metrics");
    assert!(
        metrics.contains("migration_warden_connections_refused_total 0\n"),
        "{metrics}"
    );
    assert!(peak(&server) < 128, "{} MiB", peak(&server));
}
