//! Streams of bytes in both directions (SOCK_STREAM): a pipe's pages each way, and what a socket says that a pipe does not.
#![forbid(unsafe_code)]

use super::link::{Fail, IN, Link, OUT, credentials, set_timeout};
use super::listener::{Connection, connect, pair, sealed};
use super::{Credentials, Options};
use crate::adapters::nonblocking::set_nonblocking;
use crate::layout::KIND_PAGES;
use nix::errno::Errno;
use rustix::net::SocketType;
use rustix::net::sockopt::Timeout;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// One end of a stream in both directions. It closes with the last handle, here and in all forked children. There is no
/// SIGPIPE: a write that nobody could read is EPIPE.
pub struct Stream(Link);

impl Connection for Stream {}

impl sealed::Sealed for Stream {
    const TYPE: SocketType = SocketType::STREAM;
    const KIND: u32 = KIND_PAGES;

    fn pages(options: &Options) -> io::Result<[u64; 2]> {
        options.stream_pages()
    }

    fn of(link: Link) -> Self {
        Stream(link)
    }
}

/// What both kinds of connections can do.
macro_rules! connection {
    ($socket:ident) => {
        impl $socket {
            /// Connects to whoever listens at `path` (connect(2)). Done as soon as the connection stands in the backlog;
            /// waits only while that is full.
            ///
            /// # Errors
            /// ECONNREFUSED if nobody listens there, ENOENT, EACCES; EPROTOTYPE if it is another kind of socket; EAGAIN if
            /// it is not to wait and the backlog is full; EINTR, ENOSPC, ENOMEM, EMFILE. EACCES also if the listener
            /// belongs to another user, see [`Options::strangers`].
            pub fn connect(path: impl AsRef<Path>, options: &Options) -> io::Result<$socket> {
                connect(path.as_ref(), options)
            }

            /// Two ends, connected with each other (socketpair(2)), for this process and the children that it forks.
            ///
            /// # Errors
            /// ENOSPC, ENOMEM, EMFILE; EINVAL for an impossible size.
            pub fn pair(options: &Options) -> io::Result<($socket, $socket)> {
                pair(options)
            }

            /// Ends one direction or both, for all who have this end open, wherever (shutdown(2)). The peer reads what was
            /// written and then the end; what it would write is EPIPE.
            ///
            /// # Errors
            /// EMFILE, ENFILE.
            pub fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
                match self.0.shutdown(how) {
                    Err(Fail::Io(error)) => Err(error),
                    _ => Ok(()),
                }
            }

            /// Who the peer is: who connected, or who listened, at that time (SO_PEERCRED).
            ///
            /// # Errors
            /// EBADF if somebody closed the descriptor.
            pub fn peer_cred(&self) -> io::Result<Credentials> {
                credentials(self.0.fd())
            }

            /// Whether calls that would wait fail with EAGAIN (O_NONBLOCK). Said of the open end: clones and forked
            /// children share it.
            ///
            /// # Errors
            /// EBADF if somebody closed the descriptor.
            pub fn set_nonblocking(&self, yes: bool) -> io::Result<()> {
                set_nonblocking(self.0.fd(), yes)
            }

            /// For how long a call waits to receive, then EAGAIN; `None`: for ever (SO_RCVTIMEO). Said of the open end.
            ///
            /// # Errors
            /// EINVAL for no time at all.
            pub fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
                set_timeout(self.0.fd(), Timeout::Recv, time)
            }

            /// For how long a call waits to send, then EAGAIN; `None`: for ever (SO_SNDTIMEO). Said of the open end.
            ///
            /// # Errors
            /// EINVAL for no time at all.
            pub fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()> {
                set_timeout(self.0.fd(), Timeout::Send, time)
            }

            /// The error that the next call would report instead of doing anything (SO_ERROR): ECONNRESET, once, after the
            /// peer has closed without receiving all that was sent, or without ever accepting.
            ///
            /// # Errors
            /// EMFILE, ENFILE.
            pub fn take_error(&mut self) -> io::Result<Option<io::Error>> {
                match self.0.take_reset() {
                    Ok(true) => Ok(Some(Errno::ECONNRESET.into())),
                    Ok(false) | Err(Fail::Gone | Fail::Reset) => Ok(None),
                    Err(Fail::Io(error)) => Err(error),
                }
            }

            /// Bytes on their way in one direction at most (SO_SNDBUF).
            ///
            /// # Errors
            /// EAGAIN if the peer has not yet said so and this is not to wait; EPIPE if it never did.
            pub fn send_buffer(&mut self) -> io::Result<usize> {
                self.0.send_buffer().map_err(|fail| failed(fail, Errno::EPIPE))
            }

            /// Another handle on the same open end, as dup(2): the end closes with the last of them. For another thread:
            /// each handle does one thing at a time.
            ///
            /// # Errors
            /// None now; it may need a descriptor one day.
            pub fn try_clone(&self) -> io::Result<$socket> {
                Ok($socket(self.0.duplicate()))
            }
        }

        impl AsFd for $socket {
            /// The kernel's socket that stands for the open end. poll(2) says of it whether the peer is gone (POLLHUP), and
            /// nothing of bytes.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.fd()
            }
        }
    };
}
pub(super) use connection;

connection!(Stream);

impl Stream {
    /// Bytes that can be read at once (FIONREAD); may be stale at once.
    ///
    /// # Errors
    /// EIO if the memory is damaged.
    pub fn unread(&mut self) -> io::Result<usize> {
        match self.0.call(IN, |stream, _| Ok(stream.unread()?)) {
            Err(Fail::Gone) => Ok(0),
            other => other.map_err(|fail| failed(fail, Errno::EPIPE)),
        }
    }
}

/// The error of a call; `gone` says what it is that nobody is there.
pub(super) fn failed(fail: Fail, gone: Errno) -> io::Error {
    match fail {
        Fail::Gone => gone.into(),
        Fail::Reset => Errno::ECONNRESET.into(),
        Fail::Io(error) => error,
    }
}

impl Read for Stream {
    /// Reads what is there, or waits for it. 0: the peer has closed or shut its writing, or this end its reading, and
    /// everything was read. ECONNRESET, once: the peer closed without reading all that was written.
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        match self.0.call(IN, |stream, call| stream.read(to, call)) {
            Ok(0) => match self.0.take_reset() {
                Ok(true) => Err(Errno::ECONNRESET.into()),
                _ => Ok(0),
            },
            Err(Fail::Gone) => Ok(0),
            other => other.map_err(|fail| failed(fail, Errno::EPIPE)),
        }
    }
}

impl Write for Stream {
    /// Writes all of `from`, waiting for room; less only if it was interrupted, timed out, if the peer left, or with
    /// O_NONBLOCK.
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let written = match from {
            [] => self.0.cannot_write().and_then(|cannot| if cannot { Err(Fail::Gone) } else { Ok(0) }),
            _ => self.0.call(OUT, |stream, call| stream.write(from, call)),
        };
        written.map_err(|fail| failed(fail, Errno::EPIPE))
    }

    /// Nothing is held back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
