//! Reads the files that the command line names. `-` is standard input.

use std::io::Read;
use std::path::Path;

use anyhow::Context;

use crate::core::manifest;

/// The name of standard input in messages.
pub(super) const STDIN: &str = "<stdin>";

pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The name of the file in messages.
pub(super) fn name(path: &Path) -> String {
    if is_stdin(path) {
        STDIN.to_owned()
    } else {
        path.display().to_string()
    }
}

/// Reads a file. `flag` is the one that names it, for the message.
pub(super) fn bytes(path: &Path, flag: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if is_stdin(path) {
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let flag = flag.map_or_else(String::new, |flag| format!("{flag}: "));
    read.with_context(|| format!("{flag}failed to read {}", name(path)))
}

pub(super) fn text(path: &Path, flag: Option<&str>) -> anyhow::Result<String> {
    manifest::decode(bytes(path, flag)?).map_err(|error| {
        let place = error
            .position
            .map_or_else(String::new, |at| format!(":{}:{}", at.line, at.column));
        anyhow::anyhow!("{}{place}: {}", name(path), error.message)
    })
}
