//! A connection, as streams and records have it in common: the kernel's socket, the rings, who is gone, what was shut.
//!
//! What one side writes is a ring of its own, so shutting one side's writing and the other's reading is the same thing, as
//! it is in the kernel: a bit in that ring. That the peer is gone is the kernel's to say, of the socket.
//!
//! Who accepts finds the rings in the socket, where who connected has put them right after connecting. If it has not yet,
//! the connection is accepted all the same, and its first use waits for them: nobody has to wait for a stopped stranger in
//! order to accept the next. Then they are only looked at and stay in the socket, for every process that has it.
#![forbid(unsafe_code)]

use super::Credentials;
use crate::adapters::nonblocking::is_nonblocking;
use crate::adapters::pipe::{SEATS, errno, make, view};
use crate::adapters::seat::Seat;
use crate::adapters::seen::Seen;
use crate::channel::lock::Who;
use crate::channel::stream::{Call, End, Stop, Stream};
use crate::layout::{KIND_PAGES, PAGE_LEN};
use crate::open;
use crate::segment::{Place, Segment, Trust};
use crate::sync::Deadline;
use crate::view::PageView;
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_timeout};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The ring that this side writes.
pub(super) const OUT: usize = 0;
/// The ring that this side reads.
pub(super) const IN: usize = 1;

/// First bytes of what is passed on with the rings; the kind of ring follows.
const HELLO: [u8; 12] = *b"SLIPSOCK\x01\0\0\0";
const HELLO_LEN: usize = HELLO.len() + 4;
/// For so many nanoseconds who accepts waits for them at most.
const SHORTLY: u32 = 1_000_000;

/// One way of a connection, in this process.
#[derive(Clone)]
pub(super) struct Way {
    segment: Arc<Segment>,
    view: PageView,
}

impl Way {
    /// A ring of this kind with so many pages, and the descriptor to pass on.
    pub(super) fn make(kind: u32, [limit, pages]: [u64; 2]) -> io::Result<(OwnedFd, Way)> {
        let (fd, segment, view) = make(kind, limit, pages, Place::Anonymous, 0o600)?;
        let way = Way { segment: Arc::new(segment), view };
        if kind == KIND_PAGES {
            way.stream().discard();
        }
        Ok((fd, way))
    }

    /// The ring in memory that a peer has made.
    fn received(fd: OwnedFd, kind: u32, trust: Trust) -> io::Result<Way> {
        let (_, segment) = Segment::open(Place::Anonymous, fd, trust).map_err(errno)?;
        let view = view(&segment, kind)?;
        open::join_fences(&segment).map_err(errno)?;
        Ok(Way { segment: Arc::new(segment), view })
    }

    fn stream(&self) -> Stream {
        Stream::new(self.view.clone())
    }
}

/// What all handles of one side in this process share, and what ends with the last of them.
struct Opened {
    /// `None` only while it is dropped.
    socket: Option<OwnedFd>,
    kind: u32,
    trust: Trust,
    /// `Some(None)`: the peer was gone before it had passed them on.
    ways: OnceLock<Option<[Way; 2]>>,
}

impl Opened {
    fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_ref().unwrap_or_else(|| unreachable!("taken by drop alone")).as_fd()
    }

    /// The rings, if they are there.
    fn ways(&self, how: RecvFlags) -> io::Result<Option<&[Way; 2]>> {
        if self.ways.get().is_none() {
            let received = receive(self.socket(), self.kind, self.trust, how)?;
            if let Some([out, inward]) = &received {
                // From now on it is for this end to say that it leaves.
                out.stream().arrive(End::Writing);
                inward.stream().arrive(End::Reading);
            }
            // Another thread may have been quicker; what it received is the same.
            let _ = self.ways.set(received);
        }
        Ok(self.ways.get().and_then(Option::as_ref))
    }
}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Who closes what was never used has accepted it all the same.
        let _ = self.ways(RecvFlags::PEEK | RecvFlags::DONTWAIT);
        // The kernel first: whoever is told that somebody left asks it who is left.
        drop(self.socket.take());
        if let Some(Some(ways)) = self.ways.get() {
            ways.iter().for_each(|way| way.stream().leave());
        }
    }
}

