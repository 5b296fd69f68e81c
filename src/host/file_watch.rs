//! Watches small files by reading them every [`PERIOD`].
//!
//! Kubernetes updates a mounted Secret or `ConfigMap` by replacing the symlink `..data`, so a notification on the file
//! itself stops working after the first change. Not for large files, nor for changes that must be seen sooner.

use std::{fs, io, path::PathBuf, time::Duration};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often files are read.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// A read that takes this many periods is logged.
const SLOW: u32 = 10;

/// The contents of the watched files, in the order of their paths.
pub(crate) type Contents = Vec<Vec<u8>>;

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {}: {source}", path.display())]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

/// A set of files and their contents when they were last read.
#[derive(Debug)]
pub(crate) struct Poller {
    paths: Vec<PathBuf>,
    seen: Option<Result<Contents, String>>,
}

impl Poller {
    /// Does not read the files yet: the first [`poll`](Self::poll) returns their contents.
    #[must_use]
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, seen: None }
    }

    /// Reads the files. Returns their contents, or the reason why they cannot be read; `None` if that is the same as at
    /// the last call.
    pub(crate) fn poll(&mut self) -> Option<Result<Contents, ReadError>> {
        let found = self.read();
        let same = match (&self.seen, &found) {
            (Some(Ok(seen)), Ok(found)) => seen == found,
            (Some(Err(seen)), Err(found)) => *seen == found.to_string(),
            _ => false,
        };
        if same {
            return None;
        }
        self.seen = Some(
            found
                .as_ref()
                .map(Clone::clone)
                .map_err(ToString::to_string),
        );
        Some(found)
    }

    /// Polls every `period` and calls `apply` after each change. Returns only if reading panics.
    pub(crate) async fn run(
        mut self,
        period: Duration,
        mut apply: impl FnMut(Result<Contents, ReadError>),
    ) {
        let files: Vec<_> = self
            .paths
            .iter()
            .map(|path| path.to_string_lossy())
            .collect();
        let files = files.join(", ");
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Reading from a network volume may hang. That must not block requests.
            let mut reading = tokio::task::spawn_blocking(move || {
                let new = self.poll();
                (self, new)
            });
            let mut read = timeout(period * SLOW, &mut reading).await;
            if read.is_err() {
                tracing::warn!(
                    %files, "failed to read files in time; their last contents stay in use until the read ends"
                );
                read = Ok(reading.await);
                tracing::info!(%files, "the slow read of files has ended");
            }
            let Ok(Ok((poller, new))) = read else {
                return;
            };
            self = poller;
            if let Some(new) = new {
                apply(new);
            }
        }
    }

    fn read(&self) -> Result<Contents, ReadError> {
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|source| ReadError {
                path: path.clone(),
                source,
            })
        };
        self.paths.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::io::Write;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    /// Sends each line of the log.
    struct Lines(UnboundedSender<String>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let line = String::from_utf8_lossy(bytes).trim().to_owned();
            self.0.send(line).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe is read until its writer closes it.
    #[tokio::test]
    async fn a_read_that_hangs_is_logged_once_and_so_is_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let [path, next] = ["policy.yaml", "next"].map(|name| dir.path().join(name));
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        fs::write(&next, "new").unwrap();
        let (sender, mut log) = unbounded_channel();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || Lines(sender.clone()))
            .finish();
        let _logs = tracing::subscriber::set_default(subscriber);
        let (sender, mut contents) = unbounded_channel();
        let poller = Poller::new(vec![path.clone()]);
        let polling = poller.run(Duration::from_millis(1), move |read| {
            sender.send(read.unwrap()).unwrap();
        });
        let files = format!("files={}", path.display());
        let limit = Duration::from_secs(20);
        let test = async {
            // Open for reading, too, so that opening it waits for nobody.
            let mut pipe = fs::File::options()
                .read(true)
                .write(true)
                .open(&path)
                .unwrap();
            let slow = "WARN failed to read files in time; their last contents stay in use until the read ends";
            let line = timeout(limit, log.recv()).await.expect("a line");
            assert_eq!(line.unwrap(), format!("{slow} {files}"));
            fs::rename(&next, &path).unwrap();
            pipe.write_all(b"old").unwrap();
            drop(pipe);
            assert_eq!(contents.recv().await.unwrap(), [b"old"]);
            assert_eq!(contents.recv().await.unwrap(), [b"new"]);
            let ended = "INFO the slow read of files has ended";
            assert_eq!(log.recv().await.unwrap(), format!("{ended} {files}"));
            assert!(log.is_empty());
        };
        tokio::select! {
            biased;
            () = test => (),
            () = polling => panic!("the polling has ended"),
        }
    }

    #[test]
    fn tells_every_distinct_state_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.yaml");
        let mut poller = Poller::new(vec![path.clone()]);
        let error = poller.poll().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "failed to read {}: No such file or directory (os error 2)",
                path.display()
            )
        );
        assert!(poller.poll().is_none());
        fs::write(&path, "a").unwrap();
        assert_eq!(poller.poll().unwrap().unwrap(), [b"a"]);
        assert!(poller.poll().is_none());
        fs::write(&path, "b").unwrap();
        assert_eq!(poller.poll().unwrap().unwrap(), [b"b"]);
        fs::remove_file(&path).unwrap();
        assert!(poller.poll().unwrap().is_err());
        assert!(poller.poll().is_none());
        fs::write(&path, "b").unwrap();
        assert_eq!(poller.poll().unwrap().unwrap(), [b"b"]);
    }

    #[test]
    fn sees_a_swapped_symlink() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (version, text) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("policy.yaml"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/policy.yaml", at("policy.yaml")).unwrap();
        let mut poller = Poller::new(vec![at("policy.yaml")]);
        assert_eq!(poller.poll().unwrap().unwrap(), [b"old"]);
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(poller.poll().unwrap().unwrap(), [b"new"]);
    }
}
