//! `certs make` and `certs inspect` as a user meets them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use assert_cmd::Command;
use jiff::{SignedDuration, Timestamp};
use migration_warden::host::tls::issue;
use serde_json::Value;
use tempfile::TempDir;

/// Exit code, standard output and standard error of `certs` in this folder.
fn certs(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("migration-warden").unwrap();
    let output = command
        .current_dir(dir)
        .arg("certs")
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn openssl(dir: &Path, args: &str) {
    let mut command = Command::new("openssl");
    command
        .current_dir(dir)
        .args(args.split(' '))
        .assert()
        .success();
}

fn json(dir: &Path, args: &[&str]) -> (i32, Value) {
    let args = [&["inspect", "-o", "json"], args].concat();
    let (code, out, err) = certs(dir, &args);
    assert_eq!(err, "");
    (code, serde_json::from_str(&out).unwrap())
}

/// The messages of the failed checks.
fn failed(report: &Value) -> Vec<&str> {
    let checks = report["checks"].as_array().unwrap();
    checks
        .iter()
        .filter(|check| check["ok"] == false)
        .map(|check| check["message"].as_str().unwrap())
        .collect()
}

#[test]
fn what_is_made_is_good_for_its_names() {
    let dir = TempDir::new().unwrap();
    let args = "make --dir d --name warden.example --name *.ns.svc --name fd00::1 --lifetime 30d";
    let (code, out, err) = certs(dir.path(), &args.split(' ').collect::<Vec<_>>());
    assert_eq!((code, err.as_str()), (0, ""));
    let (head, rest) = out.split_once(", until ").unwrap();
    assert_eq!(
        head,
        "d/ca.crt: the CA to trust; its key was not kept\nd/tls.crt: the certificate for warden.example, *.ns.svc, fd00::1"
    );
    let (until, rest) = rest.split_once('\n').unwrap();
    assert_eq!(rest, "d/tls.key: its private key\n");
    let mode = fs::metadata(dir.path().join("d/tls.key")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);

    let names = ["warden.example", "a.ns.svc", "fd00::1"];
    let mut args = vec!["d"];
    args.extend(names.iter().flat_map(|name| ["--name", name]));
    let (code, report) = json(dir.path(), &args);
    assert_eq!((code, &report["ok"]), (0, &Value::Bool(true)));
    let leaf = &report["certificates"][1];
    let end: Timestamp = leaf["not_after"].as_str().unwrap().parse().unwrap();
    assert_eq!(end.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(), until);
    assert_eq!(leaf["days_left"], 29);

    let (code, report) = json(dir.path(), &["d", "--name", "other.example"]);
    assert_eq!(code, 1);
    assert_eq!(
        failed(&report),
        ["not valid for other.example, only for warden.example, *.ns.svc, fd00::1"]
    );
    assert_eq!(json(dir.path(), &["d", "--warn-before", "31d"]).0, 1);
}

#[test]
fn the_folder_of_serve_is_the_default() {
    let dir = TempDir::new().unwrap();
    assert_eq!(certs(dir.path(), &["make"]).0, 0);
    let (code, out, _) = certs(dir.path(), &["inspect", "--name", "localhost"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("certs/dev/ca.crt\n  Subject:     CN=migration-warden development CA\n")
    );
    assert!(out.contains("\n  Names:       localhost, 127.0.0.1, ::1\n"));
    let key = fs::read_to_string(dir.path().join("certs/dev/tls.key")).unwrap();
    assert!(!out.contains(key.lines().nth(1).unwrap()));
}

#[test]
fn ours_is_made_anew_and_a_users_own_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let make = || certs(dir.path(), &["make", "--dir", "."]);
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    assert_eq!(make().0, 0);
    let before = read("tls.crt");
    assert_eq!(make().0, 0);
    assert_ne!(read("tls.crt"), before);
    assert_eq!(json(dir.path(), &["."]).0, 0);

    openssl(
        dir.path(),
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 100 -subj /CN=own -keyout own.key -out own.crt",
    );
    for (name, own) in [
        ("ca.crt", "own.crt"),
        ("tls.crt", "own.crt"),
        ("tls.key", "own.key"),
    ] {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join(name), read(own)).unwrap();
        let (code, out, err) = certs(dir.path(), &["make", "--dir", "."]);
        assert_eq!((code, out.as_str()), (2, ""));
        assert_eq!(
            err,
            format!(
                "error: failed to replace ./{name}: it is not a development certificate of ours, so it is left alone; remove it, or choose another directory\n"
            )
        );
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), read(own));
    }
}