/// Passes the rings on: first the one that the receiver reads.
fn pass_on(socket: BorrowedFd<'_>, kind: u32, rings: [&OwnedFd; 2]) -> io::Result<()> {
    let fds = rings.map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let kind = kind.to_ne_bytes();
    let text = [IoSlice::new(&HELLO), IoSlice::new(&kind)];
    sendmsg(socket, &text, &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
    Ok(())
}

/// Receives them; `None`: the peer was gone before it had passed them on.
fn receive(socket: BorrowedFd<'_>, kind: u32, trust: Trust, how: RecvFlags) -> io::Result<Option<[Way; 2]>> {
    let mut text = [0; HELLO_LEN + 1];
    // One more than there should be, to see that there is one too many.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = how | RecvFlags::CMSG_CLOEXEC;
    let len = match recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, flags) {
        Ok(message) => message.bytes,
        Err(rustix::io::Errno::CONNRESET) => 0,
        Err(errno) => return Err(errno.into()),
    };
    if len == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    let sound = text[..len].strip_prefix(&HELLO) == Some(&kind.to_ne_bytes()[..]);
    let (true, Ok([inward, outward])) = (sound, <[OwnedFd; 2]>::try_from(fds)) else {
        return Err(Errno::EPROTO.into());
    };
    let inward = Way::received(inward, kind, trust)?;
    Ok(Some([Way::received(outward, kind, trust)?, inward]))
}

/// One ring as one handle uses it.
struct Side {
    stream: Stream,
    segment: Arc<Segment>,
    seat: Option<Seat>,
}

/// One side of a connection, open in this process.
pub struct Link {
    opened: Arc<Opened>,
    sides: Option<[Side; 2]>,
    peer: Seen,
}

/// Why a call did not do what it was to do.
pub(super) enum Fail {
    /// There is nobody at the other side, and nothing of it.
    Gone,
    /// The peer threw away what it had not read, which is said once.
    Reset,
    Io(io::Error),
}

impl From<io::Error> for Fail {
    fn from(error: io::Error) -> Self {
        Fail::Io(error)
    }
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Fail::Io(errno.into())
    }
}

impl From<Stop> for Fail {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Broken => Fail::Gone,
            Stop::WouldBlock | Stop::TimedOut => Errno::EAGAIN.into(),
            Stop::Interrupted => Errno::EINTR.into(),
            Stop::Corrupt(_) => Errno::EIO.into(),
        }
    }
}

/// How long a call waits: not at all with O_NONBLOCK, else as long as `timeout` says, from the first wait on, which makes
/// `until` something.
pub(super) fn patience(
    fd: BorrowedFd<'_>,
    until: &Cell<Option<Deadline>>,
    timeout: impl Fn() -> Option<Duration>,
) -> impl Fn() -> Option<Deadline> {
    move || {
        if is_nonblocking(fd) {
            return None;
        }
        let start = || timeout().map_or(Deadline::NEVER, Deadline::after);
        until.set(Some(until.get().unwrap_or_else(start)));
        until.get()
    }
}

impl Link {
    fn on(opened: Arc<Opened>) -> Link {
        let link = Link { opened, sides: None, peer: Seen::default() };
        Link { sides: link.opened.ways.get().and_then(Option::as_ref).map(Link::sides_of), ..link }
    }

    fn sides_of(ways: &[Way; 2]) -> [Side; 2] {
        ways.each_ref().map(|way| Side { stream: way.stream(), segment: way.segment.clone(), seat: None })
    }

    fn new(socket: OwnedFd, kind: u32, trust: Trust, ways: Option<[Way; 2]>) -> Link {
        let known = OnceLock::new();
        if let Some(ways) = ways {
            let _ = known.set(Some(ways));
        }
        Link::on(Arc::new(Opened { socket: Some(socket), kind, trust, ways: known }))
    }

