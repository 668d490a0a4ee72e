//! Datagrams (SOCK_DGRAM): messages without a connection, from anybody to whoever has the name. Nothing is lost and nothing
//! reordered: a sender waits while the receiver's ring is full.
//!
//! Without a connection nobody could pass a ring on, since the receiver need not be running anything when somebody sends.
//! So the name is the ring: a segment in a file at the path, which the receiver alone may write and whoever may, may send.
//! That the receiver is there is a shared lock of an open file description (`Hold` in `liveness`), which its forked children
//! share. A socket without a name has its ring in sealed memory, for the other socket of a pair.
#![forbid(unsafe_code)]

use super::Options;
use super::link::{Fail, patience, seated};
use super::stream::failed;
use crate::adapters::nonblocking::{is_nonblocking, set_nonblocking};
use crate::adapters::pipe::{self, make, view};
use crate::adapters::seat::Seat;
use crate::adapters::seen::Seen;
use crate::channel::lock::Who;
use crate::channel::stream::{Call, Stop, Stream};
use crate::error::Error;
use crate::layout::{KIND_PAGES, KIND_RECORDS};
use crate::liveness::Hold;
use crate::open;
use crate::segment::{Place, Segment, Trust, reopen};
use crate::sync::Deadline;
use crate::view::PageView;
use nix::errno::Errno;
use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The byte that all descriptors of the receiver's socket lock together.
const RECEIVER: usize = 0;
/// The longest address, without its NUL (sun_path in unix(7)).
const NAME_MAX: usize = 107;
/// So many destinations a handle remembers, each with the descriptors of a ring.
const KNOWN: usize = 16;

/// A socket for messages without a connection. It closes with the last handle, here and in all forked children; its name
/// stays until somebody removes it.
///
/// What [`Datagram::connect`] says is said of all handles of this process, the time-outs of one handle; forked children, and
/// clones, begin with the same.
pub struct Datagram {
    own: Arc<Own>,
    inbox: Ring,
    targets: Vec<Target>,
    timeouts: [Option<Duration>; 2],
}

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes that stand in the buffer now.
    pub len: usize,
    /// Bytes that the message had. If these are more, the rest is lost (MSG_TRUNC).
    pub full: usize,
    /// The name of its sender's socket, as it was given to [`Datagram::bind`]; `None` if it has none.
    pub from: Option<PathBuf>,
}

/// What the handles of one socket in this process share, and what ends with the last of them.
struct Own {
    /// `None` only while it is dropped.
    hold: Option<Hold>,
    segment: Arc<Segment>,
    view: PageView,
    name: Vec<u8>,
    longest: usize,
    peer: Mutex<Option<Arc<Remote>>>,
}

impl Own {
    fn fd(&self) -> BorrowedFd<'_> {
        self.hold.as_ref().unwrap_or_else(|| unreachable!("taken by drop alone")).fd()
    }

    /// Where this socket is connected.
    fn peer(&self) -> MutexGuard<'_, Option<Arc<Remote>>> {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // The kernel first: whoever is told that somebody left asks it who is left.
        drop(self.hold.take());
        Stream::new(self.view.clone()).leave();
    }
}

/// Somebody's ring, to send to.
struct Remote {
    segment: Arc<Segment>,
    view: PageView,
    /// A description without locks, to ask the kernel for those of others.
    look: Hold,
}

impl Remote {
    fn new(fd: OwnedFd, segment: Arc<Segment>, view: PageView) -> Arc<Remote> {
        Arc::new(Remote { segment, view, look: Hold::received(fd) })
    }

    /// Whoever has this name now.
    fn find(path: &Path) -> io::Result<Arc<Remote>> {
        let place = Place::file(path).map_err(pipe::errno)?;
        let open = || {
            let fd = Segment::open_file(&place, Trust::Kernel)?;
            Segment::open(place.clone(), fd, Trust::Kernel)
        };
        let (fd, segment) = open().map_err(|error| match error {
            Error::NotAFile { what: "socket", .. } => Errno::EPROTOTYPE.into(),
            Error::NotAFile { .. } | Error::NotARing { .. } | Error::Directory { .. } => {
                Errno::ECONNREFUSED.into()
            }
            error => pipe::errno(error),
        })?;
        let kind = segment.header().kind;
        let view = view(&segment, KIND_RECORDS).map_err(|error| match kind {
            KIND_RECORDS => error,
            KIND_PAGES => Errno::EPROTOTYPE.into(),
            _ => Errno::ECONNREFUSED.into(),
        })?;
        open::join_fences(&segment).map_err(pipe::errno)?;
        Ok(Remote::new(fd, Arc::new(segment), view))
    }

    fn is_gone(&self) -> bool {
        !self.look.others_hold(RECEIVER)
    }
}

