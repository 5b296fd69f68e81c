//! The API server's audit log, read once: it grows to hundreds of megabytes, and tests that wait ask for it again and
//! again.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::Path,
    sync::Mutex,
};

use serde_json::Value;

/// The lines read so far, by the namespace of their object.
#[derive(Default)]
struct Read {
    end: u64,
    lines: HashMap<String, Vec<String>>,
}

/// The events of a namespace so far, oldest first. One process reads one log.
pub(super) fn of_namespace(log: &Path, namespace: &str) -> Vec<Value> {
    static READ: Mutex<Option<Read>> = Mutex::new(None);
    let mut read = READ.lock().unwrap();
    let read = read.get_or_insert_default();
    read.on(log);
    parsed(read.lines.get(namespace).into_iter().flatten())
}

/// The events of a user so far, oldest first.
pub(super) fn of_user(log: &Path, user: &str) -> Vec<Value> {
    let mark = format!("\"username\":\"{user}\"");
    let lines = BufReader::new(File::open(log).unwrap()).lines();
    parsed(
        lines
            .map(Result::unwrap)
            .filter(|line| line.contains(&mark)),
    )
}

impl Read {
    fn on(&mut self, log: &Path) {
        let mut log = BufReader::new(File::open(log).unwrap());
        log.seek(SeekFrom::Start(self.end)).unwrap();
        let mut line = String::new();
        while let Ok(length @ 1..) = log.read_line(&mut line) {
            // The last line may be half written.
            if !line.ends_with('\n') {
                break;
            }
            self.end += length as u64;
            if let Some(namespace) = namespace(&line) {
                let lines = self.lines.entry(namespace.to_owned()).or_default();
                lines.push(line.clone());
            }
            line.clear();
        }
    }
}

fn namespace(line: &str) -> Option<&str> {
    let (_, object) = line.split_once("\"objectRef\":{")?;
    let (object, _) = object.split_once('}')?;
    let (_, namespace) = object.split_once("\"namespace\":\"")?;
    namespace.split('"').next()
}

fn parsed(lines: impl Iterator<Item = impl AsRef<str>>) -> Vec<Value> {
    lines
        .filter_map(|line| serde_json::from_str(line.as_ref()).ok())
        .collect()
}
