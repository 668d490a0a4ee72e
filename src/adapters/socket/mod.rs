//! Sockets (unix(7)): streams, records in sequence, and datagrams, between processes that share a directory or a parent.
//!
//! A connection has a Unix socket of the kernel's and two rings in sealed memory without a name, one each way. The kernel's
//! socket is for what it alone can do: the name, the backlog, who the peer is, and the news that its last holder is gone, in
//! whatever process and in whatever way. The bytes never go through it. Who connects makes the rings and passes them over
//! that socket; so nothing is left in any directory but the listener's name, and two containers need to share no more
//! than that one.
//!
//! A socket for datagrams needs no connection, so its ring lies in a file at its own name ([`Datagram`]).
//!
//! ```
//! use slipring::adapters::socket::{Options, Stream, StreamListener};
//! use std::io::{Read, Write};
//!
//! let path = std::env::temp_dir().join(format!("slipring-doc-{}.socket", std::process::id()));
//! let listener = StreamListener::bind(&path, &Options::new())?;
//! let mut client = Stream::connect(&path, &Options::new())?; // usually in another process
//! let mut server = listener.accept()?;
//! std::fs::remove_file(&path)?;
//!
//! client.write_all(b"hello")?;
//! client.shutdown(std::net::Shutdown::Write)?;
//! let mut text = String::new();
//! server.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

mod datagram;
mod link;
mod listener;
mod seqpacket;
mod stream;

pub use datagram::{Datagram, Received};
pub use listener::{Connection, Listener, SeqpacketListener, StreamListener};
pub use seqpacket::{Message, Seqpacket};
pub use stream::Stream;

use crate::adapters::pipe;
use crate::channel::packets::OVERHEAD;
use crate::layout::{MAX_PAGES, PAGE_LEN};
use nix::errno::Errno;
use std::io;

/// Bytes on their way in one direction if nobody says otherwise: /proc/sys/net/core/wmem_default as Linux sets it.
pub const DEFAULT_SEND_BUFFER: usize = 212_992;

/// What a new socket is like.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Options {
    send_buffer: usize,
    backlog: i32,
    nonblocking: bool,
    strangers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { send_buffer: DEFAULT_SEND_BUFFER, backlog: 128, nonblocking: false, strangers: false }
    }
}

impl Options {
    /// 208 KiB each way, a backlog of 128, calls wait, peers of this user or root only.
    pub fn new() -> Self {
        Options::default()
    }

    /// Bytes on their way in one direction (SO_SNDBUF); the longest message is 32 less. Of a connection both directions are
    /// as large as who connects says. Rounded up to a page, for streams also to a power of two.
    pub fn send_buffer(self, bytes: usize) -> Self {
        Options { send_buffer: bytes, ..self }
    }

    /// How many connections wait to be accepted (listen(2)).
    pub fn backlog(self, connections: u16) -> Self {
        Options { backlog: connections.into(), ..self }
    }

    /// Whether calls that would wait fail with EAGAIN (SOCK_NONBLOCK), connecting included.
    pub fn nonblocking(self, yes: bool) -> Self {
        Options { nonblocking: yes, ..self }
    }

    /// Whether peers of other users are talked to. They can write anything into the rings of their own connection at any
    /// time: what comes out is as unreliable as they are, and damage is EIO, but nothing else is in their reach. By default
    /// connecting to them is EACCES, and their connections are closed instead of being accepted.
    pub fn strangers(self, yes: bool) -> Self {
        Options { strangers: yes, ..self }
    }

    /// The longest message: the kernel, too, takes this much off.
    fn longest_message(&self) -> usize {
        (self.send_buffer.div_ceil(PAGE_LEN).max(1) * PAGE_LEN) - OVERHEAD
    }

    /// Pages for a stream each way: in use at most, and there.
    fn stream_pages(&self) -> io::Result<[u64; 2]> {
        let pages = pipe::pages_for(self.send_buffer)?;
        if pages > MAX_PAGES { Err(Errno::EINVAL.into()) } else { Ok([pages; 2]) }
    }

    /// The same for a ring of records: one page more at least, for what stands before each.
    fn record_pages(&self) -> io::Result<[u64; 2]> {
        let limit = self.send_buffer.div_ceil(PAGE_LEN).max(1) as u64;
        let pages = (limit + 1).next_power_of_two();
        if pages > MAX_PAGES { Err(Errno::EINVAL.into()) } else { Ok([limit, pages]) }
    }
}

/// Who the peer was when it connected, or when it began to listen (SO_PEERCRED).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The process; 0 if it lives in a PID namespace that this process does not see into.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}
