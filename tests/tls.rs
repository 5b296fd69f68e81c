//! Certificates: which are taken, how they are made, and how new ones come into use.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what helps a test may fail as a test does"
)]

mod common;

use axum_server::tls_rustls::RustlsConfig;
use common::{client_config, connect_with, until};
use jiff::{SignedDuration, Timestamp};
use migration_warden::core::pki::server_config;
use migration_warden::host::tls::issue;
use migration_warden::host::tls::live::LiveTls;
use migration_warden::host::tls::reload::TlsFiles;
use migration_warden::server::listen::{self, Limits};
use migration_warden::server::metrics::Metrics;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::{
    ClientConfig, ProtocolVersion, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};

struct Pair {
    ca: String,
    cert: String,
    key: String,
}

/// A server certificate with its own CA.
fn pair() -> Pair {
    let dir = tempfile::tempdir().unwrap();
    issue::ensure(dir.path(), Timestamp::now()).unwrap();
    let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
    Pair {
        ca: read("ca.crt"),
        cert: read("tls.crt"),
        key: read("tls.key"),
    }
}

/// A caller's certificate with its own CA.
fn client() -> Pair {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    Pair {
        ca: ca.pem(),
        cert: params.signed_by(&key, &ca).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// Runs openssl in a directory; what it needs is part of every development machine and of CI.
fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
}

/// Serves with `config` and returns the address.
async fn serve(config: RustlsConfig) -> SocketAddr {
    let handle = axum_server::Handle::new();
    let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    tokio::spawn(listen::https(
        listener,
        config,
        axum::Router::new(),
        Limits::default(),
        handle.clone(),
        Arc::new(Metrics::new()),
    ));
    handle.listening().await.unwrap()
}

async fn trusts(address: SocketAddr, ca: &str) -> bool {
    let config = client_config(ca.as_bytes(), &[&TLS13, &TLS12], "http/1.1");
    connect_with(address, config).await.is_ok()
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let pair = pair();
    let loaded = server_config(pair.cert.as_bytes(), pair.key.as_bytes(), None).unwrap();
    let address = serve(RustlsConfig::from_config(loaded.config)).await;
    for (offered, spoken) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let config = client_config(pair.ca.as_bytes(), &[offered], "http/1.1");
        let stream = connect_with(address, config).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(spoken));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&tls_1_1_hello()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    // A fatal alert: protocol_version.
    assert_eq!(answer.await.unwrap()[5..7], [2, 70]);
}

/// A `ClientHello` whose highest version is TLS 1.1.
fn tls_1_1_hello() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    // No session, one cipher suite (ECDHE-ECDSA-AES128-SHA), no compression.
    hello.extend([0, 0, 2, 0xc0, 0x09, 1, 0]);
    // supported_groups: P-256; signature_algorithms: ECDSA with SHA-256; ec_point_formats.
    let extensions = [
        [0, 10, 0, 4, 0, 2, 0, 23].as_slice(),
        &[0, 13, 0, 4, 0, 2, 4, 3],
        &[0, 11, 0, 2, 1, 0],
    ]
    .concat();
    hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend(extensions);
    let length = |len: usize| u16::try_from(len).unwrap().to_be_bytes();
    let mut record = vec![22, 3, 1];
    record.extend(length(hello.len() + 4));
    record.extend([1, 0]);
    record.extend(length(hello.len()));
    record.extend(hello);
    record
}

#[test]
fn keys_may_be_pkcs8_sec1_or_pkcs1() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    for (make, convert, header) in [
        (
            "ecparam -name prime256v1 -genkey -out key.pem",
            "ec -in key.pem -out sec1.pem",
            "BEGIN EC PRIVATE KEY",
        ),
        (
            "genrsa -out key.pem 2048",
            "rsa -in key.pem -traditional -out pkcs1.pem",
            "BEGIN RSA PRIVATE KEY",
        ),
    ] {
        openssl(dir.path(), make);
        openssl(dir.path(), convert);
        openssl(
            dir.path(),
            "pkcs8 -topk8 -nocrypt -in key.pem -out pkcs8.pem",
        );
        openssl(
            dir.path(),
            "req -x509 -key key.pem -subj /CN=x -out cert.pem",
        );
        let old = convert.rsplit(' ').next().unwrap();
        assert!(String::from_utf8(read(old)).unwrap().contains(header));
        for key in ["key.pem", "pkcs8.pem", old] {
            server_config(&read("cert.pem"), &read(key), None)
                .unwrap_or_else(|e| panic!("{key}: {e}"));
        }
    }
}

