//! Pipes (pipe(7)): a stream of bytes, many writers, many readers, in any processes.
//!
//! What moves the bytes is `channel/stream.rs`. Here is what makes it a pipe: who has an end open, what each call
//! returns, and with which errno. An end is open as long as a descriptor of its open file description is, wherever: the
//! description holds a shared lock, which forked children inherit with it, and which the kernel drops with the last of
//! them (`Hold` in `liveness`). So nothing happens at fork(2), and nobody has to be told of a death.
//!
//! To take a lock of the stream a handle needs a seat (`seat.rs`). It takes one when it first moves bytes.
#![forbid(unsafe_code)]

use crate::adapters::nonblocking::{is_nonblocking, set_nonblocking};
use crate::adapters::seat::Seat;
use crate::adapters::seen::Seen;
use crate::channel::lock::{NOBODY, Who};
use crate::channel::stream::{Call, End, Stop, Stream};
use crate::error::{self, Error};
use crate::layout::{
    FLAG_ASYMMETRIC_FENCES, FLAG_PERSISTENT, KIND_PAGES, MAX_PAGES, PAGE_LEN, SegmentHeader, Wakeup,
    pages_offset,
};
use crate::liveness::Hold;
use crate::open;
use crate::segment::{Place, Segment, Trust};
use crate::sync::{Deadline, register_for_heavy_fences};
use crate::view::PageView;
use nix::errno::Errno;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest write that no other write is mixed with (PIPE_BUF, limits.h).
pub const PIPE_BUF: usize = PAGE_LEN;
/// Bytes that a pipe holds if nobody says otherwise.
pub const DEFAULT_CAPACITY: usize = 64 << 10;
/// How far [`Reader::set_capacity`] can go if nobody says otherwise: /proc/sys/fs/pipe-max-size as Linux sets it.
pub const DEFAULT_MAX_CAPACITY: usize = 1 << 20;

/// Byte locked together by everybody who has a reading end open.
pub(super) const READERS: usize = 0;
/// The same for writing ends.
pub(super) const WRITERS: usize = 1;
/// Byte locked by whoever is just opening an end.
pub(super) const GATE: usize = 2;

/// The seats.
pub(super) const SEATS: std::ops::Range<usize> = 3..NOBODY as usize;

/// What a new pipe is like.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Options {
    capacity: usize,
    max_capacity: usize,
    nonblocking: bool,
}

impl Default for Options {
    fn default() -> Self {
        let (capacity, max_capacity) = (DEFAULT_CAPACITY, DEFAULT_MAX_CAPACITY);
        Options { capacity, max_capacity, nonblocking: false }
    }
}

impl Options {
    /// 64 KiB, up to 1 MiB by [`Reader::set_capacity`], calls wait.
    pub fn new() -> Self {
        Options::default()
    }

    /// Bytes that it holds, rounded up to a power of two and to a page.
    pub fn capacity(self, bytes: usize) -> Self {
        Options { capacity: bytes, max_capacity: self.max_capacity.max(bytes), ..self }
    }

    /// How large it can be made later. All of this is allocated when the pipe is made; a small pipe with little to
    /// grow into also stays in the cache.
    pub fn max_capacity(self, bytes: usize) -> Self {
        Options { max_capacity: bytes, ..self }
    }

    /// Whether calls that would wait fail with EAGAIN (O_NONBLOCK).
    pub fn nonblocking(self, yes: bool) -> Self {
        Options { nonblocking: yes, ..self }
    }

    /// Pages in use at most, and pages there are.
    fn pages(&self) -> io::Result<(u64, u64)> {
        let (limit, pages) = (pages_for(self.capacity)?, pages_for(self.max_capacity)?);
        if limit > pages || pages > MAX_PAGES { Err(Errno::EINVAL.into()) } else { Ok((limit, pages)) }
    }

