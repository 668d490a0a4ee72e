//! Names and who meets there: bind, listen, connect, accept, all of it the kernel's own, on a Unix socket of the right type.
//! What is added: who is talked to, and that each connection gets its rings (`link.rs`).
#![forbid(unsafe_code)]

use super::link::{Link, Way, credentials, set_timeout};
use super::{Options, Seqpacket, Stream};
use crate::segment::Trust;
use nix::errno::Errno;
use nix::unistd::geteuid;
use rustix::net::sockopt::Timeout;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
    socketpair,
};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A kind of connection: [`Stream`] or [`Seqpacket`].
pub trait Connection: Sized + sealed::Sealed {}

pub(super) mod sealed {
    use super::super::Options;
    use super::Link;
    use rustix::net::SocketType;
    use std::io;

    pub trait Sealed {
        const TYPE: SocketType;
        const KIND: u32;
        fn pages(options: &Options) -> io::Result<[u64; 2]>;
        fn of(link: Link) -> Self;
    }
}

/// A socket that waits for connections at a path (bind(2), listen(2)). The name stays when it is closed, as any Unix
/// socket's, until somebody removes it. Handles work in forked children; whoever of them accepts has the connection.
pub struct Listener<C: Connection> {
    socket: Arc<OwnedFd>,
    strangers: bool,
    kind: PhantomData<fn() -> C>,
}

/// Waits for streams.
pub type StreamListener = Listener<Stream>;
/// Waits for connections with message boundaries.
pub type SeqpacketListener = Listener<Seqpacket>;

fn socket(of: SocketType, nonblocking: bool) -> io::Result<OwnedFd> {
    let mut flags = SocketFlags::CLOEXEC;
    flags.set(SocketFlags::NONBLOCK, nonblocking);
    Ok(socket_with(AddressFamily::UNIX, of, flags, None)?)
}

/// Whom to believe of this peer; `None`: it is not talked to.
fn trust(peer: BorrowedFd<'_>, strangers: bool) -> io::Result<Option<Trust>> {
    let uid = credentials(peer)?.uid;
    Ok(match uid == 0 || uid == geteuid().as_raw() {
        true => Some(Trust::Kernel),
        false => strangers.then_some(Trust::Distrust),
    })
}

impl<C: Connection> Listener<C> {
    /// Makes the name and listens there. Who may connect is a matter of the permissions of the name and its directory;
    /// whom is then talked to, of [`Options::strangers`].
    ///
    /// # Errors
    /// EADDRINUSE if the name is taken, by whatever; ENOENT, EACCES, ENAMETOOLONG (108 bytes), EINVAL.
    pub fn bind(path: impl AsRef<Path>, options: &Options) -> io::Result<Listener<C>> {
        let socket = socket(C::TYPE, options.nonblocking)?;
        bind(&socket, &SocketAddrUnix::new(path.as_ref())?)?;
        listen(&socket, options.backlog)?;
        Ok(Listener { socket: Arc::new(socket), strangers: options.strangers, kind: PhantomData })
    }

    /// The next connection; waits for one (accept(2)).
    ///
    /// # Errors
    /// EAGAIN if it is not to wait and there is none, or at the end of a time-out; EINTR, EMFILE, ENFILE, ENOMEM.
    pub fn accept(&self) -> io::Result<C> {
        loop {
            let socket = accept_with(&self.socket, SocketFlags::CLOEXEC)?;
            // Nobody whom this process does not talk to can keep it from accepting others.
            let Some(trust) = trust(socket.as_fd(), self.strangers)? else { continue };
            if let Ok(link) = Link::accepted(socket, C::KIND, trust) {
                return Ok(C::of(link));
            }
        }
    }

    /// Whether [`Listener::accept`] fails with EAGAIN instead of waiting (O_NONBLOCK). Said of the socket: forked children
    /// share it.
    ///
    /// # Errors
    /// EBADF if somebody closed the descriptor.
    pub fn set_nonblocking(&self, yes: bool) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.socket, yes)?)
    }

    /// For how long [`Listener::accept`] waits, then EAGAIN; `None`: for ever (SO_RCVTIMEO). Said of the socket.
    ///
    /// # Errors
    /// EINVAL for no time at all.
    pub fn set_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        set_timeout(self.socket.as_fd(), Timeout::Recv, time)
    }

    /// Another handle on the same socket, as dup(2).
    ///
    /// # Errors
    /// None now; it may need a descriptor one day.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Listener { socket: self.socket.clone(), strangers: self.strangers, kind: PhantomData })
    }
}

impl<C: Connection> AsFd for Listener<C> {
    /// The kernel's socket: poll(2) says when there is something to accept.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Connects to whoever listens at `path`.
pub(super) fn connect<C: Connection>(path: &Path, options: &Options) -> io::Result<C> {
    let socket = socket(C::TYPE, options.nonblocking)?;
    let pages = C::pages(options)?;
    // Before connecting, so that nobody has to wait for them who has accepted.
    let rings = [Way::make(C::KIND, pages)?, Way::make(C::KIND, pages)?];
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let trust = trust(socket.as_fd(), options.strangers)?.ok_or(Errno::EACCES)?;
    Ok(C::of(Link::connected(socket, C::KIND, trust, rings)?))
}

/// Two connected sockets.
pub(super) fn pair<C: Connection>(options: &Options) -> io::Result<(C, C)> {
    let mut flags = SocketFlags::CLOEXEC;
    flags.set(SocketFlags::NONBLOCK, options.nonblocking);
    let (one, other) = socketpair(AddressFamily::UNIX, C::TYPE, flags, None)?;
    let [one, other] = Link::pair([one, other], C::KIND, C::pages(options)?)?;
    Ok((C::of(one), C::of(other)))
}
