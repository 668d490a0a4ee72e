//! Named pipes (fifo(7)): a name in the file system, behind it a pipe for as long as anybody has it open.
//!
//! Opening waits for the other end, as open(2) does. Who opens an end does so alone, under a lock on one byte of the file;
//! whoever finds there that nobody has it open begins with an empty pipe of the size it was made with: what the last
//! users left is gone. Bytes, ends and errors are `pipe`'s.
#![forbid(unsafe_code)]

use crate::adapters::pipe::{
    GATE, Handle, Options, Reader, Writer, byte, end, errno, other, reads, view, writes,
};
use crate::channel::stream::{End, Stop};
use crate::layout::KIND_PAGES;
use crate::liveness::Hold;
use crate::open;
use crate::segment::{self, Place, Segment, Trust};
use crate::sync::Deadline;
use nix::errno::Errno;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The name of a pipe: in POSIX shared memory, or a path. Making one of these does nothing yet.
#[derive(Clone, Debug)]
pub struct Fifo(Place);

/// How to wait for the other end to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Until it is.
    Wait,
    /// Until then; ETIMEDOUT after that.
    Until(Instant),
    /// Not at all (O_NONBLOCK): a reading end opens at once, a writing end only if somebody reads, else ENXIO. The
    /// handle's calls do not wait either, until it is told otherwise.
    Nonblocking,
}

/// Both ends in one handle (O_RDWR): it never sees the end of the stream, nor is without a reader.
pub struct Both(Handle);

end!(Both);
reads!(Both);
writes!(Both);

impl Fifo {
    /// The name `name`, as `/orders`, in POSIX shared memory.
    ///
    /// # Errors
    /// EINVAL, ENAMETOOLONG.
    pub fn named(name: &str) -> io::Result<Fifo> {
        Place::named(name).map(Fifo).map_err(errno)
    }

    /// This path, on a file system that can map files shared.
    ///
    /// # Errors
    /// EINVAL, ENAMETOOLONG.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Fifo> {
        Place::file(path.as_ref()).map(Fifo).map_err(errno)
    }

    /// Makes the name, for this user alone or with more permission bits (mkfifo(3)). It stays until it is unlinked.
    ///
    /// # Errors
    /// EEXIST, ENOENT, EACCES, ENOSPC; EINVAL for a mode that lets others write, which a segment must not.
    pub fn create(&self, options: &Options, mode: u32) -> io::Result<()> {
        if mode & !0o777 != 0 || mode & 0o600 != 0o600 || mode & 0o022 != 0 {
            return Err(Errno::EINVAL.into());
        }
        let (fd, segment, _) = match options.create(self.0.clone(), mode) {
            // Whatever has the name, it is taken.
            Err(_) if self.0.path().is_some_and(|path| path.symlink_metadata().is_ok()) => {
                return Err(Errno::EEXIST.into());
            }
            made => made?,
        };
        segment.publish(fd.as_fd()).map_err(errno)
    }

    /// Takes the name away (unlink(2)). Whoever has it open goes on.
    ///
    /// # Errors
    /// ENOENT; EINVAL if it is something else.
    pub fn unlink(&self) -> io::Result<()> {
        segment::unlink_segment(&self.0).map_err(errno)
    }

    /// Opens the reading end; by default waits until somebody has the writing end open, or opens it.
    ///
    /// # Errors
    /// ENOENT, EACCES, EINTR, ETIMEDOUT; EINVAL if it is no FIFO of slipring; EOPNOTSUPP if it relies on membarrier(2), which
    /// this process may not call.
    pub fn open_reader(&self, how: Open) -> io::Result<Reader> {
        self.open(&[End::Reading], how).map(Reader)
    }

    /// Opens the writing end; by default waits until somebody has the reading end open, or opens it.
    ///
    /// # Errors
    /// As [`Fifo::open_reader`]; ENXIO if it is not to wait and nobody reads.
    pub fn open_writer(&self, how: Open) -> io::Result<Writer> {
        self.open(&[End::Writing], how).map(Writer)
    }

    /// Opens both ends. Never waits.
    ///
    /// # Errors
    /// ENOENT, EACCES; EINVAL if it is no FIFO of slipring.
    pub fn open_both(&self, how: Open) -> io::Result<Both> {
        self.open(&[End::Reading, End::Writing], how).map(Both)
    }

    fn open(&self, ends: &'static [End], how: Open) -> io::Result<Handle> {
        let fd = Segment::open_file(&self.0, Trust::Kernel).map_err(errno)?;
        let (fd, segment) = Segment::open(self.0.clone(), fd, Trust::Kernel).map_err(errno)?;
        let view = view(&segment, KIND_PAGES)?;
        open::join_fences(&segment).map_err(errno)?;
        let segment = Arc::new(segment);
        // The gate's description is not the end's: it is closed here, and with it the gate is open, come what may.
        let gate = Hold::new(&segment, fd.as_fd()).map_err(errno)?;
        let enter = || {
            let hold = Hold::new(&segment, fd.as_fd()).map_err(errno)?;
            let unused = ![End::Reading, End::Writing].into_iter().any(|end| hold.others_hold(byte(end)));
            let handle = Handle::new(hold, segment.clone(), view.clone(), ends)?;
            if unused {
                handle.stream().discard();
            }
            if how == Open::Nonblocking && ends == [End::Writing] && handle.nobody_has(End::Reading) {
                return Err(Errno::ENXIO.into());
            }
            // Whom to wait for, and since when: who opens the other end from now on counts, even if it closes it at once.
            let partner = match *ends {
                [end] if how != Open::Nonblocking && handle.nobody_has(other(end)) => {
                    Some((other(end), handle.stream().openings(other(end))))
                }
                _ => None,
            };
            ends.iter().for_each(|&end| handle.stream().arrive(end));
            Ok::<_, io::Error>((handle, partner))
        };
        let (handle, partner) = gate.alone_at(&segment, GATE, enter).map_err(errno)??;
        handle.set_nonblocking(how == Open::Nonblocking)?;
        if let Some((end, before)) = partner {
            let deadline = match how {
                Open::Until(when) => Deadline::at(when),
                _ => Deadline::NEVER,
            };
            handle.stream().wait_for_partner(end, before, deadline).map_err(|stop| match stop {
                Stop::TimedOut => Errno::ETIMEDOUT,
                _ => Errno::EINTR,
            })?;
        }
        Ok(handle)
    }
}