#[tokio::test]
async fn a_chain_is_served_whole() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("x.cnf"),
        "[ca]\nbasicConstraints=critical,CA:true\n[leaf]\nsubjectAltName=DNS:localhost\n",
    )
    .unwrap();
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        dir.path(),
        &format!("req -x509 {new_key} -subj /CN=root -keyout root.key -out root.crt"),
    );
    for (name, signer, section) in [("middle", "root", "ca"), ("leaf", "middle", "leaf")] {
        let request = format!("req {new_key} -subj /CN={name} -keyout {name}.key -out {name}.csr");
        openssl(dir.path(), &request);
        openssl(
            dir.path(),
            &format!(
                "x509 -req -in {name}.csr -CA {signer}.crt -CAkey {signer}.key -CAcreateserial -extfile x.cnf -extensions {section} -out {name}.crt"
            ),
        );
    }
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let chain = read("leaf.crt") + &read("middle.crt");
    let loaded = server_config(chain.as_bytes(), read("leaf.key").as_bytes(), None).unwrap();
    let address = serve(RustlsConfig::from_config(loaded.config)).await;
    assert!(trusts(address, &read("root.crt")).await);
}

#[test]
fn what_cannot_be_served_is_explained_without_the_key() {
    let (one, other) = (pair(), pair());
    let secret = one.key.lines().nth(1).unwrap();
    let flattened = one.key.replace('\n', " ");
    let encrypted = one.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let no_key = "failed to find a private key in the key file: it must hold one unencrypted PKCS#8, SEC1 or PKCS#1 key, as PEM";
    let no_certificate = "failed to find a certificate in the certificate file: it must hold the server's certificate and then its intermediates, as PEM";
    let mismatch = "failed to pair certificate and private key: the key belongs to another certificate (the server's own must come first in the certificate file)";
    for (cert, key, expected) in [
        (&*one.cert, &*other.key, mismatch),
        (&(one.ca.clone() + &one.cert), &one.key, mismatch),
        (&one.cert, "", no_key),
        (&one.cert, &one.cert, no_key),
        (&one.cert, &flattened, no_key),
        (&one.cert, &encrypted, no_key),
        (
            &one.cert,
            garbage,
            "failed to use the private key: only ECDSA (P-256, P-384), Ed25519 and RSA (2048 bits and more) keys are supported",
        ),
        ("", &one.key, no_certificate),
        (&one.key, &one.key, no_certificate),
        (
            &one.cert[..one.cert.len() / 2],
            &one.key,
            "failed to read the certificate file as PEM: it is cut off or damaged",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &one.key,
            "failed to read the server's certificate as X.509: it is damaged",
        ),
    ] {
        let error = server_config(cert.as_bytes(), key.as_bytes(), None).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains(secret));
    }
}

#[test]
fn development_certificates_are_made_once_and_renewed_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("certs/dev");
    let now = Timestamp::now();
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let issued = issue::ensure(&dir, now).unwrap();
    assert_eq!(issued.ca, Some(dir.join("ca.crt")));
    assert_eq!(
        (&issued.cert, &issued.key),
        (&dir.join("tls.crt"), &dir.join("tls.key"))
    );
    let mode = fs::metadata(&issued.key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [".lock", "ca.crt", "tls.crt", "tls.key"],
        "the CA's key is not kept"
    );

    let cert = || fs::read_to_string(&issued.cert).unwrap();
    let first = cert();
    assert_eq!(issue::ensure(&dir, now + days(334)).unwrap(), issued);
    assert_eq!(cert(), first);
    assert_eq!(issue::ensure(&dir, now + days(336)).unwrap(), issued);
    let renewed = cert();
    assert_ne!(renewed, first);
    let key = fs::read(&issued.key).unwrap();
    let loaded = server_config(renewed.as_bytes(), &key, None).unwrap();
    assert_eq!(
        loaded.not_after.as_second(),
        (now + days(336 + 365)).as_second()
    );

    // What of ours is damaged or incomplete is made anew.
    fs::write(&issued.key, "").unwrap();
    issue::ensure(&dir, now + days(336)).unwrap();
    assert!(server_config(cert().as_bytes(), &fs::read(&issued.key).unwrap(), None).is_ok());
}

