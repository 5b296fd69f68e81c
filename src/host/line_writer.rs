//! Writes lines to a file descriptor, either without waiting for its reader or until all is written.
//!
//! The caller decides what to do if a write fails or would have to wait.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{
    fs::{File, Metadata},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
    time::Duration,
};

/// In bytes: what a pipe accepts as a whole or not at all (`PIPE_BUF` of POSIX), and what fits into the one free slot
/// that makes Linux report a pipe as writable.
const SLOT: usize = 4096;

/// Major device number of `/dev/null`, `/dev/full` and similar devices on Linux.
const MEMORY_DEVICES: u64 = 1;

/// What a write may have to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    /// A regular file, or `/dev/null`: nothing.
    File,
    /// A pipe: its reader, if it is full.
    Pipe,
    /// A terminal or a socket: its reader. It may also accept only a part of a line.
    Other,
}

/// Result of a write.
pub(crate) enum Attempt {
    /// The kernel accepted this many bytes; the others would have to wait.
    Written(usize),
    /// Nothing was written, because it would have to wait.
    WouldWait,
    /// Nothing was written, because it cannot be known whether the write would have to wait.
    MayWait,
    /// The write failed after this many bytes.
    Failed { written: usize },
}

/// An open file descriptor to write lines to.
#[derive(Debug)]
pub(crate) struct LineWriter {
    file: File,
    medium: Medium,
}

impl LineWriter {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let file = File::from(fd);
        let medium = medium(&file.metadata()?);
        Ok(Self { file, medium })
    }

    /// How many bytes of several lines to write at once, so that no line is torn by another process that writes to the
    /// same pipe, or by a long wait in the middle of a line.
    pub(crate) fn at_once(&self) -> usize {
        match self.medium {
            Medium::File => 16 * SLOT,
            Medium::Pipe => SLOT,
            Medium::Other => 0,
        }
    }

    /// Writes as much of `bytes` as is possible without waiting.
    pub(crate) fn attempt(&self, bytes: &[u8]) -> Attempt {
        match self.medium {
            Medium::File => self.write_all(bytes),
            Medium::Pipe => match self.write_without_waiting(bytes) {
                Ok(written) if written > 0 => Attempt::Written(written),
                Err(Errno::AGAIN | Errno::INTR) => Attempt::WouldWait,
                Ok(_) | Err(_) => Attempt::Failed { written: 0 },
            },
            Medium::Other => Attempt::MayWait,
        }
    }

    /// Writes all of `bytes`, however long the reader takes.
    pub(crate) fn write_all(&self, bytes: &[u8]) -> Attempt {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match rustix::io::write(&self.file, rest) {
                Ok(more) if more > 0 => written += more,
                Err(Errno::INTR) => {}
                // Another process that shares the open file may have made it non-blocking.
                Err(Errno::AGAIN) => {
                    self.writable(Duration::from_secs(1));
                }
                Ok(_) | Err(_) => return Attempt::Failed { written },
            }
        }
        Attempt::Written(written)
    }

    /// Waits until a write would succeed or fail at once. Returns false if `timeout` expires first.
    pub(crate) fn writable(&self, timeout: Duration) -> bool {
        let timeout = Timespec::try_from(timeout).ok();
        let mut fds = [PollFd::new(&self.file, PollFlags::OUT)];
        // An error, such as an interruption by a signal, does not mean that a write would succeed.
        poll(&mut fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// Between asking whether a pipe is writable and writing to it, another process may fill the pipe, and the write
    /// would block. Since Linux 6.4 a flag makes a single write to a pipe return instead of waiting.
    #[cfg(target_os = "linux")]
    fn write_without_waiting(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let at_current_offset = u64::MAX;
        let written = rustix::io::pwritev2(
            &self.file,
            &[io::IoSlice::new(bytes)],
            at_current_offset,
            rustix::io::ReadWriteFlags::NOWAIT,
        );
        match written {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.ask_then_write(bytes),
            written => written,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn write_without_waiting(&self, bytes: &[u8]) -> Result<usize, Errno> {
        self.ask_then_write(bytes)
    }

    fn ask_then_write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        if self.writable(Duration::ZERO) {
            let fits = bytes.get(..SLOT).unwrap_or(bytes);
            rustix::io::write(&self.file, fits)
        } else {
            Err(Errno::AGAIN)
        }
    }
}

fn medium(metadata: &Metadata) -> Medium {
    let kind = metadata.file_type();
    let is_memory_device = kind.is_char_device() && metadata.rdev() >> 8 == MEMORY_DEVICES;
    if kind.is_file() || is_memory_device {
        Medium::File
    } else if kind.is_fifo() {
        Medium::Pipe
    } else {
        Medium::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_file_and_the_null_device_never_wait() {
        let file = LineWriter::new(tempfile::tempfile().unwrap().into()).unwrap();
        assert_eq!(file.medium, Medium::File);
        let null = File::options().write(true).open("/dev/null").unwrap();
        assert_eq!(LineWriter::new(null.into()).unwrap().medium, Medium::File);
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(
            LineWriter::new(socket.into()).unwrap().medium,
            Medium::Other
        );
    }

    #[test]
    fn asking_first_never_waits() {
        let (mut reader, writer) = io::pipe().unwrap();
        let output = LineWriter::new(writer.into()).unwrap();
        let line = [b'x'; 2 * SLOT];
        let mut written = 0;
        while output.ask_then_write(&line) == Ok(SLOT) {
            written += SLOT;
        }
        assert_eq!(output.ask_then_write(&line), Err(Errno::AGAIN));
        let mut page = [0; SLOT];
        reader.read_exact(&mut page).unwrap();
        assert_eq!(output.ask_then_write(&line), Ok(SLOT));
        assert!(written >= SLOT);
    }
}