    /// Makes the segment: its place, its mode, and an empty stream in it. Not published yet.
    pub(super) fn create(&self, place: Place, mode: u32) -> io::Result<(OwnedFd, Segment, PageView)> {
        let (limit, pages) = self.pages()?;
        let (fd, segment, view) = make(KIND_PAGES, limit, pages, place, mode)?;
        Stream::new(view.clone()).discard();
        Ok((fd, segment, view))
    }
}

/// Makes a segment of this kind with so many pages, of which `limit` may be in use. Not published yet, all zero.
pub(super) fn make(
    kind: u32,
    limit: u64,
    pages: u64,
    place: Place,
    mode: u32,
) -> io::Result<(OwnedFd, Segment, PageView)> {
    let asymmetric = u32::from(register_for_heavy_fences()) * FLAG_ASYMMETRIC_FENCES;
    let header = SegmentHeader {
        kind,
        segment_len: pages_offset(pages) as u64 + pages * PAGE_LEN as u64,
        data_offset: pages_offset(pages) as u64,
        capacity: pages,
        align: PAGE_LEN as u32,
        wakeup: Wakeup::Futex.code(),
        flags: asymmetric + FLAG_PERSISTENT,
        slot_len: PAGE_LEN as u32,
        participants: limit as u32,
        ..open::new_header(mode)
    };
    let (fd, segment) = Segment::create(place, header.with_checksum(), mode).map_err(errno)?;
    let view = view(&segment, kind)?;
    Ok((fd, segment, view))
}

/// Pages for so many bytes, as F_SETPIPE_SZ rounds: up to a power of two, at least one; what has no such power below
/// 2^32 is invalid.
pub(super) fn pages_for(bytes: usize) -> io::Result<u64> {
    match bytes {
        0..=PAGE_LEN => Ok(1),
        _ if bytes > 1 << 31 => Err(Errno::EINVAL.into()),
        _ => Ok((bytes as u64).next_power_of_two() / PAGE_LEN as u64),
    }
}

/// The stream in a segment, or the ring of records, if it is one.
pub(super) fn view(segment: &Segment, kind: u32) -> io::Result<PageView> {
    open::pages(segment, kind).ok_or_else(|| Errno::EINVAL.into())
}

/// Makes a pipe: what is written to the one end is read from the other (pipe(2)).
///
/// ```
/// use std::io::{Read, Write};
///
/// let (mut reader, mut writer) = slipring::adapters::pipe::pipe()?;
/// writer.write_all(b"hello")?;
/// drop(writer);
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// ENOSPC, ENOMEM, EMFILE, ENFILE.
pub fn pipe() -> io::Result<(Reader, Writer)> {
    pipe_with(&Options::new())
}

/// As [`pipe`], of another size, or without waiting.
///
/// # Errors
/// As [`pipe`], and EINVAL for an impossible size.
pub fn pipe_with(options: &Options) -> io::Result<(Reader, Writer)> {
    let (fd, segment, view) = options.create(Place::Anonymous, 0o600)?;
    let segment = Arc::new(segment);
    let open = |ends| {
        let hold = Hold::new(&segment, fd.as_fd()).map_err(errno)?;
        let handle = Handle::new(hold, segment.clone(), view.clone(), ends)?;
        handle.set_nonblocking(options.nonblocking)?;
        Ok::<_, io::Error>(handle)
    };
    Ok((Reader(open(&[End::Reading])?), Writer(open(&[End::Writing])?)))
}

/// The byte that says that somebody has this end open.
pub(super) fn byte(end: End) -> usize {
    match end {
        End::Reading => READERS,
        End::Writing => WRITERS,
    }
}

/// The other end.
pub(super) fn other(end: End) -> End {
    match end {
        End::Reading => End::Writing,
        End::Writing => End::Reading,
    }
}

/// What clones of a handle share, and what ends with the last of them in this process.
struct Opened {
    /// `None` only while it is dropped.
    hold: Option<Hold>,
    ends: &'static [End],
    segment: Arc<Segment>,
    view: PageView,
}