    /// The two sides of a connection that nobody else has.
    pub(super) fn pair(sockets: [OwnedFd; 2], kind: u32, pages: [u64; 2]) -> io::Result<[Link; 2]> {
        let ((_, there), (_, back)) = (Way::make(kind, pages)?, Way::make(kind, pages)?);
        let [one, other] = sockets;
        for way in [&there, &back] {
            way.stream().arrive(End::Reading);
        }
        let turned = [back.clone(), there.clone()];
        Ok([
            Link::new(one, kind, Trust::Kernel, Some([there, back])),
            Link::new(other, kind, Trust::Kernel, Some(turned)),
        ])
    }

    /// This side of a connection that was made just now: passes the rings on.
    pub(super) fn connected(
        socket: OwnedFd,
        kind: u32,
        trust: Trust,
        rings: [(OwnedFd, Way); 2],
    ) -> io::Result<Link> {
        let [(there_fd, there), (back_fd, back)] = rings;
        there.stream().arrive(End::Writing);
        back.stream().arrive(End::Reading);
        match pass_on(socket.as_fd(), kind, [&there_fd, &back_fd]) {
            Ok(()) => Ok(Link::new(socket, kind, trust, Some([there, back]))),
            // The listener closed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Errno::ECONNREFUSED.into()),
            Err(error) => Err(error),
        }
    }

