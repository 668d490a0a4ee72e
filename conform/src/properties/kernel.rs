//! The kernel's own: pipes, FIFOs, message queues, Unix sockets.
#![forbid(unsafe_code)]

use super::{
    Found, Line, death_of_a_receiver, death_of_a_sender, death_of_an_end, found, fresh, opening, outcome,
};
use crate::process::write_without_opening;
use crate::sys::{self, Mq};
use libc::{IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, sendto,
    socket_with, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A reading and a writing end.
type Ends = (OwnedFd, OwnedFd);

fn read(fd: impl AsFd, room: usize) -> io::Result<Vec<u8>> {
    let mut to = vec![0; room];
    let len = rustix::io::read(fd, &mut to[..])?;
    to.truncate(len);
    Ok(to)
}

/// Without SIGPIPE for who has not said what to do about it: Rust's programs ignore it, and so do sockets here.
fn write(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, bytes)?)
}

fn closed() -> io::Result<Found> {
    let refused = outcome(&write_without_opening());
    found("no", format!("write without an open descriptor: {refused}"))
}

/// A path of this process's own; what stands there is removed in the end.
pub(super) struct Name(pub(super) PathBuf);

impl Name {
    pub(super) fn new() -> Name {
        Name(std::env::temp_dir().join(fresh()))
    }
}

impl AsRef<Path> for Name {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// pipe(2)
pub(super) struct Pipe(Ends);

fn pipe() -> io::Result<Ends> {
    Ok(pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?)
}

impl Line for Pipe {
    fn new() -> io::Result<Self> {
        pipe().map(Pipe)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&self.0.1, bytes)
    }

    fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
        read(&self.0.0, room)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.0.as_fd())
    }

    fn connectionless() -> io::Result<Found> {
        closed()
    }

    fn open_waits() -> io::Result<Found> {
        found("n/a", "made with both its ends open")
    }

    fn death() -> io::Result<Found> {
        death_of_an_end(pipe, |fd| Ok(read(fd, 9)?.len()), |fd| write(fd, b"x"))
    }
}

/// mkfifo(3)
pub(super) struct Fifo(Ends);

fn fifo(name: &Name) -> io::Result<()> {
    Ok(mknodat(CWD, &name.0, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

fn fifo_ends() -> io::Result<Ends> {
    let name = Name::new();
    fifo(&name)?;
    let end = |how| open(&name.0, how | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    // The reading end first: a writing end does not open without one.
    Ok((end(OFlags::RDONLY)?, end(OFlags::WRONLY)?))
}

impl Line for Fifo {
    fn new() -> io::Result<Self> {
        fifo_ends().map(Fifo)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&self.0.1, bytes)
    }

    fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
        read(&self.0.0, room)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.0.as_fd())
    }

    fn connectionless() -> io::Result<Found> {
        closed()
    }

    fn open_waits() -> io::Result<Found> {
        let name = Name::new();
        fifo(&name)?;
        opening("open(2) for writing", || Ok(open(&name.0, OFlags::WRONLY, Mode::empty()).map(drop)?))
    }

    fn death() -> io::Result<Found> {
        death_of_an_end(fifo_ends, |fd| Ok(read(fd, 9)?.len()), |fd| write(fd, b"x"))
    }
}

/// msgget(2)
pub(super) struct SysvMq(i32);

impl Drop for SysvMq {
    fn drop(&mut self) {
        let _ = sys::msgrmid(self.0);
    }
}

impl SysvMq {
    fn receive_type(&self, kind: i64) -> io::Result<Vec<u8>> {
        let mut to = vec![0; 64];
        let (len, _) = sys::msgrcv(self.0, &mut to, kind, IPC_NOWAIT)?;
        to.truncate(len);
        Ok(to)
    }
}

impl Line for SysvMq {
    fn new() -> io::Result<Self> {
        sys::msgget(IPC_PRIVATE, IPC_CREAT | 0o600).map(SysvMq)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sys::msgsnd(self.0, 1, bytes, IPC_NOWAIT).map(|()| bytes.len())
    }

    fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
        let mut to = vec![0; room];
        let (len, _) = sys::msgrcv(self.0, &mut to, 0, IPC_NOWAIT)?;
        to.truncate(len);
        Ok(to)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn connectionless() -> io::Result<Found> {
        // Below 0, which no identifier is.
        let key = -i32::from_ne_bytes(std::process::id().to_ne_bytes());
        let queue = SysvMq(sys::msgget(key, IPC_CREAT | 0o600)?);
        let refused = outcome(&sys::msgsnd(key, 1, b"x", IPC_NOWAIT));
        drop(queue);
        found("no", format!("msgsnd with the key instead of the identifier that msgget gives: {refused}"))
    }

    fn open_waits() -> io::Result<Found> {
        let queue = Self::new()?;
        opening("msgget(2) and msgsnd(2)", || sys::msgsnd(queue.0, 1, b"x", 0))
    }

    fn death() -> io::Result<Found> {
        death_of_a_sender::<Self>()
    }

    fn order() -> io::Result<Found> {
        let queue = Self::new()?;
        let send = |kind: i64, text: &[u8]| sys::msgsnd(queue.0, kind, text, IPC_NOWAIT);
        send(10, b"ten")?;
        send(10, b"ten")?;
        send(5, b"five")?;
        let any = queue.receive_type(0)?;
        let lowest = queue.receive_type(-10)?;
        let exact = queue.receive_type(10)?;
        super::types([&any, &lowest, &exact])
    }
}

/// mq_open(3)
pub(super) struct PosixMq(Mq);

impl PosixMq {
    fn open(nonblocking: i32) -> io::Result<(String, Mq)> {
        let name = format!("/{}", fresh());
        let of = [
            0,
            super::setting("/proc/sys/fs/mqueue/msg_default", 10).cast_signed(),
            super::setting("/proc/sys/fs/mqueue/msgsize_default", 8192).cast_signed(),
            0,
        ];
        let queue =
            sys::mq_open(&name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR | nonblocking, 0o600, of)?;
        Ok((name, queue))
    }
}

impl Line for PosixMq {
    fn new() -> io::Result<Self> {
        let (name, queue) = PosixMq::open(libc::O_NONBLOCK)?;
        sys::mq_unlink(&name)?;
        Ok(PosixMq(queue))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes, 0, None).map(|()| bytes.len())
    }

    fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
        // A buffer shorter than the longest message is EMSGSIZE.
        let mut to = vec![0; room.max(self.0.attributes()?[2] as usize)];
        let (len, _) = self.0.receive(&mut to, None)?;
        to.truncate(len);
        Ok(to)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn connectionless() -> io::Result<Found> {
        let refused = outcome(&sys::mq_open(&format!("/{}", fresh()), libc::O_WRONLY, 0, [0; 4]));
        let closed = outcome(&write_without_opening());
        found("no", format!("opening what nobody made: {refused}; sending without an open queue: {closed}"))
    }

    fn open_waits() -> io::Result<Found> {
        opening("mq_open(3) and mq_send(3)", || {
            let (name, queue) = PosixMq::open(0)?;
            sys::mq_unlink(&name)?;
            queue.send(b"x", 0, None)
        })
    }

    fn death() -> io::Result<Found> {
        death_of_a_sender::<Self>()
    }

    fn order() -> io::Result<Found> {
        let mut queue = Self::new()?;
        queue.0.send(b"low", 0, None)?;
        queue.0.send(b"high", 32767, None)?;
        let beyond = queue.0.send(b"beyond", 32768, None);
        let first = queue.receive(64)?;
        super::priorities(&first, &beyond)
    }
}

