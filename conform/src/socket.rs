//! Sockets, the kernel's and slipring's, without waiting: every end is non-blocking.
//!
//! Both sides keep their open ends in a list; an operation names one by its place there. Connecting, accepting and
//! duplicating add to the list, closing takes out of it, on both sides alike, since they are compared after each operation.
//!
//! What fits into a buffer is not compared: the kernel counts what its own bookkeeping takes. Random sequences stay below
//! what either holds, and [`Op::Fill`] compares what happens at the limit: that there is one, and that everything that was
//! taken comes out again, in order and whole.

use crate::{Divergence, Lockstep, Outcome, Report, Script, Subject, Value, content};
use rustix::net::sockopt::socket_error;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recvfrom, send, sendto, shutdown, socket_with, socketpair,
};
use slipring::adapters::socket::{
    Datagram, Listener, Options, Received, Seqpacket, SeqpacketListener, Stream, StreamListener,
};
use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// What kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SOCK_STREAM
    Stream,
    /// SOCK_SEQPACKET
    Seqpacket,
    /// SOCK_DGRAM
    Datagram,
}

/// One operation.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "they are named after what they do")]
pub enum Op {
    Send {
        end: usize,
        len: usize,
    },
    /// Connectionless: to the name of this number.
    SendTo {
        end: usize,
        name: usize,
        len: usize,
    },
    Recv {
        end: usize,
        len: usize,
    },
    Peek {
        end: usize,
        len: usize,
    },
    Unread {
        end: usize,
    },
    Shutdown {
        end: usize,
        how: Shutdown,
    },
    /// SO_ERROR.
    TakeError {
        end: usize,
    },
    Duplicate {
        end: usize,
    },
    Close {
        end: usize,
    },
    /// Sends messages of `len` bytes until that fails, then receives at `to` until that fails.
    Fill {
        end: usize,
        to: usize,
        len: usize,
    },
    /// Makes a name and listens there, or receives there; with this backlog.
    Bind {
        name: usize,
        backlog: u16,
    },
    Connect {
        name: usize,
    },
    /// A datagram socket that is open already.
    ConnectEnd {
        end: usize,
        name: usize,
    },
    Accept,
    CloseListener,
    Unlink {
        name: usize,
    },
    /// A socket without a name.
    Unbound,
    /// Two sockets, connected to one another.
    Pair,
}

impl Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Send { end, len } => write!(f, "send {len} at end {end}"),
            Op::SendTo { end, name, len } => write!(f, "send {len} from end {end} to name {name}"),
            Op::Recv { end, len } => write!(f, "receive {len} at end {end}"),
            Op::Peek { end, len } => write!(f, "peek {len} at end {end}"),
            Op::Unread { end } => write!(f, "bytes unread at end {end}"),
            Op::Shutdown { end, how } => write!(f, "shut {how:?} at end {end}"),
            Op::TakeError { end } => write!(f, "error of end {end}"),
            Op::Duplicate { end } => write!(f, "duplicate end {end}"),
            Op::Close { end } => write!(f, "close end {end}"),
            Op::Fill { end, to, len } => write!(f, "fill with {len} at end {end}, empty at end {to}"),
            Op::Bind { name, backlog } => write!(f, "bind name {name}, backlog {backlog}"),
            Op::Connect { name } => write!(f, "connect to name {name}"),
            Op::ConnectEnd { end, name } => write!(f, "connect end {end} to name {name}"),
            Op::Accept => write!(f, "accept"),
            Op::CloseListener => write!(f, "close the listener"),
            Op::Unlink { name } => write!(f, "unlink name {name}"),
            Op::Unbound => write!(f, "make a socket without a name"),
            Op::Pair => write!(f, "make a pair"),
        }
    }
}

