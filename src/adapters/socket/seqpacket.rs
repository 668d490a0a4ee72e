//! Connections that keep message boundaries (SOCK_SEQPACKET): a ring of records each way.
//!
//! An error of the connection comes before anything else that a call would do, as the kernel has it for these sockets:
//! ECONNRESET before messages that could still be received. Then these are received, and then the end.
#![forbid(unsafe_code)]

use super::link::{Fail, IN, Link, OUT, credentials, set_timeout};
use super::listener::{Connection, connect, pair, sealed};
use super::stream::{connection, failed};
use super::{Credentials, Options};
use crate::adapters::nonblocking::set_nonblocking;
use crate::layout::KIND_RECORDS;
use nix::errno::Errno;
use rustix::net::SocketType;
use rustix::net::sockopt::Timeout;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// One end of a connection that keeps message boundaries. It closes with the last handle, here and in all forked children.
/// There is no SIGPIPE.
pub struct Seqpacket(Link);

/// What was received of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Bytes that stand in the buffer now.
    pub len: usize,
    /// Bytes that the message had. If these are more, the rest is lost (MSG_TRUNC).
    pub full: usize,
}

impl Message {
    /// Whether the buffer was too short for it.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.full > self.len
    }
}

impl Connection for Seqpacket {}

impl sealed::Sealed for Seqpacket {
    const TYPE: SocketType = SocketType::SEQPACKET;
    const KIND: u32 = KIND_RECORDS;

    fn pages(options: &Options) -> io::Result<[u64; 2]> {
        options.record_pages()
    }

    fn of(link: Link) -> Self {
        Seqpacket(link)
    }
}

connection!(Seqpacket);

impl Seqpacket {
    /// Sends one message, which may be empty; waits for room. All of it or nothing.
    ///
    /// # Errors
    /// EMSGSIZE if it is longer than [`Seqpacket::send_buffer`] less 32; EPIPE if the peer has closed or shut its reading,
    /// or this end its writing; ECONNRESET, once, if the peer closed without receiving all; EAGAIN, EINTR, EIO.
    pub fn send(&mut self, message: &[u8]) -> io::Result<usize> {
        let sent = self.0.take_reset_seldom().and_then(|reset| match reset {
            true => Err(Fail::Reset),
            false => self.0.call(OUT, |stream, call| {
                if message.len() > stream.longest_record(0) {
                    return Ok(Err(Errno::EMSGSIZE.into()));
                }
                stream.send_record(&[], message, call).map(|()| Ok(message.len()))
            }),
        });
        sent.map_err(|fail| failed(fail, Errno::EPIPE))?
    }

    /// Receives one message, or waits for it: how many bytes stand in `to` now. What does not fit is lost. 0: it was empty,
    /// or the end, as [`Seqpacket::recv_message`] tells apart.
    ///
    /// # Errors
    /// ECONNRESET, once, if the peer closed without receiving all; EAGAIN, EINTR, EIO.
    pub fn recv(&mut self, to: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive(to, false)?.map_or(0, |message| message.len))
    }

    /// As [`Seqpacket::recv`], and says how long the message was (MSG_TRUNC). `None`: the peer has closed or shut its
    /// writing, or this end its reading, and everything was received.
    ///
    /// # Errors
    /// As [`Seqpacket::recv`].
    pub fn recv_message(&mut self, to: &mut [u8]) -> io::Result<Option<Message>> {
        self.receive(to, false)
    }

    /// As [`Seqpacket::recv_message`], and the message stays the next (MSG_PEEK).
    ///
    /// # Errors
    /// As [`Seqpacket::recv`].
    pub fn peek_message(&mut self, to: &mut [u8]) -> io::Result<Option<Message>> {
        self.receive(to, true)
    }

    /// Bytes in all messages that can be received at once (FIONREAD); may be stale at once.
    ///
    /// # Errors
    /// EAGAIN if another is just receiving and has been stopped, EIO.
    pub fn unread(&mut self) -> io::Result<usize> {
        match self.0.call(IN, |stream, call| stream.unread_records(true, call)) {
            Err(Fail::Gone) => Ok(0),
            other => other.map_err(|fail| failed(fail, Errno::EPIPE)),
        }
    }

    fn receive(&mut self, to: &mut [u8], keep: bool) -> io::Result<Option<Message>> {
        let received = self.0.take_reset_seldom().and_then(|reset| match reset {
            true => Err(Fail::Reset),
            false => match self.0.call(IN, |stream, call| stream.recv_record(&mut [], to, keep, call))? {
                // It may have gone while we waited.
                None if self.0.take_reset()? => Err(Fail::Reset),
                taken => Ok(taken.map(|taken| Message { len: taken.len, full: taken.full })),
            },
        });
        match received {
            Err(Fail::Gone) => Ok(None),
            other => other.map_err(|fail| failed(fail, Errno::EPIPE)),
        }
    }
}