#[test]
fn a_users_own_certificate_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    openssl(
        dir.path(),
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=own -keyout tls.key -out tls.crt",
    );
    let before = fs::read(dir.path().join("tls.crt")).unwrap();
    let long_expired = Timestamp::now() + SignedDuration::from_hours(24 * 400);
    let issued = issue::ensure(dir.path(), long_expired).unwrap();
    assert_eq!(issued.ca, None);
    assert_eq!(fs::read(&issued.cert).unwrap(), before);
    for (gone, left) in [("tls.key", "tls.crt"), ("tls.crt", "tls.key")] {
        let path = |name| dir.path().join(name);
        let text = fs::read(path(gone)).unwrap();
        fs::remove_file(path(gone)).unwrap();
        let error = issue::ensure(dir.path(), Timestamp::now()).unwrap_err();
        let expected = format!(
            "failed to use {}: migration-warden did not create it, and {} is missing; add that file, or choose another folder",
            path(left).display(),
            path(gone).display()
        );
        assert_eq!(error.to_string(), expected);
        fs::write(path(gone), text).unwrap();
    }
}

#[test]
fn processes_that_start_together_agree_on_one_certificate() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let issued = issue::ensure(dir.path(), Timestamp::now()).unwrap();
                let (cert, key) = (
                    fs::read(issued.cert).unwrap(),
                    fs::read(issued.key).unwrap(),
                );
                server_config(&cert, &key, None).unwrap();
            });
        }
    });
}

#[test]
fn the_lock_is_no_way_to_another_file() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, victim) = (dir.path().join("dir"), dir.path().join("victim"));
    fs::create_dir(&folder).unwrap();
    fs::write(&victim, "precious").unwrap();
    let lock = folder.join(".lock");
    let fails = |expected: &str| {
        let now = Timestamp::now();
        let made = issue::make(&folder, &issue::names(), SignedDuration::from_hours(1), now);
        for error in [made.unwrap_err(), issue::ensure(&folder, now).unwrap_err()] {
            let expected = format!("failed to open {}: {expected}", lock.display());
            assert_eq!(error.to_string(), expected);
        }
    };
    symlink("../victim", &lock).unwrap();
    fails("Too many levels of symbolic links (os error 40)");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    // Nobody is waited for, either.
    fs::remove_file(&lock).unwrap();
    let made = Command::new("mkfifo").arg(&lock).status().unwrap();
    assert!(made.success());
    fails("No such device or address (os error 6)");
    // What is there stays as it is, a second name of another file included.
    fs::remove_file(&lock).unwrap();
    fs::hard_link(&victim, &lock).unwrap();
    issue::ensure(&folder, Timestamp::now()).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn half_a_pair_that_another_process_is_writing_is_waited_for() {
    let (made, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    issue::ensure(made.path(), Timestamp::now()).unwrap();
    let copy = |name: &str| {
        fs::copy(made.path().join(name), dir.path().join(name)).unwrap();
    };
    let other = fs::File::create(dir.path().join(".lock")).unwrap();
    other.lock().unwrap();
    copy("tls.key");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| issue::ensure(dir.path(), Timestamp::now()));
        // The kernel lists who waits for a lock with an arrow.
        let process = format!(" {} ", std::process::id());
        let waits = |line: &str| line.contains("->") && line.contains(&process);
        while !fs::read_to_string("/proc/locks")
            .unwrap()
            .lines()
            .any(waits)
        {
            assert!(!waiting.is_finished(), "it does not wait");
            std::thread::yield_now();
        }
        copy("ca.crt");
        copy("tls.crt");
        other.unlock().unwrap();
        assert!(waiting.join().unwrap().is_ok());
    });
}

/// A mounted Secret: files that are links through `..data`, which is swapped as a whole.
struct Volume(tempfile::TempDir);

