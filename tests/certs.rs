//! `certs make` as a user meets it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt, path::Path};

use assert_cmd::Command;
use jiff::{SignedDuration, Timestamp};
use migration_warden::core::pki::facts::CertificateFacts;
use migration_warden::host::tls::issue;
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

/// Whether a client that trusts the CA of this folder takes its certificate for this name.
fn is_good_for(dir: &Path, name: &str) -> bool {
    let option = match name.parse::<IpAddr>() {
        Ok(_) => "-verify_ip",
        Err(_) => "-verify_hostname",
    };
    let verify = ["verify", "-CAfile", "ca.crt", option, name, "tls.crt"];
    let mut command = Command::new("openssl");
    let verified = command.current_dir(dir).args(verify).output().unwrap();
    verified.status.success()
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

    let folder = dir.path().join("d");
    for name in ["warden.example", "a.ns.svc", "fd00::1"] {
        assert!(is_good_for(&folder, name), "{name}");
    }
    assert!(!is_good_for(&folder, "other.example"));
    let cert = fs::read(folder.join("tls.crt")).unwrap();
    let end = CertificateFacts::first(&cert).unwrap().not_after;
    assert_eq!(end.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(), until);
    let left = end.duration_since(Timestamp::now());
    assert!((719..=720).contains(&left.as_hours()), "{left}");
}

#[test]
fn the_folder_of_serve_is_the_default() {
    let dir = TempDir::new().unwrap();
    assert_eq!(certs(dir.path(), &["make"]).0, 0);
    let folder = dir.path().join("certs/dev");
    for name in ["localhost", "127.0.0.1", "::1"] {
        assert!(is_good_for(&folder, name), "{name}");
    }
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
    assert!(is_good_for(dir.path(), "localhost"));

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
                "error: failed to replace ./{name}: migration-warden did not create it, so it is not overwritten; remove it, or choose another folder\n"
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
    assert!(is_good_for(dir.path(), "warden.example"));
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let dir = TempDir::new().unwrap();
    for (args, expected) in [
        (
            "make --name a_b!",
            "invalid value 'a_b!' for '--name <NAME>': neither a DNS name nor an IP address; write one such as localhost or 127.0.0.1",
        ),
        (
            "make --lifetime 0s",
            "invalid value '0s' for '--lifetime <DURATION>': must be longer than 0s and at most 3650d",
        ),
        (
            "make --lifetime 11y",
            "invalid value '11y' for '--lifetime <DURATION>': not a duration; write one such as 30d or 12h",
        ),
    ] {
        let (code, _, err) = certs(dir.path(), &args.split(' ').collect::<Vec<_>>());
        assert_eq!(code, 2);
        assert_eq!(err.lines().next().unwrap(), format!("error: {expected}"));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
