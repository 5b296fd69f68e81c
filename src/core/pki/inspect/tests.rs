//! One good folder, with one thing changed.

use super::*;
use crate::cli::render::certificates;
use crate::core::pki::make::{Ca, Leaf};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn ca(name: &str) -> Ca {
    Ca::make(name, now(), DAY * 365).unwrap()
}

fn leaf(ca: &Ca) -> Leaf {
    let names = ["localhost".to_owned(), "::1".to_owned()];
    ca.leaf("a server", &names, now(), DAY * 90).unwrap()
}

fn text(file: &str, pem: &str) -> Text {
    Text {
        file: file.to_owned(),
        pem: pem.into(),
    }
}

fn folder(ca_pem: &str, leaf: &Leaf) -> Folder {
    Folder {
        ca: Some(text("ca.crt", ca_pem)),
        cert: text("tls.crt", &leaf.cert_pem),
        key: Some(text("tls.key", &leaf.key_pem)),
    }
}

fn asked(at: Timestamp, names: &[&str]) -> Question {
    Question {
        now: at,
        warn_before: DAY * 7,
        names: names
            .iter()
            .map(|name| ServerName::try_from((*name).to_owned()).unwrap())
            .collect(),
    }
}

fn report(folder: &Folder, question: &Question) -> Report {
    let mut report = Report::default();
    report.folder(folder, question).unwrap();
    report
}

/// What is wrong, as `file: message`.
fn wrong(report: &Report) -> Vec<String> {
    let wrong = report.checks.iter().filter(|check| !check.ok);
    wrong
        .map(|check| format!("{}: {}", check.file, check.message))
        .collect()
}

#[test]
fn a_good_folder_is_told_in_full() {
    let ca = ca("a CA");
    let leaf = leaf(&ca);
    let report = report(&folder(ca.cert_pem(), &leaf), &asked(now(), &["localhost"]));
    let mut out = Vec::new();
    certificates::human(&report, now(), &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "\
ca.crt
  Subject:     CN=a CA
  Issuer:      CN=a CA
  Not before:  2026-03-01 11:00:00 UTC
  Not after:   2027-03-01 12:00:00 UTC (365 days left)
  CA:          yes
  Key:         ECDSA P-256

tls.crt
  Subject:     CN=a server
  Issuer:      CN=a CA
  Names:       localhost, ::1
  Not before:  2026-03-01 11:00:00 UTC
  Not after:   2026-05-30 12:00:00 UTC (90 days left)
  CA:          no
  Key:         ECDSA P-256

ok      tls.crt: CN=a server expires in 90 days, at 2026-05-30 12:00:00 UTC
ok      tls.crt: valid for localhost
ok      tls.crt: tls.key holds its key
ok      tls.crt: signed by CN=a CA of ca.crt
ok      ca.crt: CN=a CA expires in 365 days, at 2027-03-01 12:00:00 UTC
"
    );
    assert!(report.is_fine());
}

#[test]
fn the_json_has_the_same() {
    let ca = ca("a CA");
    let report = report(&folder(ca.cert_pem(), &leaf(&ca)), &asked(now(), &[]));
    let mut out = Vec::new();
    certificates::json(&report, &mut out).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "version": 1,
            "certificates": [{
                "file": "ca.crt", "subject": "CN=a CA", "issuer": "CN=a CA", "names": [],
                "not_before": "2026-03-01T11:00:00Z", "not_after": "2027-03-01T12:00:00Z",
                "is_ca": true, "key": "ECDSA P-256", "days_left": 365,
            }, {
                "file": "tls.crt", "subject": "CN=a server", "issuer": "CN=a CA",
                "names": ["localhost", "::1"],
                "not_before": "2026-03-01T11:00:00Z", "not_after": "2026-05-30T12:00:00Z",
                "is_ca": false, "key": "ECDSA P-256", "days_left": 90,
            }],
            "checks": [
                {"file": "tls.crt", "ok": true,
                 "message": "CN=a server expires in 90 days, at 2026-05-30 12:00:00 UTC"},
                {"file": "tls.crt", "ok": true, "message": "tls.key holds its key"},
                {"file": "tls.crt", "ok": true, "message": "signed by CN=a CA of ca.crt"},
                {"file": "ca.crt", "ok": true,
                 "message": "CN=a CA expires in 365 days, at 2027-03-01 12:00:00 UTC"},
            ],
            "ok": true,
        })
    );
}