fn sockets(kind: SocketType) -> io::Result<Ends> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(socketpair(AddressFamily::UNIX, kind, flags, None)?)
}

fn send(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(fd, bytes, SendFlags::NOSIGNAL)?)
}

fn unconnected(kind: SocketType, flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, kind, flags | SocketFlags::CLOEXEC, None)?)
}

/// A socket that receives, or is listened at, at a name of its own.
fn at_a_name(kind: SocketType) -> io::Result<(Name, SocketAddrUnix, OwnedFd)> {
    let name = Name::new();
    let address = SocketAddrUnix::new(&name.0)?;
    let socket = unconnected(kind, SocketFlags::NONBLOCK)?;
    bind(&socket, &address)?;
    if kind != SocketType::DGRAM {
        listen(&socket, 5)?;
    }
    Ok((name, address, socket))
}

fn sends_unconnected(kind: SocketType) -> io::Result<Found> {
    let (_name, address, socket) = at_a_name(kind)?;
    let sender = unconnected(kind, SocketFlags::NONBLOCK)?;
    match sendto(&sender, b"hello", SendFlags::NOSIGNAL, &address) {
        Ok(_) => {
            let came = read(&socket, 64)?;
            found("yes", format!("sendto from a socket that never connected: {} bytes came", came.len()))
        }
        Err(error) => {
            let refused = super::name(&error.into());
            found("no", format!("sendto from a socket that never connected: {refused}"))
        }
    }
}

fn connects(kind: SocketType) -> io::Result<Found> {
    let (_name, address, _socket) = at_a_name(kind)?;
    opening("connect(2)", || {
        let socket = unconnected(kind, SocketFlags::empty())?;
        connect(&socket, &address)?;
        send(&socket, b"x").map(drop)
    })
}

/// The same three times: a Unix socket of a kind.
macro_rules! socket {
    ($name:ident, $kind:expr, $death:expr) => {
        /// socket(2) of AF_UNIX
        pub(super) struct $name(Ends);

        impl Line for $name {
            fn new() -> io::Result<Self> {
                sockets($kind).map($name)
            }

            fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
                send(&self.0.1, bytes)
            }

            fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
                read(&self.0.0, room)
            }

            fn descriptor(&self) -> Option<BorrowedFd<'_>> {
                Some(self.0.0.as_fd())
            }

            fn connectionless() -> io::Result<Found> {
                sends_unconnected($kind)
            }

            fn open_waits() -> io::Result<Found> {
                connects($kind)
            }

            fn death() -> io::Result<Found> {
                $death(|| sockets($kind))
            }
        }
    };
}

fn ends(make: impl Fn() -> io::Result<Ends>) -> io::Result<Found> {
    death_of_an_end(make, |fd| Ok(read(fd, 9)?.len()), |fd| send(fd, b"x"))
}

fn refused(make: impl Fn() -> io::Result<Ends>) -> io::Result<Found> {
    let told = death_of_a_receiver(make, |fd| send(fd, b"x"))?;
    found(told.clone(), format!("send: {told} when the receiver was killed"))
}

socket!(Stream, SocketType::STREAM, ends);
socket!(Datagram, SocketType::DGRAM, refused);
socket!(Seqpacket, SocketType::SEQPACKET, ends);