/// `serve` renews what `certs make` made: for the same names, and no sooner than it must.
#[test]
fn the_names_survive_a_renewal() {
    let dir = TempDir::new().unwrap();
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let now = Timestamp::now();
    let names = ["warden.example".to_owned()];
    issue::make(dir.path(), &names, days(9), now - days(7)).unwrap();
    let text = || fs::read_to_string(dir.path().join("tls.crt")).unwrap();
    let made = text();
    issue::ensure(dir.path(), now - days(2)).unwrap();
    assert_eq!(text(), made);
    issue::ensure(dir.path(), now).unwrap();
    assert_ne!(text(), made);
    assert_eq!(json(dir.path(), &[".", "--name", "warden.example"]).0, 0);
}

#[test]
fn a_chain_with_an_intermediate_is_followed() {
    let dir = TempDir::new().unwrap();
    fs::write(
        dir.path().join("x.cnf"),
        "[ca]\nbasicConstraints=critical,CA:true\n[leaf]\nsubjectAltName=DNS:localhost\n",
    )
    .unwrap();
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        dir.path(),
        &format!("req -x509 {new_key} -subj /CN=root -days 100 -keyout root.key -out ca.crt"),
    );
    for (name, signer, key, section) in [
        ("middle", "ca", "root", "ca"),
        ("tls", "middle", "middle", "leaf"),
    ] {
        let request = format!("req {new_key} -subj /CN={name} -keyout {name}.key -out {name}.csr");
        openssl(dir.path(), &request);
        openssl(
            dir.path(),
            &format!(
                "x509 -req -in {name}.csr -CA {signer}.crt -CAkey {key}.key -CAcreateserial -days 90 -extfile x.cnf -extensions {section} -out {name}.crt"
            ),
        );
    }
    let (code, report) = json(dir.path(), &["."]);
    assert_eq!(code, 1);
    assert_eq!(
        failed(&report),
        ["no certificate of ./ca.crt vouches for it: invalid peer certificate: UnknownIssuer"]
    );
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    fs::write(
        dir.path().join("tls.crt"),
        read("tls.crt") + &read("middle.crt"),
    )
    .unwrap();
    assert_eq!(json(dir.path(), &[".", "--name", "localhost"]).0, 0);
}

/// As `openssl req -x509` makes them: it is its own CA, and clients that trust it take it.
#[test]
fn a_certificate_that_signed_itself_is_fine_where_it_is_trusted() {
    let dir = TempDir::new().unwrap();
    openssl(
        dir.path(),
        "req -x509 -newkey rsa:2048 -nodes -days 100 -subj /CN=own/O=x -addext subjectAltName=DNS:localhost -keyout tls.key -out tls.crt",
    );
    fs::copy(dir.path().join("tls.crt"), dir.path().join("ca.crt")).unwrap();
    let (code, report) = json(dir.path(), &[".", "--name", "localhost"]);
    assert_eq!((code, failed(&report)), (0, vec![]));
    assert_eq!(report["certificates"][0]["key"], "RSA 2048");
    assert_eq!(report["certificates"][0]["subject"], "CN=own, O=x");
}

#[test]
fn what_cannot_be_read_is_told() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    fs::write(dir.path().join("x.pem"), "-----BEGIN CERTIFICATE-----\nAA").unwrap();
    for (path, expected) in [
        ("missing.crt", "there is no missing.crt"),
        ("empty", "there is no tls.crt and no ca.crt in empty"),
        (
            "x.pem",
            "failed to inspect x.pem: failed to read the certificate file as PEM: it is cut off or damaged",
        ),
    ] {
        let (code, out, err) = certs(dir.path(), &["inspect", path]);
        assert_eq!((code, out.as_str()), (2, ""));
        assert_eq!(err, format!("error: {expected}\n"));
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let dir = TempDir::new().unwrap();
    for (args, expected) in [
        (
            "make --name a_b!",
            "invalid value 'a_b!' for '--name <NAME>': no DNS name and no IP address",
        ),
        (
            "make --lifetime 0s",
            "invalid value '0s' for '--lifetime <DURATION>': must be more than nothing and at most 3650d",
        ),
        (
            "make --lifetime 11y",
            "invalid value '11y' for '--lifetime <DURATION>': no duration; write one such as 30d or 12h",
        ),
        (
            "inspect --warn-before soon",
            "invalid value 'soon' for '--warn-before <DURATION>': no duration; write one such as 30d or 12h",
        ),
    ] {
        let (code, _, err) = certs(dir.path(), &args.split(' ').collect::<Vec<_>>());
        assert_eq!(code, 2);
        assert_eq!(err.lines().next().unwrap(), format!("error: {expected}"));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