#[test]
fn dates_are_judged() {
    let ca = ca("a CA");
    let folder = folder(ca.cert_pem(), &leaf(&ca));
    let end = now() + DAY * 90;
    for (at, expected) in [
        (now() + DAY * 83, &[][..]),
        (
            now() + DAY * 83 + SignedDuration::from_secs(1),
            &["tls.crt: CN=a server expires in 6 days, at 2026-05-30 12:00:00 UTC"],
        ),
        (
            end - SignedDuration::from_mins(61),
            &["tls.crt: CN=a server expires in 1 hour, at 2026-05-30 12:00:00 UTC"],
        ),
        (
            end + DAY * 2,
            &["tls.crt: CN=a server expired 2 days ago, at 2026-05-30 12:00:00 UTC"],
        ),
        (
            now() - SignedDuration::from_hours(2),
            &[
                "tls.crt: CN=a server is not valid before 2026-03-01 11:00:00 UTC",
                "tls.crt: no certificate of ca.crt vouches for it: none is valid now",
            ],
        ),
        (
            now() + DAY * 366,
            &[
                "tls.crt: CN=a server expired 276 days ago, at 2026-05-30 12:00:00 UTC",
                "tls.crt: no certificate of ca.crt vouches for it: none is valid now",
            ],
        ),
    ] {
        assert_eq!(wrong(&report(&folder, &asked(at, &[]))), expected, "{at}");
    }
}

#[test]
fn names_are_judged() {
    let ca = ca("a CA");
    let good = folder(ca.cert_pem(), &leaf(&ca));
    let question = asked(now(), &["localhost", "::1", "warden.ns.svc", "127.0.0.1"]);
    assert_eq!(
        wrong(&report(&good, &question)),
        [
            "tls.crt: not valid for warden.ns.svc, only for localhost, ::1",
            "tls.crt: not valid for 127.0.0.1, only for localhost, ::1",
        ]
    );
    let nameless = ca.leaf("a server", &[], now(), DAY * 90).unwrap();
    assert_eq!(
        wrong(&report(
            &folder(ca.cert_pem(), &nameless),
            &asked(now(), &[])
        )),
        ["tls.crt: no client accepts it: it has no DNS name and no IP address (subjectAltName)"]
    );
}

#[test]
fn key_and_certificate_must_belong_together() {
    let ca = ca("a CA");
    let mut folder = folder(ca.cert_pem(), &leaf(&ca));
    folder.key = Some(text("tls.key", &leaf(&ca).key_pem));
    assert_eq!(
        wrong(&report(&folder, &asked(now(), &[]))),
        [
            "tls.crt: failed to pair certificate and private key: the key belongs to another certificate (the server's own must come first in the certificate file)"
        ]
    );
    folder.key = None;
    assert_eq!(
        wrong(&report(&folder, &asked(now(), &[]))),
        ["tls.crt: there is no tls.key beside it"]
    );
}

#[test]
fn the_ca_must_have_signed_it() {
    let (one, other) = (ca("a CA"), ca("a CA"));
    let folder = folder(other.cert_pem(), &leaf(&one));
    assert_eq!(
        wrong(&report(&folder, &asked(now(), &[]))),
        [
            "tls.crt: no certificate of ca.crt vouches for it: invalid peer certificate: BadSignature"
        ]
    );
    let stranger = ca("another CA");
    let folder = self::folder(stranger.cert_pem(), &leaf(&one));
    assert_eq!(
        wrong(&report(&folder, &asked(now(), &[]))),
        [
            "tls.crt: no certificate of ca.crt vouches for it: invalid peer certificate: UnknownIssuer"
        ]
    );
}

/// While a CA is replaced the former one stays in the bundle until it expires.
#[test]
fn a_ca_that_is_not_in_use_may_expire() {
    let former = Ca::make("a CA", now() - DAY * 30, DAY * 29).unwrap();
    let current = ca("a CA");
    let bundle = former.cert_pem().to_owned() + current.cert_pem();
    let bundled = folder(&bundle, &leaf(&current));
    let report = report(&bundled, &asked(now(), &[]));
    assert_eq!(wrong(&report), [""; 0]);
    assert_eq!(report.certificates[0].days_left, -1);

    let mut alone = Report::default();
    alone
        .file(&text("ca.crt", &bundle), &asked(now(), &[]))
        .unwrap();
    assert_eq!(
        wrong(&alone),
        ["ca.crt: CN=a CA expired 24 hours ago, at 2026-02-28 12:00:00 UTC"]
    );
}

#[test]
fn what_is_no_certificate_is_told_without_it() {
    let ca = ca("a CA");
    let key = leaf(&ca).key_pem;
    let mut report = Report::default();
    let error = report
        .file(&text("tls.key", &key), &asked(now(), &[]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to inspect tls.key: failed to find a certificate in the certificate file: it must hold the server's certificate and then its intermediates, as PEM"
    );
    assert!(!format!("{error:?}").contains(key.lines().nth(1).unwrap()));
}