impl Opened {
    fn hold(&self) -> &Hold {
        self.hold.as_ref().unwrap_or_else(|| unreachable!("taken by drop alone"))
    }

    /// Whether nobody, this handle included, has `end` open.
    fn nobody_has(&self, end: End) -> bool {
        !self.ends.contains(&end) && !self.hold().others_hold(byte(end))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // The kernel first: whoever is told that somebody left asks it who is left.
        drop(self.hold.take());
        Stream::new(self.view.clone()).leave();
    }
}

/// An end, or both, open in this process.
pub(super) struct Handle {
    /// Dropped before the end is closed: whoever sees it closed finds nothing of this handle left.
    seat: Option<Seat>,
    opened: Arc<Opened>,
    stream: Stream,
    readers: Seen,
}

impl Handle {
    /// Opens these ends for the description of `hold`.
    pub(super) fn new(
        hold: Hold,
        segment: Arc<Segment>,
        view: PageView,
        ends: &'static [End],
    ) -> io::Result<Handle> {
        let held = hold.be_present(&segment).map_err(errno)?
            && ends
                .iter()
                .try_fold(true, |held, &end| Ok(hold.share(&segment, byte(end))? && held))
                .map_err(errno)?;
        if !held {
            return Err(Errno::EAGAIN.into());
        }
        Ok(Handle::on(Arc::new(Opened { hold: Some(hold), ends, segment, view })))
    }