impl Volume {
    fn new(pair: &Pair) -> Self {
        let volume = Self(tempfile::tempdir().unwrap());
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), volume.0.path().join(name)).unwrap();
        }
        volume.swap("..1", &pair.cert, &pair.key);
        volume
    }

    fn swap(&self, version: &str, cert: &str, key: &str) {
        let at = |name: &str| self.0.path().join(name);
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("tls.crt"), cert).unwrap();
        fs::write(at(version).join("tls.key"), key).unwrap();
        symlink(version, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_pair_comes_into_use_and_a_bad_one_does_not() {
    let (first, second, third) = (pair(), pair(), pair());
    let volume = Volume::new(&first);
    let path = |name: &str| volume.0.path().join(name);
    let metrics = Arc::new(Metrics::new());
    let live = LiveTls::new(metrics.certificates.clone()).unwrap();
    let files = (path("tls.crt"), path("tls.key"));
    let files = TlsFiles::certificate(files.0, files.1, &live).unwrap();
    let address = serve(live.config()).await;
    tokio::spawn(files.keep_fresh(Duration::from_millis(10)));
    let reloads = |result: &str| {
        let series = format!("migration_warden_certificate_reloads_total{{result=\"{result}\"}} ");
        let text = metrics.encode();
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.unwrap().parse::<u64>().unwrap()
    };
    assert!(trusts(address, &first.ca).await);

    volume.swap("..2", &second.cert, &second.key);
    until("the second", async || trusts(address, &second.ca).await).await;
    assert!(!trusts(address, &first.ca).await);
    assert_eq!((reloads("success"), reloads("failure")), (1, 0));

    // Half of a swap: counted once, however often it is seen, and completed later.
    volume.swap("..3", &third.cert, &second.key);
    until("the failure", async || reloads("failure") == 1).await;
    assert_eq!((reloads("success"), reloads("failure")), (1, 1));
    assert!(trusts(address, &second.ca).await);

    fs::remove_file(path("..data")).unwrap();
    until("the absence", async || reloads("failure") == 2).await;
    assert!(trusts(address, &second.ca).await);

    volume.swap("..4", &third.cert, &third.key);
    until("the third", async || trusts(address, &third.ca).await).await;
    assert_eq!((reloads("success"), reloads("failure")), (2, 2));
}

#[test]
fn a_certificate_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let live = LiveTls::new(Metrics::new().certificates).unwrap();
    let loaded = TlsFiles::certificate(path("tls.crt"), path("tls.key"), &live);
    let expected = format!(
        "failed to read {}: No such file or directory (os error 2)",
        path("tls.crt").display()
    );
    assert_eq!(loaded.unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn before_there_is_a_certificate_no_handshake_succeeds() {
    let first = pair();
    let live = LiveTls::new(Metrics::new().certificates).unwrap();
    let address = serve(live.config()).await;
    assert!(!trusts(address, &first.ca).await);
    live.show(first.cert.as_bytes(), first.key.as_bytes())
        .unwrap();
    assert!(trusts(address, &first.ca).await);
}

/// A caller that shows this certificate, if any, gets an answer.
async fn lets_in(address: SocketAddr, ca: &str, shows: Option<&Pair>) -> bool {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shows {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let cert = CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes());
            builder
                .with_client_auth_cert(vec![cert], key.unwrap())
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // In TLS 1.3 the client is done before the server has seen its certificate, so only an answer tells.
    let Ok(mut stream) = common::connect_with(address, config).await else {
        return false;
    };
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = Vec::new();
    stream.write_all(request).await.is_ok()
        && stream.read_to_end(&mut answer).await.is_ok()
        && answer.starts_with(b"HTTP/1.1")
}

#[tokio::test]
async fn only_callers_of_the_demanded_ca_are_let_in() {
    let (server, known, stranger) = (pair(), client(), client());
    let live = LiveTls::new(Metrics::new().certificates).unwrap();
    live.demand(known.ca.as_bytes()).unwrap();
    live.show(server.cert.as_bytes(), server.key.as_bytes())
        .unwrap();
    let address = serve(live.config()).await;
    assert!(lets_in(address, &server.ca, Some(&known)).await);
    assert!(!lets_in(address, &server.ca, Some(&stranger)).await);
    assert!(!lets_in(address, &server.ca, None).await);
    // A new certificate does not let everybody in.
    let renewed = pair();
    live.show(renewed.cert.as_bytes(), renewed.key.as_bytes())
        .unwrap();
    assert!(!lets_in(address, &renewed.ca, None).await);
    live.demand(stranger.ca.as_bytes()).unwrap();
    assert!(lets_in(address, &renewed.ca, Some(&stranger)).await);
    assert!(!lets_in(address, &renewed.ca, Some(&known)).await);
    for broken in ["", "garbage", &known.key] {
        assert_eq!(
            live.demand(broken.as_bytes()).unwrap_err().to_string(),
            "failed to find a CA in the file of the callers' CA: it must hold the certificates of one or more \
             CAs, as PEM"
        );
    }
    assert!(lets_in(address, &renewed.ca, Some(&stranger)).await);
}
