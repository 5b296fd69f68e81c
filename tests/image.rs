//! How the image is packed and described, without building it: that takes minutes, and is part of the
//! tests on a real node. `tests/cluster/image --verify` compares two whole builds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

/// The archive of an image that holds this program.
fn packed(program: &Path) -> Vec<u8> {
    let archive = program.with_extension("tar");
    let status = Command::new("python3")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/cluster/mkimg.py"
        ))
        .arg(&archive)
        .args(["migration-warden:dev", "user=65532:65532", "label:a=b"])
        .arg(format!("{}=/migration-warden", program.display()))
        .args(["--", "/migration-warden"])
        .status();
    assert!(status.unwrap().success());
    fs::read(archive).unwrap()
}

#[test]
fn the_same_program_makes_the_same_image() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    for program in [&one, &other] {
        fs::write(program, "a program").unwrap();
    }
    let file = fs::File::options().write(true).open(&other).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(86_400))
        .unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o600))
        .unwrap();
    assert!(packed(&one) == packed(&other), "two images of one program");

    fs::write(&other, "another program").unwrap();
    assert!(packed(&one) != packed(&other), "one image of two programs");
}

/// cargo's values are what `tests/cluster/image` takes.
#[test]
fn the_dockerfile_says_what_cargo_says() {
    let dockerfile =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile")).unwrap();
    let labels = [
        ("title", env!("CARGO_PKG_NAME")),
        ("version", env!("CARGO_PKG_VERSION")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("description", env!("CARGO_PKG_DESCRIPTION")),
    ];
    for (label, value) in labels {
        let written = format!("org.opencontainers.image.{label}=\"{value}\"");
        assert!(dockerfile.contains(&written), "no {written}");
    }
    let toolchain =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/rust-toolchain.toml")).unwrap();
    let version = toolchain.split('"').nth(1).unwrap();
    assert!(
        dockerfile.contains(&format!("FROM rust:{version}-")),
        "not built by Rust {version}"
    );
}
