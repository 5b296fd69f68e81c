//! Converts the path of an error of the typed parser.

use std::fmt::Write;

use json_patch::jsonptr::PointerBuf;
use serde_path_to_error::{Path, Segment};

/// The path of the faulty value: as JSON Pointer, and in readable form.
pub(crate) fn of(path: &Path) -> (PointerBuf, String) {
    let (mut pointer, mut name) = (PointerBuf::new(), String::new());
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                pointer.push_back(*index);
                let _ = write!(name, "[{index}]");
            }
            Segment::Map { key } => {
                pointer.push_back(key);
                let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric());
                match (plain, name.is_empty()) {
                    (true, true) => name.push_str(key),
                    (true, false) => drop(write!(name, ".{key}")),
                    (false, _) => drop(write!(name, "['{key}']")),
                }
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    (pointer, name)
}
