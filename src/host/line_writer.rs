//! One file descriptor, written to with or without the risk of waiting for its reader.
//!
//! Not for deciding what to do when it cannot be written to: that is its users' part.

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

/// What POSIX promises a pipe takes whole or not at all, and what fits the one free slot that
/// makes Linux call a pipe writable, in bytes.
const SLOT: usize = 4096;

/// The device number of `/dev/null`, `/dev/full` and their like has this major part on Linux.
const MEMORY_DEVICES: u64 = 1;

/// How long a write may keep its caller waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    /// A regular file, or `/dev/null`: no reader to wait for.
    File,
    /// A pipe: waits for its reader when full.
    Pipe,
    /// A terminal or a socket: may wait, and may take a part of a line only.
    Other,
}

/// How a write without waiting ended.
pub(crate) enum Attempt {
    /// So many bytes were taken by the kernel; the others would have to wait.
    Written(usize),
    /// Nothing was written, because it would have to wait.
    WouldWait,
    /// Nothing was written, because nobody can tell whether it would have to wait.
    MayWait,
    /// It failed after so many bytes.
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

    /// How many bytes of several lines are best written at once, so that none is torn: by others
    /// who write to the same pipe, or by a long wait in the middle of them.
    pub(crate) fn at_once(&self) -> usize {
        match self.medium {
            Medium::File => 16 * SLOT,
            Medium::Pipe => SLOT,
            Medium::Other => 0,
        }
    }

    /// Writes as much of `bytes` as needs no waiting.
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
                // Whoever shares the open file may have made it non-blocking.
                Err(Errno::AGAIN) => {
                    self.writable(Duration::from_secs(1));
                }
                Ok(_) | Err(_) => return Attempt::Failed { written },
            }
        }
        Attempt::Written(written)
    }

    /// Waits until something can be written, or until a write would fail; false when the time is
    /// over first.
    pub(crate) fn writable(&self, timeout: Duration) -> bool {
        let timeout = Timespec::try_from(timeout).ok();
        let mut fds = [PollFd::new(&self.file, PollFlags::OUT)];
        // An error here (a signal, say) is no proof that it can be written to.
        poll(&mut fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// Asking first and writing then leaves a gap in which another process may fill a shared pipe
    /// and leave us waiting in the kernel; since Linux 6.4 a single write can be told not to wait.
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
        assert_eq!(LineWriter::new(socket.into()).unwrap().medium, Medium::Other);
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