/// A ring as one handle uses it.
struct Ring {
    stream: Stream,
    seat: Option<Seat>,
}

impl Ring {
    fn of(view: &PageView) -> Ring {
        Ring { stream: Stream::new(view.clone()), seat: None }
    }

    /// Does `verb`, waiting until `patience` is at its end; whether it has waited.
    fn call<T>(
        &mut self,
        of: BorrowedFd<'_>,
        segment: &Arc<Segment>,
        alone: &dyn Fn(&Stream) -> bool,
        patience: &dyn Fn() -> Option<Deadline>,
        verb: impl FnOnce(&Stream, &Call<'_>) -> Result<T, Stop>,
    ) -> Result<T, Fail> {
        let Ring { stream, seat } = self;
        let seat = seated(seat, of, segment, stream)?;
        let lives = |party: u32| seat.lives(party);
        let who = Who { me: seat.me, lives: &lives };
        let alone = || alone(stream);
        verb(stream, &Call { who, alone: &alone, patience }).map_err(Fail::from)
    }
}

/// Somebody's ring as one handle uses it.
struct Target {
    remote: Arc<Remote>,
    ring: Ring,
    seen: Seen,
}

impl Datagram {
    /// Makes the name, which is a file in which the ring lies; its file system must be able to map files, as any but
    /// network file systems and some for removable media. It takes 4 KiB and the next power of two above
    /// [`Options::send_buffer`].
    ///
    /// # Errors
    /// EADDRINUSE if the name is taken, by whatever; ENOENT, EACCES, ENOSPC, EMFILE; ENAMETOOLONG (108 bytes);
    /// EOPNOTSUPP if files there cannot be made without a name (O_TMPFILE).
    pub fn bind(path: impl AsRef<Path>, options: &Options) -> io::Result<Datagram> {
        let path = path.as_ref();
        let name = path.as_os_str().as_bytes();
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG.into());
        }
        let place = Place::file(path).map_err(pipe::errno)?;
        if path.symlink_metadata().is_ok() {
            return Err(Errno::EADDRINUSE.into());
        }
        Datagram::open(place, name, options, options.record_pages()?).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Errno::EADDRINUSE.into(),
            _ => error,
        })
    }

    /// A socket without a name: it can send, and nobody can answer.
    ///
    /// # Errors
    /// ENOMEM, EMFILE, EINVAL for an impossible size.
    pub fn unbound(options: &Options) -> io::Result<Datagram> {
        options.record_pages()?;
        Datagram::open(Place::Anonymous, &[], options, [1, 2])
    }

    /// Two sockets without names, connected with each other (socketpair(2)), for this process and the children that it
    /// forks.
    ///
    /// # Errors
    /// As [`Datagram::unbound`].
    pub fn pair(options: &Options) -> io::Result<(Datagram, Datagram)> {
        let pages = options.record_pages()?;
        let one = Datagram::open(Place::Anonymous, &[], options, pages)?;
        let other = Datagram::open(Place::Anonymous, &[], options, pages)?;
        *one.own.peer() = Some(other.as_remote()?);
        *other.own.peer() = Some(one.as_remote()?);
        Ok((one, other))
    }

    fn open(place: Place, name: &[u8], options: &Options, pages: [u64; 2]) -> io::Result<Datagram> {
        let (fd, segment, view) = make(KIND_RECORDS, pages[0], pages[1], place, 0o600)?;
        let hold = Hold::new(&segment, fd.as_fd()).map_err(pipe::errno)?;
        let held = hold.be_present(&segment).and_then(|here| Ok(here && hold.share(&segment, RECEIVER)?));
        if !held.map_err(pipe::errno)? {
            return Err(Errno::EAGAIN.into());
        }
        let own = Own {
            hold: Some(hold),
            segment: Arc::new(segment),
            view,
            name: name.into(),
            longest: options.longest_message(),
            peer: Mutex::new(None),
        };
        let socket = Datagram::on(Arc::new(own));
        socket.set_nonblocking(options.nonblocking)?;
        // Whoever sees the name sees that somebody receives there.
        socket.own.segment.publish(fd.as_fd()).map_err(pipe::errno)?;
        Ok(socket)
    }

    fn on(own: Arc<Own>) -> Datagram {
        let inbox = Ring::of(&own.view);
        Datagram { own, inbox, targets: Vec::new(), timeouts: [None; 2] }
    }

    fn as_remote(&self) -> io::Result<Arc<Remote>> {
        let fd = reopen(self.own.segment.place(), self.own.fd()).map_err(pipe::errno)?;
        Ok(Remote::new(fd, self.own.segment.clone(), self.own.view.clone()))
    }

    /// From now on [`Datagram::send`] sends there, to whoever has the name now (connect(2)). What was received and not read
    /// is lost if the socket had been connected.
    ///
    /// # Errors
    /// ENOENT; ECONNREFUSED if nobody receives there; EPROTOTYPE if it is another kind of socket; EACCES, EMFILE; EOPNOTSUPP
    /// if its ring relies on membarrier(2), which this process may not call.
    pub fn connect(&mut self, path: impl AsRef<Path>) -> io::Result<()> {
        let remote = Remote::find(path.as_ref())?;
        if remote.is_gone() {
            return Err(Errno::ECONNREFUSED.into());
        }
        if self.own.peer().replace(remote).is_some() {
            self.forget_received();
        }
        Ok(())
    }

    fn forget_received(&mut self) {
        // What cannot be thrown away is received.
        let _ = self.receive_with(&|_| false, |inbox, call| inbox.purge_records(call));
    }

    /// Sends one message, which may be empty, to whoever has this name; waits for room. All of it or nothing.
    ///
    /// # Errors
    /// As [`Datagram::connect`]; EMSGSIZE if it is longer than the send buffer less 32, or than the receiver's ring;
    /// EPIPE if this socket's sending was shut, or the other's receiving; EAGAIN, EINTR, EIO.
    pub fn send_to(&mut self, message: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let path = path.as_ref();
        self.may_send(message)?;
        let known = |target: &Target| {
            target.remote.segment.place().path().as_deref() == Some(path) && target.remote.segment.is_named()
        };
        let target = match self.targets.iter().position(known) {
            Some(at) => self.targets.swap_remove(at),
            None => Target::new(Remote::find(path)?),
        };
        let (sent, _) = self.send_through(target, message);
        sent
    }

    /// Sends one message to where this socket is connected; waits for room. All of it or nothing.
    ///
    /// # Errors
    /// ENOTCONN if it is not connected; ECONNREFUSED if nobody receives there any more, and then it is not connected from
    /// then on; else as [`Datagram::send_to`].
    pub fn send(&mut self, message: &[u8]) -> io::Result<usize> {
        self.may_send(message)?;
        let Some(peer) = self.own.peer().clone() else { return Err(Errno::ENOTCONN.into()) };
        let target = match self.targets.iter().position(|target| Arc::ptr_eq(&target.remote, &peer)) {
            Some(at) => self.targets.swap_remove(at),
            None => Target::new(peer.clone()),
        };
        let (sent, refused) = self.send_through(target, message);
        let still = |now: &mut Arc<Remote>| Arc::ptr_eq(now, &peer);
        if refused && self.own.peer().take_if(still).is_some() {
            self.forget_received();
        }
        sent
    }

    fn may_send(&self, message: &[u8]) -> io::Result<()> {
        match () {
            () if message.len() > self.own.longest => Err(Errno::EMSGSIZE.into()),
            () if self.inbox.stream.is_mute() => Err(Errno::EPIPE.into()),
            () => Ok(()),
        }
    }

    /// Sends, and keeps the target for the next time; whether nobody is there.
    fn send_through(&mut self, mut target: Target, message: &[u8]) -> (io::Result<usize>, bool) {
        let until = Cell::new(None);
        let patience = patience(self.own.fd(), &until, || self.timeouts[1]);
        let sent = target.send(&self.own.name, message, &patience);
        let refused = matches!(&sent, Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED));
        if !refused {
            if self.targets.len() == KNOWN {
                // Any will do: who sends to so many in turn opens them each time.
                self.targets.swap_remove(0);
            }
            self.targets.push(target);
        }
        (sent, refused)
    }

    /// Receives one message, or waits for it: how many bytes stand in `to` now. What does not fit is lost. 0: it was empty,
    /// or this socket's receiving was shut.
    ///
    /// # Errors
    /// EAGAIN, EINTR, EIO.
    pub fn recv(&mut self, to: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv_from(to)?.map_or(0, |received| received.len))
    }

    /// As [`Datagram::recv`], and says from whom it came and how long it was. `None`: this socket's receiving was shut, and
    /// nothing is left; but with O_NONBLOCK that is EAGAIN, as the kernel has it.
    ///
    /// # Errors
    /// As [`Datagram::recv`].
    pub fn recv_from(&mut self, to: &mut [u8]) -> io::Result<Option<Received>> {
        self.receive(to, false)
    }

    /// As [`Datagram::recv_from`], and the message stays the next (MSG_PEEK).
    ///
    /// # Errors
    /// As [`Datagram::recv`].
    pub fn peek_from(&mut self, to: &mut [u8]) -> io::Result<Option<Received>> {
        self.receive(to, true)
    }

    fn receive(&mut self, to: &mut [u8], keep: bool) -> io::Result<Option<Received>> {
        let own = self.own.clone();
        let mut name = [0; NAME_MAX];
        let ended = |inbox: &Stream| inbox.is_shut() && !is_nonblocking(own.fd());
        let taken = self.receive_with(&ended, |inbox, call| inbox.recv_record(&mut name, to, keep, call))?;
        Ok(taken.map(|taken| {
            let name = &name[..taken.name.min(NAME_MAX)];
            let from = (!name.is_empty()).then(|| OsStr::from_bytes(name).into());
            Received { len: taken.len, full: taken.full, from }
        }))
    }

    fn receive_with<T>(
        &mut self,
        alone: &dyn Fn(&Stream) -> bool,
        verb: impl FnOnce(&Stream, &Call<'_>) -> Result<T, Stop>,
    ) -> io::Result<T> {
        let own = &self.own;
        let until = Cell::new(None);
        let timeout = self.timeouts[0];
        let patience = patience(own.fd(), &until, || timeout);
        let received = self.inbox.call(own.fd(), &own.segment, alone, &patience, verb);
        received.map_err(|fail| failed(fail, Errno::EPIPE))
    }

    /// Bytes in the next message (FIONREAD); may be stale at once.
    ///
    /// # Errors
    /// EAGAIN if another is just receiving and has been stopped, EIO.
    pub fn unread(&mut self) -> io::Result<usize> {
        self.receive_with(&|_| false, |inbox, call| inbox.unread_records(false, call))
    }

    /// Ends sending or receiving or both, for all who have this socket open (shutdown(2)).
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            self.inbox.stream.set_mute();
        }
        if how != Shutdown::Write {
            self.receive_with(&|_| false, |inbox, call| {
                inbox.shut(&call.who);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The name that this socket was bound to.
    #[must_use]
    pub fn local_path(&self) -> Option<&Path> {
        (!self.own.name.is_empty()).then(|| Path::new(OsStr::from_bytes(&self.own.name)))
    }

    /// Whether calls that would wait fail with EAGAIN (O_NONBLOCK). Said of the socket: clones and forked children share it.
    ///
    /// # Errors
    /// EBADF if somebody closed the descriptor.
    pub fn set_nonblocking(&self, yes: bool) -> io::Result<()> {
        set_nonblocking(self.own.fd(), yes)
    }

    /// For how long a call waits to receive, then EAGAIN; `None`: for ever.
    ///
    /// # Errors
    /// EINVAL for no time at all.
    pub fn set_read_timeout(&mut self, time: Option<Duration>) -> io::Result<()> {
        self.set_timeout(0, time)
    }

    /// For how long a call waits to send, then EAGAIN; `None`: for ever.
    ///
    /// # Errors
    /// EINVAL for no time at all.
    pub fn set_write_timeout(&mut self, time: Option<Duration>) -> io::Result<()> {
        self.set_timeout(1, time)
    }

    fn set_timeout(&mut self, which: usize, time: Option<Duration>) -> io::Result<()> {
        if time == Some(Duration::ZERO) {
            return Err(Errno::EINVAL.into());
        }
        self.timeouts[which] = time;
        Ok(())
    }

    /// Another handle on the same socket, as dup(2). For another thread: each handle does one thing at a time.
    ///
    /// # Errors
    /// None now; it may need a descriptor one day.
    pub fn try_clone(&self) -> io::Result<Datagram> {
        Ok(Datagram { timeouts: self.timeouts, ..Datagram::on(self.own.clone()) })
    }
}

impl Target {
    fn new(remote: Arc<Remote>) -> Target {
        Target { ring: Ring::of(&remote.view), remote, seen: Seen::default() }
    }

    fn send(
        &mut self,
        name: &[u8],
        message: &[u8],
        patience: &dyn Fn() -> Option<Deadline>,
    ) -> io::Result<usize> {
        let Target { remote, ring, seen } = self;
        let alone =
            |stream: &Stream| stream.is_shut() || seen.all_gone(stream.departures(), || remote.is_gone());
        let sent = ring.call(remote.look.fd(), &remote.segment, &alone, patience, |stream, call| {
            if message.len() > stream.longest_record(name.len()) {
                return Ok(Err(Errno::EMSGSIZE.into()));
            }
            stream.send_record(name, message, call).map(|()| Ok(message.len()))
        });
        let gone = || if remote.is_gone() { Errno::ECONNREFUSED } else { Errno::EPIPE };
        sent.map_err(|fail| match fail {
            Fail::Gone => gone().into(),
            fail => failed(fail, Errno::EPIPE),
        })?
    }
}

impl AsFd for Datagram {
    /// The descriptor that stands for the socket. Whoever has it keeps the socket open; poll(2) says nothing of messages.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.own.fd()
    }
}
