//! Where `recv` writes: standard output or a file, with writev(2) straight from the ring's memory, no buffer between.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};

use super::signals::{Signals, poll_for};
use crate::fail::Fail;

/// An open output.
pub(crate) struct Sink {
    file: File,
    name: String,
    /// Not a plain file: writing may block until somebody reads.
    may_block: bool,
    /// A plain file that we were given by its path, with what was in it before.
    to_empty: bool,
}

impl Sink {
    /// Makes or opens the file at `path`; none or `-` is standard output. What a file has in it stays until
    /// [`Sink::begin`].
    pub(crate) fn open(path: Option<&Path>) -> Result<Sink, Fail> {
        let path = path.filter(|path| *path != Path::new("-"));
        let (file, name) = match path {
            Some(path) => {
                let file = File::options().write(true).create(true).truncate(false).open(path);
                (file, path.display().to_string())
            }
            None => (io::stdout().as_fd().try_clone_to_owned().map(File::from), "standard output".into()),
        };
        let file = file.map_err(|e| Fail::io(&name, &e))?;
        let is_plain = file.metadata().is_ok_and(|meta| meta.is_file());
        Ok(Sink { file, name, may_block: !is_plain, to_empty: is_plain && path.is_some() })
    }

    /// Empties the file. To be called when nothing but the transfer can fail any more: a command typed twice finds the
    /// ring taken, and must not take what the first one has written.
    pub(crate) fn begin(&mut self) -> Result<(), Fail> {
        match std::mem::take(&mut self.to_empty) {
            true => self.file.set_len(0).map_err(|e| Fail::io(format!("cannot empty {}", self.name), &e)),
            false => Ok(()),
        }
    }

    /// Writes all of `bytes`, then `end`. A reader that has gone is a normal end ([`Fail::BrokenPipe`]).
    pub(crate) fn write(&mut self, signals: &Signals, bytes: &[u8], end: &[u8]) -> Result<(), Fail> {
        let mut parts = [IoSlice::new(bytes), IoSlice::new(end)];
        let mut left = &mut parts[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let written = if self.may_block {
                signals.wait_for(self.file.as_fd(), PollFlags::POLLOUT, None)?;
                signals.let_through(|| self.file.write_vectored(left))
            } else {
                self.file.write_vectored(left)
            };
            match written {
                Ok(0) => return Err(Fail::Error(format!("cannot write {}: no progress", self.name))),
                Ok(n) => IoSlice::advance_slices(&mut left, n),
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(e) if e.kind() == ErrorKind::BrokenPipe => return Err(Fail::BrokenPipe),
                Err(e) => return Err(Fail::io(format!("cannot write {}", self.name), &e)),
            }
        }
        Ok(())
    }

    /// Fails if the reader of the output has gone, which a transfer without traffic would not notice by writing.
    pub(crate) fn alive(&self) -> Result<(), Fail> {
        if !self.may_block {
            return Ok(());
        }
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::empty())];
        poll_for(&mut fds, Some(Duration::ZERO))?;
        match fds[0].revents() {
            Some(now) if now.intersects(PollFlags::POLLERR | PollFlags::POLLHUP) => Err(Fail::BrokenPipe),
            _ => Ok(()),
        }
    }
}