    fn on(opened: Arc<Opened>) -> Handle {
        let stream = Stream::new(opened.view.clone());
        Handle { seat: None, opened, stream, readers: Seen::default() }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn nobody_has(&self, end: End) -> bool {
        self.opened.nobody_has(end)
    }

    pub(super) fn duplicate(&self) -> Handle {
        Handle::on(self.opened.clone())
    }

    fn received(fd: OwnedFd, ends: &'static [End]) -> io::Result<Handle> {
        let hold = Hold::received(fd);
        // Mapped through a description of its own, or the mapping would keep the end open.
        let unheld = crate::segment::reopen(&Place::Anonymous, hold.fd()).map_err(errno)?;
        let (_, segment) = Segment::open(Place::Anonymous, unheld, Trust::Kernel).map_err(errno)?;
        let view = view(&segment, KIND_PAGES)?;
        Handle::new(hold, Arc::new(segment), view, ends)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.opened.hold().fd()
    }

    pub(super) fn set_nonblocking(&self, yes: bool) -> io::Result<()> {
        set_nonblocking(self.fd(), yes)
    }

    /// Whether no reader is left. Clean departures are seen at once, a death a little later.
    fn no_reader(&self) -> bool {
        self.readers.all_gone(self.stream.departures(), || self.opened.nobody_has(End::Reading))
    }

    /// Does `verb` as this process, waiting until `deadline`; by default for ever, or not at all with O_NONBLOCK.
    fn call<T>(
        &mut self,
        deadline: Option<Instant>,
        alone: impl Fn(&Handle) -> bool,
        verb: impl FnOnce(&Stream, &Call<'_>) -> Result<T, Stop>,
    ) -> io::Result<T> {
        if self.seat.as_ref().is_none_or(|seat| !seat.is_own()) {
            let seat = Seat::take(self.opened.hold().fd(), &self.opened.segment, SEATS)?;
            self.stream.disown(seat.me);
            self.seat = Some(seat);
        }
        let Some(seat) = &self.seat else { unreachable!("taken just now") };
        let patience = || match deadline {
            Some(when) => Some(Deadline::at(when)),
            None => (!is_nonblocking(self.fd())).then_some(Deadline::NEVER),
        };
        let lives = |party: u32| seat.lives(party);
        let who = Who { me: seat.me, lives: &lives };
        let alone = || alone(self);
        verb(&self.stream, &Call { who, alone: &alone, patience: &patience }).map_err(stopped)
    }

    pub(super) fn read(&mut self, to: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        let alone = |handle: &Handle| handle.opened.nobody_has(End::Writing);
        self.call(deadline, alone, |stream, call| stream.read(to, call))
    }

    pub(super) fn write(&mut self, from: &[u8], deadline: Option<Instant>) -> io::Result<usize> {
        self.call(deadline, Handle::no_reader, |stream, call| stream.write(from, call))
    }

    pub(super) fn unread(&self) -> io::Result<usize> {
        self.stream.unread().map_err(|fault| stopped(Stop::Corrupt(fault)))
    }

    pub(super) fn capacity(&self) -> usize {
        self.stream.limit() as usize * PAGE_LEN
    }

    pub(super) fn set_capacity(&mut self, bytes: usize) -> io::Result<usize> {
        let pages = pages_for(bytes)?;
        if pages > self.opened.segment.header().capacity {
            return Err(Errno::EPERM.into());
        }
        match self.call(None, |_| false, |stream, call| stream.set_limit(pages, call))? {
            true => Ok(pages as usize * PAGE_LEN),
            false => Err(Errno::EBUSY.into()),
        }
    }
}

fn stopped(stop: Stop) -> io::Error {
    io::Error::from(match stop {
        Stop::WouldBlock => Errno::EAGAIN,
        Stop::TimedOut => Errno::ETIMEDOUT,
        Stop::Interrupted => Errno::EINTR,
        Stop::Broken => Errno::EPIPE,
        Stop::Corrupt(_) => Errno::EIO,
    })
}

/// The errno of what keeps a segment from being made or opened.
pub(super) fn errno(error: Error) -> io::Error {
    use error::Error as E;
    let errno = match error {
        E::Io { source, .. } if source.raw_os_error().is_some() => return source,
        E::NotFound { .. } | E::NoDirectory { .. } => Errno::ENOENT,
        E::Exists { .. } => Errno::EEXIST,
        E::Permission { .. } | E::WrongOwner { .. } | E::WrongMode { .. } => Errno::EACCES,
        E::Symlink { .. } => Errno::ELOOP,
        E::Directory { .. } => Errno::EISDIR,
        E::NameTooLong { .. } => Errno::ENAMETOOLONG,
        E::NoSpace { .. } => Errno::ENOSPC,
        E::Unsupported { .. } => Errno::EOPNOTSUPP,
        E::BeingRemoved { .. } | E::Busy { .. } | E::InUse { .. } => Errno::EBUSY,
        E::Corrupt { .. } | E::Truncated { .. } | E::Checksum { .. } | E::Geometry { .. } => Errno::EIO,
        _ => Errno::EINVAL,
    };
    errno.into()
}

/// What all kinds of ends can do.
macro_rules! end {
    ($end:ident) => {
        impl $end {
            /// Bytes that the pipe holds (F_GETPIPE_SZ).
            #[must_use]
            pub fn capacity(&self) -> usize {
                self.0.capacity()
            }

            /// Makes the pipe hold so many bytes, rounded up to a power of two and to a page; what it is then
            /// (F_SETPIPE_SZ).
            ///
            /// # Errors
            /// EBUSY if more is in it; EPERM beyond [`Options::max_capacity`]; EINVAL beyond 2 GiB.
            pub fn set_capacity(&mut self, bytes: usize) -> io::Result<usize> {
                self.0.set_capacity(bytes)
            }

            /// Bytes written and not read (FIONREAD); may be stale at once.
            ///
            /// # Errors
            /// EIO if the memory is damaged.
            pub fn unread(&self) -> io::Result<usize> {
                self.0.unread()
            }

            /// Whether calls that would wait fail with EAGAIN (O_NONBLOCK). Said of the open end: clones and forked
            /// children share it.
            ///
            /// # Errors
            /// EBADF if somebody closed the descriptor.
            pub fn set_nonblocking(&self, yes: bool) -> io::Result<()> {
                self.0.set_nonblocking(yes)
            }
        }

        impl Clone for $end {
            /// Another handle on the same open end, as dup(2): the end closes with the last of them.
            fn clone(&self) -> Self {
                $end(self.0.duplicate())
            }
        }

        impl AsFd for $end {
            /// The descriptor that stands for the open end. Whoever has it, by SCM_RIGHTS, by inheritance over
            /// exec(3), by dup(2), keeps the end open, and makes a handle of it with `from_fd`. Only that: its bytes
            /// are not the pipe's, and poll(2) says nothing of them.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.fd()
            }
        }
    };
}
pub(super) use end;

/// Reads from an `&mut self` handle.
macro_rules! reads {
    ($end:ident) => {
        impl $end {
            /// As [`Read::read`], giving up at `deadline` with ETIMEDOUT, whatever O_NONBLOCK says.
            ///
            /// # Errors
            /// ETIMEDOUT, EINTR, EIO.
            pub fn read_deadline(&mut self, to: &mut [u8], deadline: Instant) -> io::Result<usize> {
                self.0.read(to, Some(deadline))
            }

            /// As [`Read::read`], giving up after `time` with ETIMEDOUT, whatever O_NONBLOCK says.
            ///
            /// # Errors
            /// ETIMEDOUT, EINTR, EIO.
            pub fn read_timeout(&mut self, to: &mut [u8], time: Duration) -> io::Result<usize> {
                self.0.read(to, Instant::now().checked_add(time))
            }
        }

        impl Read for $end {
            /// Reads what is there, or waits for it. 0: no writer is left, and everything was read.
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                self.0.read(to, None)
            }
        }
    };
}
pub(super) use reads;