    /// The other side of one, which was accepted. An error: the peer does not keep to the rules.
    pub(super) fn accepted(socket: OwnedFd, kind: u32, trust: Trust) -> io::Result<Link> {
        let link = Link::new(socket, kind, trust, None);
        // Mostly the rings are there, or about to be.
        let mut fds = [PollFd::new(&*link.opened, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: SHORTLY.into() }));
        match link.opened.ways(RecvFlags::DONTWAIT) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(Link::on(link.opened)),
        }
    }

    pub(super) fn duplicate(&self) -> Link {
        Link::on(self.opened.clone())
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.opened.socket()
    }

    /// The rings, waited for as reading from the kernel's socket would wait.
    fn sides(&mut self) -> Result<&mut [Side; 2], Fail> {
        let Link { opened, sides, .. } = self;
        if sides.is_none() {
            let ways = opened.ways(RecvFlags::PEEK)?.ok_or(Fail::Gone)?;
            *sides = Some(Link::sides_of(ways));
        }
        Ok(sides.as_mut().unwrap_or_else(|| unreachable!("made just now")))
    }

    /// Whether the last holder of the other side is gone.
    fn peer_is_gone(socket: BorrowedFd<'_>) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::new(&socket, PollFlags::RDHUP)];
        // An error is no proof of anything.
        poll(&mut fds, Some(&now)).is_ok()
            && fds[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
    }

    /// As [`Link::peer_is_gone`], for a call that would ask each time: a death is noticed a little later. Before anybody has
    /// accepted, nobody could say in `out` that he leaves.
    fn peer_went(peer: &Seen, socket: BorrowedFd<'_>, out: &Stream) -> bool {
        match out.openings(End::Reading) {
            0 => Link::peer_is_gone(socket),
            _ => peer.all_gone(out.departures(), || Link::peer_is_gone(socket)),
        }
    }

    /// Whether the peer went without reading all that we wrote, or without ever accepting: true once.
    fn was_reset(opened: &Opened, out: &Stream) -> bool {
        let unread = match opened.kind {
            KIND_PAGES => out.has_unread(),
            _ => !out.has_no_record(),
        };
        (unread || out.openings(End::Reading) == 0) && out.first_told()
    }

    /// Whether what is told once is to be told now.
    pub(super) fn take_reset(&mut self) -> Result<bool, Fail> {
        let opened = self.opened.clone();
        let [out, _] = self.sides()?;
        Ok(Link::peer_is_gone(opened.socket()) && Link::was_reset(&opened, &out.stream))
    }

    /// As [`Link::take_reset`], for a call that would ask each time: a death is noticed a little later.
    pub(super) fn take_reset_seldom(&mut self) -> Result<bool, Fail> {
        self.sides()?;
        let Link { opened, sides: Some([out, _]), peer } = self else { return Ok(false) };
        let gone = Link::peer_went(peer, opened.socket(), &out.stream);
        Ok(gone && Link::was_reset(opened, &out.stream))
    }

    /// Does `verb` on one of the rings, waiting as the socket says. What [`Stop`]s it besides time: [`Stop::Broken`] is
    /// [`Fail::Gone`], or [`Fail::Reset`] if it has waited.
    pub(super) fn call<T>(
        &mut self,
        way: usize,
        verb: impl FnOnce(&Stream, &Call<'_>) -> Result<T, Stop>,
    ) -> Result<T, Fail> {
        self.sides()?;
        let Link { opened, sides: Some(sides), peer } = self else { return Err(Fail::Gone) };
        let socket = opened.socket();
        let Side { stream, segment, seat } = &mut sides[way];
        let Some(base) = segment.base() else { return Err(Errno::EIO.into()) };
        let seat = seated(seat, base, segment, stream)?;
        let lives = |party: u32| seat.lives(party);
        let who = Who { me: seat.me, lives: &lives };
        let timeout = if way == OUT { Timeout::Send } else { Timeout::Recv };
        let until = Cell::new(None);
        // SO_RCVTIMEO, SO_SNDTIMEO.
        let patience = patience(socket, &until, || socket_timeout(socket, timeout).ok().flatten());
        let gone = || Link::peer_is_gone(socket);
        // Who writes would have to ask each time; who reads asks when nothing is there.
        let alone =
            || stream.is_shut() || if way == OUT { Link::peer_went(peer, socket, stream) } else { gone() };
        let result = verb(stream, &Call { who, alone: &alone, patience: &patience });
        let waited = until.get().is_some();
        result.map_err(|stop| match stop {
            Stop::Broken if waited && gone() && Link::was_reset(opened, stream) => Fail::Reset,
            stop => stop.into(),
        })
    }

    /// Whether nothing can be written any more: one look.
    pub(super) fn cannot_write(&mut self) -> Result<bool, Fail> {
        self.sides()?;
        let Link { opened, sides: Some([out, _]), peer } = self else { return Err(Fail::Gone) };
        Ok(out.stream.is_shut() || Link::peer_went(peer, opened.socket(), &out.stream))
    }

    pub(super) fn shutdown(&mut self, how: Shutdown) -> Result<(), Fail> {
        let ways: &[usize] = match how {
            Shutdown::Write => &[OUT],
            Shutdown::Read => &[IN],
            Shutdown::Both => &[OUT, IN],
        };
        for &way in ways {
            self.call(way, |stream, call| {
                stream.shut(&call.who);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Bytes on their way in one direction at most.
    pub(super) fn send_buffer(&mut self) -> Result<usize, Fail> {
        let [out, _] = self.sides()?;
        Ok(out.stream.made_for() as usize * PAGE_LEN)
    }
}

/// The seat of this process at a ring: the one that it has, or another.
pub(super) fn seated<'a>(
    seat: &'a mut Option<Seat>,
    of: BorrowedFd<'_>,
    segment: &Arc<Segment>,
    stream: &Stream,
) -> io::Result<&'a Seat> {
    if seat.as_ref().is_none_or(|seat| !seat.is_own()) {
        let taken = Seat::take(of, segment, SEATS)?;
        stream.disown(taken.me);
        *seat = Some(taken);
    }
    Ok(seat.as_ref().unwrap_or_else(|| unreachable!("taken just now")))
}

/// `None`: for ever. Zero is EINVAL, as it is to the standard library.
pub(super) fn set_timeout(socket: BorrowedFd<'_>, which: Timeout, time: Option<Duration>) -> io::Result<()> {
    if time == Some(Duration::ZERO) {
        return Err(Errno::EINVAL.into());
    }
    Ok(set_socket_timeout(socket, which, time)?)
}

/// Who is at the other side (SO_PEERCRED).
pub(super) fn credentials(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    let peer = getsockopt(&socket, sockopt::PeerCredentials)?;
    Ok(Credentials { pid: peer.pid(), uid: peer.uid(), gid: peer.gid() })
}