/// What was received: whose, how long it was, and the bytes.
fn received(from: Option<String>, full: usize, bytes: &[u8]) -> Value {
    let sum = bytes.iter().fold(0_u32, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
    Value::Text(format!("{} of {full} bytes{from}, sum {sum:08x}", bytes.len()))
}

/// The same for both sides: how an end is filled and emptied again.
fn fill(
    len: usize,
    mut send: impl FnMut(&[u8]) -> io::Result<usize>,
    mut recv: impl FnMut(&mut [u8]) -> io::Result<usize>,
    records: bool,
) -> io::Result<Value> {
    let (mut sent, mut messages) = (Vec::new(), Vec::new());
    let full = loop {
        let message: Vec<u8> = (0..len).map(|i| (sent.len() + i * 3) as u8).collect();
        match send(&message) {
            Ok(taken) => {
                sent.extend_from_slice(&message[..taken]);
                messages.push(taken);
            }
            Err(error) => break error,
        }
    };
    let (mut came, mut lengths, mut buffer) = (Vec::new(), Vec::new(), vec![0; 300_000]);
    let empty = loop {
        match recv(&mut buffer) {
            // Empty messages look like the end; there are not so many in a row.
            Ok(0) if lengths.ends_with(&[0; LENGTH as usize]) || !records => break "the end".into(),
            Ok(taken) => {
                came.extend_from_slice(&buffer[..taken]);
                lengths.push(taken);
            }
            Err(error) => break error.to_string(),
        }
    };
    // What was there before comes first.
    let tail = came.len().saturating_sub(sent.len());
    let whole = came[tail..] == sent && (!records || lengths.ends_with(&messages));
    let some = if sent.is_empty() { "nothing" } else { "something" };
    Ok(Value::Text(format!(
        "{some}, then {full}; {tail} bytes of before, the rest as sent: {whole}; then {empty}"
    )))
}

/// Names of one run.
fn path(side: &str, kind: Kind, number: u64, name: usize) -> PathBuf {
    std::env::temp_dir()
        .join(format!("slipring-conform-{}-{side}-{kind:?}-{number}-{name}", std::process::id()))
}

/// The names that a side has made, which are removed in the end.
struct Names {
    side: &'static str,
    kind: Kind,
    number: u64,
}

impl Names {
    const MOST: usize = 3;

    fn of(&self, name: usize) -> PathBuf {
        path(self.side, self.kind, self.number, name)
    }

    /// How an address is called on both sides.
    fn call(&self, of: &std::path::Path) -> String {
        match (0..Names::MOST).find(|&name| self.of(name) == of) {
            Some(name) => format!("name {name}"),
            None => format!("a stranger, {}", of.display()),
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        for name in 0..Names::MOST {
            let _ = std::fs::remove_file(self.of(name));
        }
    }
}

/// The kernel's.
pub struct Kernel {
    kind: Kind,
    ends: Vec<OwnedFd>,
    listener: Option<OwnedFd>,
    names: Names,
    messages: usize,
}

impl Kernel {
    /// Without an end.
    #[must_use]
    pub fn new(kind: Kind, number: u64) -> Kernel {
        let names = Names { side: "kernel", kind, number };
        Kernel { kind, ends: Vec::new(), listener: None, names, messages: 0 }
    }

    fn kind(&self) -> SocketType {
        match self.kind {
            Kind::Stream => SocketType::STREAM,
            Kind::Seqpacket => SocketType::SEQPACKET,
            Kind::Datagram => SocketType::DGRAM,
        }
    }

    fn address(&self, name: usize) -> io::Result<SocketAddrUnix> {
        Ok(SocketAddrUnix::new(self.names.of(name))?)
    }

    fn socket(&self) -> io::Result<OwnedFd> {
        Ok(socket_with(AddressFamily::UNIX, self.kind(), SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?)
    }

    fn receive(&self, end: usize, len: usize, flags: RecvFlags) -> io::Result<Value> {
        let mut to = vec![0; len];
        // Else it would read nothing from a stream and wait for bytes all the same; read(2) does not.
        if self.kind == Kind::Stream && len == 0 {
            return Ok(received(None, 0, &[]));
        }
        let flags = if self.kind == Kind::Stream { flags } else { flags | RecvFlags::TRUNC };
        let (_, full, from) = recvfrom(&self.ends[end], &mut to[..], flags)?;
        // A connection's peer is no news.
        let from = from.filter(|_| self.kind == Kind::Datagram);
        let from = from.and_then(|from| SocketAddrUnix::try_from(from).ok());
        let from = from.and_then(|from| Some(from.path()?.to_string_lossy().into_owned()));
        let from = from.map(|from| self.names.call(from.as_ref()));
        to.truncate(full);
        Ok(received(from, full, &to))
    }

    fn act(&mut self, op: &Op) -> io::Result<Value> {
        let quiet = SendFlags::NOSIGNAL;
        Ok(match *op {
            Op::Send { end, len } => {
                let message = content(&mut self.messages, len);
                // write(2) of nothing does not get to the socket.
                Value::Number(send(&self.ends[end], &message, quiet)?)
            }
            Op::SendTo { end, name, len } => {
                let message = content(&mut self.messages, len);
                Value::Number(sendto(&self.ends[end], &message, quiet, &self.address(name)?)?)
            }
            Op::Recv { end, len } => self.receive(end, len, RecvFlags::empty())?,
            Op::Peek { end, len } => self.receive(end, len, RecvFlags::PEEK)?,
            Op::Unread { end } => Value::Number(rustix::io::ioctl_fionread(&self.ends[end])? as usize),
            Op::Shutdown { end, how } => {
                let how = match how {
                    Shutdown::Read => rustix::net::Shutdown::Read,
                    Shutdown::Write => rustix::net::Shutdown::Write,
                    Shutdown::Both => rustix::net::Shutdown::Both,
                };
                shutdown(&self.ends[end], how)?;
                Value::Done
            }
            Op::TakeError { end } => {
                socket_error(&self.ends[end])??;
                Value::Done
            }
            Op::Duplicate { end } => {
                self.ends.push(self.ends[end].try_clone()?);
                Value::Done
            }
            Op::Close { end } => {
                drop(self.ends.remove(end));
                Value::Done
            }
            Op::Fill { end, to, len } => {
                let (from, to) = (&self.ends[end], &self.ends[to]);
                let recv = |buffer: &mut [u8]| Ok(rustix::net::recv(to, buffer, RecvFlags::empty())?.1);
                fill(len, |message| Ok(send(from, message, quiet)?), recv, self.kind != Kind::Stream)?
            }
            Op::Bind { name, backlog } => {
                let socket = self.socket()?;
                bind(&socket, &self.address(name)?)?;
                if self.kind == Kind::Datagram {
                    self.ends.push(socket);
                } else {
                    listen(&socket, backlog.into())?;
                    self.listener = Some(socket);
                }
                Value::Done
            }
            Op::Connect { name } => {
                let socket = self.socket()?;
                connect(&socket, &self.address(name)?)?;
                self.ends.push(socket);
                Value::Done
            }
            Op::ConnectEnd { end, name } => {
                connect(&self.ends[end], &self.address(name)?)?;
                Value::Done
            }
            Op::Accept => {
                let listener = self.listener.as_ref().ok_or(io::ErrorKind::Unsupported)?;
                self.ends.push(accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?);
                Value::Done
            }
            Op::CloseListener => {
                self.listener = None;
                Value::Done
            }
            Op::Unlink { name } => {
                std::fs::remove_file(self.names.of(name))?;
                Value::Done
            }
            Op::Unbound => {
                self.ends.push(self.socket()?);
                Value::Done
            }
            Op::Pair => {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let (one, other) = socketpair(AddressFamily::UNIX, self.kind(), flags, None)?;
                self.ends.extend([one, other]);
                Value::Done
            }
        })
    }
}

impl Subject<Op> for Kernel {
    fn apply(&mut self, op: &Op) -> Outcome {
        self.act(op).into()
    }
}

/// Slipring's.
pub struct Adapter {
    kind: Kind,
    ends: Vec<End>,
    listener: Option<AnyListener>,
    names: Names,
    messages: usize,
}

enum End {
    Stream(Stream),
    Seqpacket(Seqpacket),
    Datagram(Datagram),
}

enum AnyListener {
    Stream(StreamListener),
    Seqpacket(SeqpacketListener),
}

/// The same for whichever kind of end it is.
macro_rules! any {
    ($end:expr, $it:ident => $what:expr) => {
        match $end {
            End::Stream($it) => $what,
            End::Seqpacket($it) => $what,
            End::Datagram($it) => $what,
        }
    };
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl End {
    fn send(&mut self, message: &[u8]) -> io::Result<usize> {
        match self {
            End::Stream(stream) => stream.write(message),
            End::Seqpacket(socket) => socket.send(message),
            End::Datagram(socket) => socket.send(message),
        }
    }

    fn recv(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            End::Stream(stream) => stream.read(to),
            End::Seqpacket(socket) => socket.recv(to),
            End::Datagram(socket) => socket.recv(to),
        }
    }

    fn duplicate(&self) -> io::Result<End> {
        Ok(match self {
            End::Stream(stream) => End::Stream(stream.try_clone()?),
            End::Seqpacket(socket) => End::Seqpacket(socket.try_clone()?),
            End::Datagram(socket) => End::Datagram(socket.try_clone()?),
        })
    }
}

impl Adapter {
    /// Without an end.
    #[must_use]
    pub fn new(kind: Kind, number: u64) -> Adapter {
        let names = Names { side: "slipring", kind, number };
        Adapter { kind, ends: Vec::new(), listener: None, names, messages: 0 }
    }

    fn pair(&self) -> io::Result<[End; 2]> {
        let options = Adapter::options();
        Ok(match self.kind {
            Kind::Stream => Stream::pair(&options).map(|(a, b)| [End::Stream(a), End::Stream(b)])?,
            Kind::Seqpacket => {
                Seqpacket::pair(&options).map(|(a, b)| [End::Seqpacket(a), End::Seqpacket(b)])?
            }
            Kind::Datagram => Datagram::pair(&options).map(|(a, b)| [End::Datagram(a), End::Datagram(b)])?,
        })
    }

    fn options() -> Options {
        Options::new().nonblocking(true)
    }

    fn receive(&mut self, end: usize, len: usize, keep: bool) -> io::Result<Value> {
        let mut to = vec![0; len];
        let (full, len, from) = match &mut self.ends[end] {
            End::Stream(_) if keep => return unsupported(),
            End::Stream(stream) => stream.read(&mut to).map(|len| (len, len, None)),
            End::Seqpacket(socket) => {
                let message = if keep { socket.peek_message(&mut to) } else { socket.recv_message(&mut to) };
                message.map(|it| it.map_or((0, 0, None), |message| (message.full, message.len, None)))
            }
            End::Datagram(socket) => {
                let message = if keep { socket.peek_from(&mut to) } else { socket.recv_from(&mut to) };
                message.map(|it| it.map_or((0, 0, None), |Received { full, len, from }| (full, len, from)))
            }
        }?;
        Ok(received(from.map(|from| self.names.call(&from)), full, &to[..len]))
    }

    fn bind(&mut self, name: usize, backlog: u16) -> io::Result<Value> {
        let (path, options) = (self.names.of(name), Adapter::options().backlog(backlog));
        match self.kind {
            Kind::Stream => self.listener = Some(AnyListener::Stream(Listener::bind(path, &options)?)),
            Kind::Seqpacket => self.listener = Some(AnyListener::Seqpacket(Listener::bind(path, &options)?)),
            Kind::Datagram => self.ends.push(End::Datagram(Datagram::bind(path, &options)?)),
        }
        Ok(Value::Done)
    }

    fn connect(&mut self, name: usize) -> io::Result<Value> {
        let (path, options) = (self.names.of(name), Adapter::options());
        self.ends.push(match self.kind {
            Kind::Stream => End::Stream(Stream::connect(path, &options)?),
            Kind::Seqpacket => End::Seqpacket(Seqpacket::connect(path, &options)?),
            Kind::Datagram => {
                let mut socket = Datagram::unbound(&options)?;
                socket.connect(path)?;
                End::Datagram(socket)
            }
        });
        Ok(Value::Done)
    }

    fn accept(&mut self) -> io::Result<Value> {
        let end = match &self.listener {
            Some(AnyListener::Stream(listener)) => {
                let stream = listener.accept()?;
                stream.set_nonblocking(true)?;
                End::Stream(stream)
            }
            Some(AnyListener::Seqpacket(listener)) => {
                let socket = listener.accept()?;
                socket.set_nonblocking(true)?;
                End::Seqpacket(socket)
            }
            None => return unsupported(),
        };
        self.ends.push(end);
        Ok(Value::Done)
    }

    fn act(&mut self, op: &Op) -> io::Result<Value> {
        Ok(match *op {
            Op::Send { end, len } => {
                let message = content(&mut self.messages, len);
                Value::Number(self.ends[end].send(&message)?)
            }
            Op::SendTo { end, name, len } => {
                let message = content(&mut self.messages, len);
                let path = self.names.of(name);
                match &mut self.ends[end] {
                    End::Datagram(socket) => Value::Number(socket.send_to(&message, path)?),
                    _ => return unsupported(),
                }
            }
            Op::Recv { end, len } => self.receive(end, len, false)?,
            Op::Peek { end, len } => self.receive(end, len, true)?,
            Op::Unread { end } => Value::Number(any!(&mut self.ends[end], it => it.unread())?),
            Op::Shutdown { end, how } => {
                any!(&mut self.ends[end], it => it.shutdown(how))?;
                Value::Done
            }
            Op::TakeError { end } => {
                let error = match &mut self.ends[end] {
                    End::Stream(stream) => stream.take_error()?,
                    End::Seqpacket(socket) => socket.take_error()?,
                    End::Datagram(_) => None,
                };
                error.map_or(Ok(Value::Done), Err)?
            }
            Op::Duplicate { end } => {
                self.ends.push(self.ends[end].duplicate()?);
                Value::Done
            }
            Op::Close { end } => {
                drop(self.ends.remove(end));
                Value::Done
            }
            Op::Fill { end, to, len } => {
                let (mut from, mut to) = (self.ends[end].duplicate()?, self.ends[to].duplicate()?);
                let records = self.kind != Kind::Stream;
                fill(len, |message| from.send(message), |buffer| to.recv(buffer), records)?
            }
            Op::Bind { name, backlog } => self.bind(name, backlog)?,
            Op::Connect { name } => self.connect(name)?,
            Op::ConnectEnd { end, name } => match &mut self.ends[end] {
                End::Datagram(socket) => {
                    socket.connect(self.names.of(name))?;
                    Value::Done
                }
                _ => return unsupported(),
            },
            Op::Accept => self.accept()?,
            Op::CloseListener => {
                self.listener = None;
                Value::Done
            }
            Op::Unlink { name } => {
                std::fs::remove_file(self.names.of(name))?;
                Value::Done
            }
            Op::Unbound => {
                self.ends.push(End::Datagram(Datagram::unbound(&Adapter::options())?));
                Value::Done
            }
            Op::Pair => {
                self.ends.extend(self.pair()?);
                Value::Done
            }
        })
    }
}

impl Subject<Op> for Adapter {
    fn apply(&mut self, op: &Op) -> Outcome {
        self.act(op).into()
    }
}

const SEND_BUFFER: usize = slipring::adapters::socket::DEFAULT_SEND_BUFFER;

fn send_op(end: usize, len: usize) -> Op {
    Op::Send { end, len }
}

fn recv_op(end: usize, len: usize) -> Op {
    Op::Recv { end, len }
}

/// A script: the row, what it shows, whether it begins with a pair, what is done.
type Case = (&'static str, &'static str, bool, Vec<Op>);

/// What streams and sequenced records have in common: K1 of the one, K2 of the other.
fn of_connections(row: &'static str) -> Vec<Case> {
    use Op::{Accept, Close, CloseListener, Connect, Duplicate, TakeError, Unlink, Unread};
    let bind = Op::Bind { name: 0, backlog: 5 };
    let shut = |end, how| Op::Shutdown { end, how };
    vec![
        (
            row,
            "both directions, without one disturbing the other; EAGAIN where nothing is",
            true,
            vec![
                recv_op(0, 9),
                send_op(0, 5),
                send_op(1, 7),
                Unread { end: 0 },
                Unread { end: 1 },
                recv_op(0, 3),
                recv_op(1, 100),
                recv_op(0, 100),
                recv_op(0, 1),
                recv_op(1, 1),
            ],
        ),
        (
            row,
            "what is full is emptied whole and in order",
            true,
            vec![
                Op::Fill { end: 0, to: 1, len: 1000 },
                send_op(1, 10),
                Op::Fill { end: 0, to: 1, len: 5000 },
                Op::Fill { end: 1, to: 0, len: 64 },
                send_op(0, 10),
                recv_op(1, 100),
            ],
        ),
        (
            row,
            "half-close: the one way ends after what was sent, the other goes on",
            true,
            vec![
                send_op(0, 10),
                shut(0, Shutdown::Write),
                send_op(0, 1),
                send_op(0, 0),
                send_op(1, 20),
                recv_op(1, 4),
                recv_op(1, 100),
                recv_op(1, 100),
                recv_op(0, 100),
                recv_op(0, 100),
                shut(0, Shutdown::Write),
            ],
        ),
        (
            row,
            "who shuts its reading reads what is there; the peer's sends are EPIPE",
            true,
            vec![
                send_op(1, 10),
                shut(0, Shutdown::Read),
                send_op(1, 10),
                send_op(1, 0),
                send_op(0, 10),
                recv_op(0, 4),
                recv_op(0, 100),
                recv_op(0, 100),
                recv_op(1, 100),
            ],
        ),
        (
            row,
            "both shut, for every handle of that end",
            true,
            vec![
                send_op(0, 3),
                Duplicate { end: 0 },
                shut(2, Shutdown::Both),
                send_op(0, 1),
                send_op(1, 1),
                recv_op(0, 9),
                recv_op(1, 9),
                recv_op(1, 9),
                TakeError { end: 0 },
                TakeError { end: 1 },
            ],
        ),
        (
            row,
            "the end comes with the last handle, after what was sent",
            true,
            vec![
                send_op(0, 10),
                Duplicate { end: 0 },
                Close { end: 0 },
                send_op(0, 1),
                recv_op(0, 4),
                recv_op(0, 4),
                send_op(1, 2),
                Close { end: 1 },
                send_op(0, 1),
                recv_op(0, 100),
                recv_op(0, 100),
                recv_op(0, 100),
            ],
        ),
        (
            row,
            "whose peer closed without receiving all hears ECONNRESET, once",
            true,
            vec![
                send_op(0, 10),
                send_op(1, 10),
                Close { end: 1 },
                recv_op(0, 100),
                recv_op(0, 100),
                recv_op(0, 100),
                send_op(0, 1),
            ],
        ),
        (
            row,
            "or finds it in SO_ERROR, once for all handles",
            true,
            vec![
                send_op(0, 10),
                Duplicate { end: 0 },
                Close { end: 1 },
                TakeError { end: 1 },
                TakeError { end: 0 },
                recv_op(0, 1),
                send_op(0, 1),
                Unread { end: 0 },
            ],
        ),
        (
            row,
            "what was shut and then closed",
            true,
            vec![
                send_op(1, 10),
                shut(0, Shutdown::Both),
                Close { end: 0 },
                recv_op(0, 1),
                send_op(0, 1),
                recv_op(0, 1),
            ],
        ),
        (
            row,
            "connecting is done before anybody accepts, and what was sent is there then",
            false,
            vec![
                bind,
                Accept,
                Connect { name: 0 },
                send_op(0, 10),
                recv_op(0, 1),
                Accept,
                recv_op(1, 100),
                send_op(1, 3),
                recv_op(0, 100),
                Close { end: 0 },
                recv_op(0, 1),
                Accept,
            ],
        ),
        (
            row,
            "who left before it was accepted has left what it sent",
            false,
            vec![
                bind,
                Connect { name: 0 },
                send_op(0, 10),
                Close { end: 0 },
                Accept,
                recv_op(0, 4),
                recv_op(0, 100),
                recv_op(0, 1),
                send_op(0, 1),
            ],
        ),
        (
            row,
            "who was never accepted hears ECONNRESET when the listener closes, once",
            false,
            vec![
                bind,
                Connect { name: 0 },
                Connect { name: 0 },
                send_op(1, 10),
                CloseListener,
                recv_op(0, 1),
                recv_op(0, 1),
                send_op(0, 1),
                send_op(1, 1),
                recv_op(1, 1),
                recv_op(1, 1),
            ],
        ),
        (
            row,
            "the backlog is full when one more waits than it says",
            false,
            vec![
                Op::Bind { name: 0, backlog: 1 },
                Connect { name: 0 },
                Connect { name: 0 },
                Connect { name: 0 },
                Accept,
                Connect { name: 0 },
                Connect { name: 0 },
            ],
        ),
        (
            row,
            "a name is taken until it is unlinked, and leads to nobody when its socket is closed",
            false,
            vec![
                Connect { name: 0 },
                bind,
                bind,
                Op::Bind { name: 1, backlog: 5 },
                Connect { name: 0 },
                Connect { name: 1 },
                CloseListener,
                Connect { name: 1 },
                bind,
                Unlink { name: 0 },
                Connect { name: 0 },
                bind,
                Connect { name: 0 },
                Accept,
            ],
        ),
    ]
}

/// Records alone: boundaries, lengths.
fn of_records(row: &'static str) -> Vec<Case> {
    let max = SEND_BUFFER - 32;
    vec![
        (
            row,
            "one send is one receive; what does not fit is lost, and known to be",
            true,
            vec![
                send_op(0, 10),
                send_op(0, 20),
                send_op(0, 0),
                send_op(0, 30),
                recv_op(1, 4),
                Op::Peek { end: 1, len: 5 },
                Op::Peek { end: 1, len: 100 },
                recv_op(1, 20),
                recv_op(1, 100),
                recv_op(1, 0),
                recv_op(1, 1),
            ],
        ),
        (
            row,
            "the longest message is the send buffer less 32 bytes",
            true,
            vec![
                send_op(0, max + 1),
                send_op(0, max),
                Op::Unread { end: 1 },
                Op::Peek { end: 1, len: 10 },
                recv_op(1, max),
                recv_op(1, 1),
                send_op(1, max),
                recv_op(0, 1),
                recv_op(0, 1),
            ],
        ),
    ]
}

fn of_datagrams() -> Vec<Case> {
    use Op::{Close, ConnectEnd, SendTo, Unbound, Unlink};
    let bind = |name| Op::Bind { name, backlog: 0 };
    let shut = |end, how| Op::Shutdown { end, how };
    let to = |end, name, len| SendTo { end, name, len };
    let mut cases = of_records("K3");
    cases.extend([
        (
            "K3",
            "without a connection, each says from whom it is",
            false,
            vec![
                bind(0),
                bind(1),
                Unbound,
                to(1, 0, 5),
                to(2, 0, 6),
                to(0, 0, 7),
                to(0, 1, 8),
                Op::Unread { end: 0 },
                Op::Peek { end: 0, len: 100 },
                recv_op(0, 100),
                recv_op(0, 3),
                recv_op(0, 100),
                recv_op(0, 1),
                recv_op(1, 100),
                recv_op(1, 1),
                recv_op(2, 1),
            ],
        ),
        (
            "K3",
            "a name leads nowhere, to nobody, to another",
            false,
            vec![
                Unbound,
                to(0, 0, 1),
                send_op(0, 1),
                bind(0),
                bind(0),
                to(0, 0, 1),
                Close { end: 1 },
                to(0, 0, 1),
                bind(0),
                Unlink { name: 0 },
                to(0, 0, 1),
                bind(0),
                to(0, 0, 2),
                recv_op(1, 9),
                recv_op(1, 9),
                Unlink { name: 0 },
                to(0, 0, 3),
            ],
        ),
        (
            "K3",
            "a connected one sends to whoever had the name, until it is gone",
            false,
            vec![
                bind(0),
                Unbound,
                ConnectEnd { end: 1, name: 1 },
                ConnectEnd { end: 1, name: 0 },
                send_op(1, 4),
                Unlink { name: 0 },
                bind(0),
                send_op(1, 5),
                to(1, 0, 6),
                recv_op(0, 9),
                recv_op(0, 9),
                recv_op(2, 9),
                Close { end: 0 },
                send_op(0, 1),
                send_op(0, 1),
                ConnectEnd { end: 0, name: 0 },
                send_op(0, 2),
                recv_op(1, 9),
            ],
        ),
        (
            "K3",
            "a pair: refused when the other is gone, then not connected, and what was there is lost",
            true,
            vec![
                send_op(0, 4),
                send_op(1, 5),
                send_op(1, 6),
                Close { end: 1 },
                recv_op(0, 9),
                send_op(0, 1),
                recv_op(0, 9),
                send_op(0, 1),
            ],
        ),
        (
            "K3",
            "shutting is each one's own",
            true,
            vec![
                send_op(0, 4),
                send_op(0, 5),
                shut(1, Shutdown::Read),
                send_op(0, 6),
                recv_op(1, 9),
                recv_op(1, 9),
                recv_op(1, 9),
                send_op(1, 7),
                shut(1, Shutdown::Write),
                send_op(1, 7),
                recv_op(0, 9),
                recv_op(0, 9),
            ],
        ),
        (
            "K3",
            "nothing is lost when it is full: EAGAIN, and all that was taken comes",
            true,
            vec![
                Op::Fill { end: 0, to: 1, len: 1 },
                Op::Fill { end: 0, to: 1, len: 1000 },
                Op::Fill { end: 1, to: 0, len: 20000 },
            ],
        ),
    ]);
    cases
}

fn cases(kind: Kind) -> Vec<Case> {
    match kind {
        Kind::Stream => of_connections("K1"),
        Kind::Seqpacket => {
            let mut cases = of_connections("K2");
            cases.extend(of_records("K2"));
            cases
        }
        Kind::Datagram => of_datagrams(),
    }
}

/// The rows that can be shown without waiting.
#[must_use]
pub fn scripts(kind: Kind) -> Vec<Script<Op>> {
    let script = |(row, shows, pair, mut ops): Case| {
        if pair {
            ops.insert(0, Op::Pair);
        }
        Script { row, shows, ops }
    };
    cases(kind).into_iter().map(script).collect()
}

/// What is on its way in one direction, as far as can be told.
#[derive(Clone, Copy, Default)]
struct Load {
    bytes: usize,
    messages: usize,
}

/// What a random sequence knows of the ends, so that it stays below what any buffer holds.
struct Plan {
    kind: Kind,
    /// Of each end: whose messages it receives, by number of a load.
    ends: Vec<usize>,
    /// Of each such number: where what it sends goes.
    peers: Vec<Option<usize>>,
    loads: Vec<Load>,
    /// Of each name: who receives there.
    names: [Option<usize>; Names::MOST],
    /// Connected and not accepted.
    backlog: Vec<usize>,
    listens: bool,
}

impl Plan {
    fn add(&mut self, peer: Option<usize>) -> usize {
        self.peers.push(peer);
        self.loads.push(Load::default());
        self.loads.len() - 1
    }

    fn pair(&mut self) {
        let one = self.add(None);
        let other = self.add(Some(one));
        self.peers[one] = Some(other);
        self.ends.extend([one, other]);
    }

    /// Whether this much more may go to `to`.
    fn allows(&self, to: Option<usize>, len: usize) -> bool {
        let Load { bytes, messages } = match self.kind {
            // The kernel counts against the sender what it has sent to anybody.
            Kind::Datagram => self.loads.iter().fold(Load::default(), |sum, load| Load {
                bytes: sum.bytes + load.bytes,
                messages: sum.messages + load.messages,
            }),
            _ => to.map_or(Load::default(), |to| self.loads[to]),
        };
        match self.kind {
            // What is too long is refused whatever is there.
            Kind::Seqpacket | Kind::Datagram if len > SEND_BUFFER - 32 => true,
            Kind::Seqpacket | Kind::Datagram if len > 20_000 => messages == 0,
            // The kernel's queue of a datagram socket that is not one of a pair has eleven places.
            Kind::Datagram => bytes + len <= 30_000 && messages < 8,
            Kind::Stream | Kind::Seqpacket => bytes + len <= 30_000 && messages < 40,
        }
    }

    fn any(&self, dice: &mut fastrand::Rng) -> Op {
        let named = self.kind == Kind::Datagram && self.names.iter().any(Option::is_some);
        let name = dice.usize(0..Names::MOST);
        if self.ends.is_empty() || dice.u8(0..40) == 0 {
            let roll = dice.u8(0..8);
            return match self.kind {
                _ if roll == 7 => Op::Unlink { name },
                Kind::Datagram if roll < 4 => Op::Bind { name, backlog: 0 },
                Kind::Datagram if roll < 6 => Op::Unbound,
                Kind::Stream | Kind::Seqpacket if roll < 2 => Op::Bind { name, backlog: dice.u16(0..4) },
                Kind::Stream | Kind::Seqpacket if roll < 3 && self.listens => Op::CloseListener,
                Kind::Stream | Kind::Seqpacket if roll < 5 && self.listens => Op::Accept,
                _ => Op::Connect { name },
            };
        }
        let end = dice.usize(0..self.ends.len());
        let peer = self.peers[self.ends[end]];
        let len = length(dice, self.kind);
        match dice.u8(0..40) {
            0 => {
                Op::Shutdown { end, how: [Shutdown::Read, Shutdown::Write, Shutdown::Both][dice.usize(0..3)] }
            }
            1 if self.ends.len() < 8 => Op::Duplicate { end },
            2 => Op::Close { end },
            3 => Op::TakeError { end },
            4 if self.listens => Op::Accept,
            5 if self.kind != Kind::Datagram && self.ends.len() < 8 => Op::Connect { name },
            6..9 => Op::Unread { end },
            9 if self.kind != Kind::Stream => Op::Peek { end, len },
            10 => {
                let to = (0..self.ends.len()).find(|&to| Some(self.ends[to]) == peer);
                // So many single bytes as our stream holds would take most of the time.
                let shortest = if self.kind == Kind::Stream { 100 } else { 1 };
                let len = [shortest, 100, 1000, 5000, 20_000][dice.usize(0..5)];
                // Nobody else may be in between.
                let mutual = peer.is_some_and(|peer| self.peers[peer] == Some(self.ends[end]));
                match to {
                    Some(to) if mutual && self.allows(peer, 0) => Op::Fill { end, to, len },
                    _ => Op::Unread { end },
                }
            }
            // Nobody may have a way to it, by a name or by a connection made before the name was unlinked: the kernel says
            // EPERM to all but one's own peer, which is listed.
            11 if named
                && peer.is_none()
                && !self.names.contains(&Some(self.ends[end]))
                && !self.peers.contains(&Some(self.ends[end])) =>
            {
                Op::ConnectEnd { end, name }
            }
            12..18 if named && self.allows(self.names[name], len) => Op::SendTo { end, name, len },
            12..26 if self.allows(peer, len) => Op::Send { end, len },
            _ => Op::Recv { end, len },
        }
    }

    /// What became of it.
    fn note(&mut self, op: Op, outcome: &Outcome) {
        let done = outcome.0.is_ok();
        match op {
            Op::Send { end, len } if done => self.sent(self.peers[self.ends[end]], len),
            Op::SendTo { name, len, .. } if done => self.sent(self.names[name], len),
            Op::Send { end, .. } if outcome.0 == Err(libc::ECONNREFUSED) => {
                let me = self.ends[end];
                self.peers[me] = None;
            }
            Op::Recv { end, len } => {
                let load = &mut self.loads[self.ends[end]];
                match (&outcome.0, self.kind) {
                    (Err(libc::EAGAIN), _) => *load = Load::default(),
                    // A stream's messages join: what is left may still be that many.
                    (Ok(_), Kind::Stream) => load.bytes = load.bytes.saturating_sub(len),
                    (Ok(_), _) => {
                        load.messages = load.messages.saturating_sub(1);
                        load.bytes = if load.messages == 0 { 0 } else { load.bytes };
                    }
                    _ => {}
                }
            }
            Op::Fill { to, .. } => self.loads[self.ends[to]] = Load::default(),
            Op::Duplicate { end } if done => self.ends.push(self.ends[end]),
            Op::Close { end } => drop(self.ends.remove(end)),
            Op::Unbound if done => {
                let me = self.add(None);
                self.ends.push(me);
            }
            Op::Bind { name, .. } if done && self.kind == Kind::Datagram => {
                let me = self.add(None);
                self.ends.push(me);
                self.names[name] = Some(me);
            }
            Op::Bind { .. } if done => {
                self.listens = true;
                self.backlog.clear();
            }
            Op::CloseListener => {
                self.listens = false;
                self.backlog.clear();
            }
            Op::Unlink { name } if done => self.names[name] = None,
            Op::Connect { name } if done && self.kind == Kind::Datagram => {
                let me = self.add(self.names[name]);
                self.ends.push(me);
            }
            Op::Connect { .. } if done => {
                let there = self.add(None);
                let me = self.add(Some(there));
                self.peers[there] = Some(me);
                self.ends.push(me);
                self.backlog.push(there);
            }
            Op::ConnectEnd { end, name } if done => {
                let me = self.ends[end];
                self.peers[me] = self.names[name];
            }
            Op::Accept if done => {
                let me = self.backlog.remove(0);
                self.ends.push(me);
            }
            _ => {}
        }
    }

    fn sent(&mut self, to: Option<usize>, len: usize) {
        if let Some(to) = to {
            self.loads[to].bytes += len;
            self.loads[to].messages += 1;
        }
    }
}

/// Lengths at which something changes, and some between.
fn length(dice: &mut fastrand::Rng, kind: Kind) -> usize {
    const EDGES: [usize; 10] = [0, 1, 2, 100, 2048, 4095, 4096, 4097, 8192, 20_000];
    // Whether an empty record that is left counts as thrown away depends on the kernel's version.
    let least = usize::from(kind == Kind::Seqpacket);
    let len = match dice.u8(0..20) {
        0 if kind != Kind::Stream => SEND_BUFFER - 32 + dice.usize(0..2),
        1..5 => EDGES[dice.usize(0..EDGES.len())],
        5..10 => dice.usize(0..5000),
        _ => dice.usize(0..200),
    };
    len.max(least)
}

/// Operations of one random sequence.
const LENGTH: u64 = 60;

fn random(
    kind: Kind,
    sides: &mut Lockstep<Kernel, Adapter>,
    dice: &mut fastrand::Rng,
) -> Result<u64, Box<Divergence>> {
    let (ends, peers, loads, backlog) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut plan = Plan { kind, ends, peers, loads, names: [None; Names::MOST], backlog, listens: false };
    if dice.bool() {
        sides.step(&Op::Pair)?;
        plan.pair();
    }
    for _ in 0..LENGTH {
        let op = plan.any(dice);
        let outcome = sides.step(&op)?;
        plan.note(op, &outcome);
    }
    Ok(LENGTH)
}

/// Compares sockets of this kind: all scripts, then so many random sequences from `seed` on.
///
/// # Errors
/// A socket could not be made.
pub fn compare(kind: Kind, seed: u64, sequences: u64) -> io::Result<Report> {
    let mechanism = match kind {
        Kind::Stream => "stream",
        Kind::Seqpacket => "seqpacket",
        Kind::Datagram => "datagram",
    };
    let sides = |number| Ok((Kernel::new(kind, number), Adapter::new(kind, number)));
    crate::compare(mechanism, scripts(kind), seed, sequences, sides, |sides, dice| random(kind, sides, dice))
}