/// Writes to an `&mut self` handle.
macro_rules! writes {
    ($end:ident) => {
        impl $end {
            /// As [`Write::write`], giving up at `deadline`, whatever O_NONBLOCK says: with how much was written, or
            /// with ETIMEDOUT if nothing was.
            ///
            /// # Errors
            /// ETIMEDOUT, EPIPE, EINTR, EIO.
            pub fn write_deadline(&mut self, from: &[u8], deadline: Instant) -> io::Result<usize> {
                self.0.write(from, Some(deadline))
            }

            /// As [`Self::write_deadline`], giving up after `time`.
            ///
            /// # Errors
            /// ETIMEDOUT, EPIPE, EINTR, EIO.
            pub fn write_timeout(&mut self, from: &[u8], time: Duration) -> io::Result<usize> {
                self.0.write(from, Instant::now().checked_add(time))
            }
        }

        impl Write for $end {
            /// Writes all of `from`, waiting for room; less only if it was interrupted, if the last reader left, or
            /// with O_NONBLOCK. Up to `PIPE_BUF` bytes are written whole or not at all.
            fn write(&mut self, from: &[u8]) -> io::Result<usize> {
                self.0.write(from, None)
            }

            /// Nothing is held back.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}
pub(super) use writes;

/// The end that bytes come out of. Closed when the last clone is dropped, here and in all forked children.
pub struct Reader(pub(super) Handle);

/// The end that bytes go into. Closed when the last clone is dropped, here and in all forked children. There is no SIGPIPE:
/// a write that nobody could read is EPIPE.
pub struct Writer(pub(super) Handle);

end!(Reader);
end!(Writer);
reads!(Reader);
writes!(Writer);

impl Reader {
    /// The reading end that this descriptor stands for: one that [`Reader::as_fd`] gave, in this process or another.
    ///
    /// # Errors
    /// EINVAL if it is no pipe of slipring.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Reader> {
        Handle::received(fd, &[End::Reading]).map(Reader)
    }
}

impl Writer {
    /// The writing end that this descriptor stands for: one that [`Writer::as_fd`] gave, in this process or another.
    ///
    /// # Errors
    /// As [`Reader::from_fd`].
    pub fn from_fd(fd: OwnedFd) -> io::Result<Writer> {
        Handle::received(fd, &[End::Writing]).map(Writer)
    }
}
