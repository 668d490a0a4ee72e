//! Slipring's adapters.
#![forbid(unsafe_code)]

use super::kernel::Name;
use super::{
    Found, Line, death_of_a_receiver, death_of_a_sender, death_of_an_end, found, fresh, opening, outcome,
};
use libc::{IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE};
use slipring::adapters::pipe::{Options, Reader, Writer, pipe_with};
use slipring::adapters::socket::{self, SeqpacketListener, StreamListener};
use slipring::adapters::{fifo, posix_mq, sysv_mq};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

fn read(from: &mut impl Read, room: usize) -> io::Result<Vec<u8>> {
    let mut to = vec![0; room];
    let len = from.read(&mut to)?;
    to.truncate(len);
    Ok(to)
}

/// What makes a writing end of any descriptor but that of one.
fn closed() -> io::Result<Found> {
    let refused = outcome(&Writer::from_fd(File::options().write(true).open("/dev/null")?.into()));
    found("no", format!("a writer made of a descriptor that is no open end: {refused}"))
}

/// The same for what ends like a pipe.
macro_rules! ends {
    () => {
        fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.1.write(bytes)
        }

        fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
            read(&mut self.0.0, room)
        }

        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            Some(self.0.0.as_fd())
        }
    };
}

/// `adapters::pipe`
pub(super) struct Pipe((Reader, Writer));

fn pipe() -> io::Result<(Reader, Writer)> {
    pipe_with(&Options::new().nonblocking(true))
}

impl Line for Pipe {
    fn new() -> io::Result<Self> {
        pipe().map(Pipe)
    }

    ends!();

    fn connectionless() -> io::Result<Found> {
        closed()
    }

    fn open_waits() -> io::Result<Found> {
        found("n/a", "made with both its ends open")
    }

    fn death() -> io::Result<Found> {
        death_of_an_end(pipe, |end| end.read(&mut [0; 9]), |end| end.write(b"x"))
    }
}

/// `adapters::fifo`
pub(super) struct Fifo((Reader, Writer));

/// In shared memory, since it must be mapped; the name goes when this is dropped.
struct Called(fifo::Fifo);

impl Called {
    fn new() -> io::Result<Called> {
        let fifo = fifo::Fifo::named(&format!("/{}", fresh()))?;
        fifo.create(&Options::new(), 0o600)?;
        Ok(Called(fifo))
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        let _ = self.0.unlink();
    }
}

fn fifo_ends() -> io::Result<(Reader, Writer)> {
    let name = Called::new()?;
    let reader = name.0.open_reader(fifo::Open::Nonblocking)?;
    Ok((reader, name.0.open_writer(fifo::Open::Nonblocking)?))
}

impl Line for Fifo {
    fn new() -> io::Result<Self> {
        fifo_ends().map(Fifo)
    }

    ends!();

    fn connectionless() -> io::Result<Found> {
        closed()
    }

    fn open_waits() -> io::Result<Found> {
        let name = Called::new()?;
        opening("opening it for writing", || name.0.open_writer(fifo::Open::Wait).map(drop))
    }

    fn death() -> io::Result<Found> {
        death_of_an_end(fifo_ends, |end| end.read(&mut [0; 9]), |end| end.write(b"x"))
    }
}

/// `adapters::sysv_mq`
pub(super) struct SysvMq(sysv_mq::Queue);

impl Drop for SysvMq {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

fn sysv_queue(key: i32) -> io::Result<SysvMq> {
    sysv_mq::get_queue(key, IPC_CREAT | 0o600, &sysv_mq::Options::new()).map(SysvMq)
}

impl SysvMq {
    fn receive_type(&mut self, kind: i64, room: usize) -> io::Result<Vec<u8>> {
        let mut to = vec![0; room];
        let (len, _) = self.0.receive(&mut to, kind, IPC_NOWAIT)?;
        to.truncate(len);
        Ok(to)
    }
}

impl Line for SysvMq {
    fn new() -> io::Result<Self> {
        sysv_queue(IPC_PRIVATE)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(1, bytes, IPC_NOWAIT).map(|()| bytes.len())
    }

    fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
        self.receive_type(0, room)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn connectionless() -> io::Result<Found> {
        // Below 0, which no identifier is.
        let key = -i32::from_ne_bytes(std::process::id().to_ne_bytes());
        let queue = sysv_queue(key)?;
        let refused = outcome(&sysv_mq::Queue::of_id(key));
        drop(queue);
        found("no", format!("the key instead of the identifier: {refused}"))
    }

    fn open_waits() -> io::Result<Found> {
        let mut queue = Self::new()?;
        opening("getting the queue and sending", || queue.0.send(1, b"x", 0))
    }

    fn death() -> io::Result<Found> {
        death_of_a_sender::<Self>()
    }

    fn order() -> io::Result<Found> {
        let mut queue = Self::new()?;
        for (kind, text) in [(10, &b"ten"[..]), (10, b"ten"), (5, b"five")] {
            queue.0.send(kind, text, IPC_NOWAIT)?;
        }
        let mut of = |kind| queue.receive_type(kind, 64);
        let (any, lowest, exact) = (of(0)?, of(-10)?, of(10)?);
        super::types([&any, &lowest, &exact])
    }
}

/// `adapters::posix_mq`
pub(super) struct PosixMq(posix_mq::Queue);

fn posix_queue(nonblocking: bool) -> io::Result<posix_mq::Queue> {
    let name = format!("/{}", fresh());
    let how = posix_mq::Open::existing(posix_mq::Access::Both).create(&posix_mq::Options::new());
    let queue = how.exclusive(true).nonblocking(nonblocking).open(&name)?;
    posix_mq::unlink(&name)?;
    Ok(queue)
}

impl Line for PosixMq {
    fn new() -> io::Result<Self> {
        posix_queue(true).map(PosixMq)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes, 0).map(|()| bytes.len())
    }

    fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
        let mut to = vec![0; room.max(self.0.attributes()?.message_size)];
        let (len, _) = self.0.receive(&mut to)?;
        to.truncate(len);
        Ok(to)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn connectionless() -> io::Result<Found> {
        let open = posix_mq::Open::existing(posix_mq::Access::Write).open(&format!("/{}", fresh()));
        found("no", format!("opening what nobody made: {}", outcome(&open)))
    }

    fn open_waits() -> io::Result<Found> {
        opening("opening and sending", || posix_queue(false)?.send(b"x", 0))
    }

    fn death() -> io::Result<Found> {
        death_of_a_sender::<Self>()
    }

    fn order() -> io::Result<Found> {
        let mut queue = Self::new()?;
        queue.0.send(b"low", 0)?;
        queue.0.send(b"high", 32767)?;
        let beyond = queue.0.send(b"beyond", 32768);
        let first = queue.receive(64)?;
        super::priorities(&first, &beyond)
    }
}

fn quick() -> socket::Options {
    socket::Options::new().nonblocking(true)
}

/// What a connection says to who was not connected: its verbs are those of a connection, so this is about the name.
fn unconnected<T>(connect: impl Fn(&Name) -> io::Result<T>) -> io::Result<Found> {
    let refused = outcome(&connect(&Name::new()));
    found("no", format!("connecting where nobody listens: {refused}; sending is a connection's verb"))
}

fn stream_pair() -> io::Result<(socket::Stream, socket::Stream)> {
    socket::Stream::pair(&quick())
}

/// `adapters::socket::Stream`
pub(super) struct Stream((socket::Stream, socket::Stream));

impl Line for Stream {
    fn new() -> io::Result<Self> {
        stream_pair().map(Stream)
    }

    ends!();

    fn connectionless() -> io::Result<Found> {
        unconnected(|name| socket::Stream::connect(name, &quick()))
    }

    fn open_waits() -> io::Result<Found> {
        let name = Name::new();
        let _listener = StreamListener::bind(&name, &quick())?;
        opening("connecting and sending", || {
            socket::Stream::connect(&name, &socket::Options::new())?.write(b"x").map(drop)
        })
    }

    fn death() -> io::Result<Found> {
        death_of_an_end(stream_pair, |end| end.read(&mut [0; 9]), |end| end.write(b"x"))
    }
}

fn record_pair() -> io::Result<(socket::Seqpacket, socket::Seqpacket)> {
    socket::Seqpacket::pair(&quick())
}

/// `adapters::socket::Seqpacket`
pub(super) struct Seqpacket((socket::Seqpacket, socket::Seqpacket));

impl Line for Seqpacket {
    fn new() -> io::Result<Self> {
        record_pair().map(Seqpacket)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.1.send(bytes)
    }

    fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
        let mut to = vec![0; room];
        let len = self.0.0.recv(&mut to)?;
        to.truncate(len);
        Ok(to)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.0.as_fd())
    }

    fn connectionless() -> io::Result<Found> {
        unconnected(|name| socket::Seqpacket::connect(name, &quick()))
    }

    fn open_waits() -> io::Result<Found> {
        let name = Name::new();
        let _listener = SeqpacketListener::bind(&name, &quick())?;
        opening("connecting and sending", || {
            socket::Seqpacket::connect(&name, &socket::Options::new())?.send(b"x").map(drop)
        })
    }

    fn death() -> io::Result<Found> {
        death_of_an_end(record_pair, |end| end.recv(&mut [0; 9]), |end| end.send(b"x"))
    }
}

fn datagram_pair() -> io::Result<(socket::Datagram, socket::Datagram)> {
    socket::Datagram::pair(&quick())
}

/// `adapters::socket::Datagram`
pub(super) struct Datagram((socket::Datagram, socket::Datagram));

impl Line for Datagram {
    fn new() -> io::Result<Self> {
        datagram_pair().map(Datagram)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.1.send(bytes)
    }

    fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
        let mut to = vec![0; room];
        let len = self.0.0.recv(&mut to)?;
        to.truncate(len);
        Ok(to)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.0.as_fd())
    }

    fn connectionless() -> io::Result<Found> {
        let name = Name::new();
        let mut receiver = socket::Datagram::bind(&name, &quick())?;
        let sent = socket::Datagram::unbound(&quick())?.send_to(b"hello", &name);
        let came = receiver.recv(&mut [0; 64]);
        let value = if matches!(came, Ok(5)) { "yes" } else { "no" };
        found(value, format!("send_to from a socket that never connected: {}", outcome(&sent)))
    }

    fn open_waits() -> io::Result<Found> {
        let name = Name::new();
        let _receiver = socket::Datagram::bind(&name, &quick())?;
        opening("connecting and sending", || {
            let mut sender = socket::Datagram::unbound(&socket::Options::new())?;
            sender.connect(&name)?;
            sender.send(b"x").map(drop)
        })
    }

    fn death() -> io::Result<Found> {
        let told = death_of_a_receiver(datagram_pair, |socket| socket.send(b"x"))?;
        found(told.clone(), format!("send: {told} when the receiver was killed"))
    }
}
