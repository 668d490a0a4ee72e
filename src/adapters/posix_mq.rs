//! POSIX message queues (mq_overview(7)): named, messages with priorities, the highest first.
//!
//! The queue is `channel/queue/`, the order `ring/store.rs`: a message's key is 32767 less its priority. Here is what
//! makes it POSIX's: names, access, what each call checks and in which order, with which errno. O_NONBLOCK stands in the
//! open file description, which clones and forked children share.
//!
//! Limits are those that a queue is made with. None of the system's small ones (msg_max 10, msgsize_max 8192,
//! queues_max 256, RLIMIT_MSGQUEUE) apply; the memory is allocated when it is made.
#![forbid(unsafe_code)]

use crate::adapters::nonblocking::{is_nonblocking, set_nonblocking};
use crate::adapters::pipe::errno;
use crate::adapters::queue::{DEFAULT_SEATS, Facts, Handle, Manner, Opened, Shape, allowed, stopped};
use crate::channel::queue::{self as channel, Call, Stop, Watch};
use crate::error::Error;
use crate::layout::KIND_POSIX_MQ;
use crate::notify::in_background;
use crate::ring::store::{Select, get};
use crate::segment::{self, Place};
use crate::sync::Deadline;
use nix::errno::Errno;
use std::cell::OnceCell;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use crate::notify::Notify;

/// Priorities are less than this (MQ_PRIO_MAX, limits.h).
pub const PRIO_MAX: u32 = 32768;
/// What stands before the name in POSIX shared memory, where the queue lives.
const PREFIX: &str = "mq.";
/// What a queue may be used for (O_RDONLY, O_WRONLY, O_RDWR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Receive.
    Read,
    /// Send.
    Write,
    /// Both.
    Both,
}

impl Access {
    fn bits(self) -> u32 {
        match self {
            Access::Read => 4,
            Access::Write => 2,
            Access::Both => 6,
        }
    }
}

/// What a new queue is like.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Options {
    max_messages: usize,
    message_size: usize,
    mode: u32,
    handles: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options { max_messages: 10, message_size: 8192, mode: 0o600, handles: DEFAULT_SEATS }
    }
}

impl Options {
    /// 10 messages of up to 8192 bytes, as Linux has it if nobody says otherwise.
    pub fn new() -> Self {
        Options::default()
    }

    /// How many messages it holds (mq_maxmsg), 1 or more.
    pub fn max_messages(self, count: usize) -> Self {
        Options { max_messages: count, ..self }
    }

    /// Bytes of the longest message (mq_msgsize), 1 or more. Their product, and some more, is allocated at once.
    pub fn message_size(self, bytes: usize) -> Self {
        Options { message_size: bytes, ..self }
    }

    /// Permission bits; the process's umask is not applied. Only processes of the user who makes it can open it at all,
    /// see `docs/semantics.md`.
    pub fn mode(self, mode: u32) -> Self {
        Options { mode, ..self }
    }

    /// How many handles can have used it at the same time; the next one's first call is ENFILE. Each
    /// takes 64 bytes.
    pub fn handles(self, count: u32) -> Self {
        Options { handles: count.saturating_add(1), ..self }
    }

    fn shape(&self) -> io::Result<Shape> {
        if self.max_messages == 0 || self.message_size == 0 {
            return Err(Errno::EINVAL.into());
        }
        let bytes =
            (self.max_messages as u64).checked_mul(self.message_size as u64).ok_or(Errno::EOVERFLOW)?;
        let limits = [self.max_messages as u64, bytes];
        let seats = self.handles;
        Ok(Shape { kind: KIND_POSIX_MQ, max_len: self.message_size, most: limits, limits, seats })
    }
}

/// How to open (mq_open(3)).
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Open {
    access: Access,
    create: Option<Options>,
    exclusive: bool,
    nonblocking: bool,
}

impl Open {
    /// One that is there.
    pub fn existing(access: Access) -> Self {
        Open { access, create: None, exclusive: false, nonblocking: false }
    }

    /// Makes it if it is not there (O_CREAT).
    pub fn create(self, options: &Options) -> Self {
        Open { create: Some(*options), ..self }
    }

    /// With [`Open::create`]: EEXIST if it is there (O_EXCL).
    pub fn exclusive(self, yes: bool) -> Self {
        Open { exclusive: yes, ..self }
    }

    /// Calls that would wait fail with EAGAIN (O_NONBLOCK).
    pub fn nonblocking(self, yes: bool) -> Self {
        Open { nonblocking: yes, ..self }
    }

    /// Opens the queue of this name: a slash and up to 252 bytes without another.
    ///
    /// # Errors
    /// EINVAL (no slash in front; no message or no byte to hold; too large; it is something else), EACCES (another
    /// slash, `.` or `..`; what is not permitted), ENOENT, EEXIST, ENAMETOOLONG, ENOSPC, EMFILE, ENFILE; EOPNOTSUPP if it
    /// relies on membarrier(2), which this process may not call.
    pub fn open(&self, name: &str) -> io::Result<Queue> {
        let place = place(name)?;
        loop {
            let opened = match Opened::open(&place, KIND_POSIX_MQ) {
                Ok(_) if self.exclusive && self.create.is_some() => return Err(Errno::EEXIST.into()),
                Ok(opened) => {
                    allowed(&opened.view, self.access.bits())?;
                    opened
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    let Some(options) = &self.create else { return Err(error) };
                    match make(&place, options)? {
                        Some(opened) => opened,
                        // Somebody else was quicker.
                        None => continue,
                    }
                }
                Err(error) => return Err(error),
            };
            let queue = Queue { handle: Handle::new(opened), access: self.access };
            queue.put_nonblocking(self.nonblocking)?;
            return Ok(queue);
        }
    }
}

fn make(place: &Place, options: &Options) -> io::Result<Option<std::sync::Arc<Opened>>> {
    let facts = Facts { key: 0, mode: options.mode & 0o777 };
    let (fd, segment, view) = match options.shape()?.create(place.clone(), &facts) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => return Ok(None),
        made => made?,
    };
    match segment.publish(fd.as_fd()) {
        Err(Error::Exists { .. }) => Ok(None),
        published => {
            published.map_err(errno)?;
            Opened::new(fd.as_fd(), segment, view).map(Some)
        }
    }
}

/// Where the queue of this name lives.
fn place(name: &str) -> io::Result<Place> {
    let bare = name.strip_prefix('/').ok_or(Errno::EINVAL)?;
    match bare {
        "" => Err(Errno::ENOENT.into()),
        "." | ".." => Err(Errno::EACCES.into()),
        _ if bare.contains('/') => Err(Errno::EACCES.into()),
        _ => Place::named(&format!("/{PREFIX}{bare}")).map_err(errno),
    }
}

/// Takes a name away (mq_unlink(3)). Whoever has the queue open goes on; who opens the name from now on finds none, or
/// another.
///
/// # Errors
/// As for names in [`Open::open`]; ENOENT.
pub fn unlink(name: &str) -> io::Result<()> {
    segment::unlink_segment(&place(name)?).map_err(errno)
}

/// What a queue is like and what is in it (`struct mq_attr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Whether calls that would wait fail with EAGAIN. Of the open queue; the rest is of the queue.
    pub nonblocking: bool,
    /// Messages at most.
    pub max_messages: usize,
    /// Bytes of the longest.
    pub message_size: usize,
    /// Messages in it now.
    pub messages: usize,
}

/// A moment on the clock CLOCK_REALTIME, as `struct timespec` has it: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds, 0 to 999,999,999; else the call is EINVAL.
    pub nanoseconds: i64,
}

impl From<SystemTime> for Until {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Until { seconds, nanoseconds: since.subsec_nanos().into() }
    }
}

impl Until {
    fn check(self) -> io::Result<Self> {
        let sound = self.seconds >= 0 && (0..1_000_000_000).contains(&self.nanoseconds);
        if sound { Ok(self) } else { Err(Errno::EINVAL.into()) }
    }

    /// As seen now: the clock may be set while somebody waits.
    fn deadline(self) -> Deadline {
        let until = Duration::new(self.seconds.unsigned_abs(), self.nanoseconds as u32);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Instant::now().checked_add(until.saturating_sub(now)).map_or(Deadline::NEVER, Deadline::at)
    }
}

/// A queue open in this process. Clones are further handles on the same open queue, as dup(2): for another thread each.
/// A forked child can use its parent's handles as they are.
pub struct Queue {
    handle: Handle,
    access: Access,
}

impl Queue {
    fn put_nonblocking(&self, yes: bool) -> io::Result<()> {
        set_nonblocking(self.handle.opened.fd(), yes)
    }

    /// Sends a message, waiting for room (mq_send(3)). It may be empty.
    ///
    /// # Errors
    /// EINVAL (priority 32768 or more), EBADF (not open for it), EMSGSIZE, EAGAIN, EINTR.
    pub fn send(&mut self, message: &[u8], priority: u32) -> io::Result<()> {
        self.send_by(message, priority, None)
    }

    /// As [`Queue::send`], waiting until a moment at most, which may be past: then it is sent if there is room
    /// (mq_timedsend(3)).
    ///
    /// # Errors
    /// As [`Queue::send`]; ETIMEDOUT; EINVAL for a moment that cannot be.
    pub fn send_until(&mut self, message: &[u8], priority: u32, until: impl Into<Until>) -> io::Result<()> {
        self.send_by(message, priority, Some(until.into().check()?))
    }

    fn send_by(&mut self, message: &[u8], priority: u32, until: Option<Until>) -> io::Result<()> {
        if priority >= PRIO_MAX {
            return Err(Errno::EINVAL.into());
        }
        if self.access == Access::Read {
            return Err(Errno::EBADF.into());
        }
        if message.len() > self.handle.opened.view.geometry.max_len {
            return Err(Errno::EMSGSIZE.into());
        }
        let key = (PRIO_MAX - 1 - priority).into();
        self.waiting(until, |queue, call| queue.send(key, message, call))
    }

    /// Receives the oldest message of the highest priority, waiting for one; its length and its priority
    /// (mq_receive(3)).
    ///
    /// # Errors
    /// EBADF (not open for it), EMSGSIZE (`to` is shorter than the queue's longest message can be), EAGAIN, EINTR.
    pub fn receive(&mut self, to: &mut [u8]) -> io::Result<(usize, u32)> {
        self.receive_by(to, None)
    }

    /// As [`Queue::receive`], waiting until a moment at most, which may be past: then it receives what is there
    /// (mq_timedreceive(3)).
    ///
    /// # Errors
    /// As [`Queue::receive`]; ETIMEDOUT; EINVAL for a moment that cannot be.
    pub fn receive_until(&mut self, to: &mut [u8], until: impl Into<Until>) -> io::Result<(usize, u32)> {
        self.receive_by(to, Some(until.into().check()?))
    }

    fn receive_by(&mut self, to: &mut [u8], until: Option<Until>) -> io::Result<(usize, u32)> {
        if self.access == Access::Write {
            return Err(Errno::EBADF.into());
        }
        if to.len() < self.handle.opened.view.geometry.max_len {
            return Err(Errno::EMSGSIZE.into());
        }
        let received =
            self.waiting(until, |queue, call| queue.receive(Select::Least(u64::MAX), to, false, call))?;
        Ok((received.len, PRIO_MAX - 1 - (received.key as u32).min(PRIO_MAX - 1)))
    }

    fn waiting<T>(
        &mut self,
        until: Option<Until>,
        verb: impl FnOnce(&channel::Queue, &Call<'_>) -> Result<T, Stop>,
    ) -> io::Result<T> {
        // Asked once a call, as the kernel does, and only if it would have to wait.
        let (opened, nonblocking) = (self.handle.opened.clone(), OnceCell::new());
        let patience = || match until {
            _ if *nonblocking.get_or_init(|| is_nonblocking(opened.fd())) => None,
            Some(until) => Some(until.deadline()),
            None => Some(Deadline::NEVER),
        };
        let done = self.handle.call(&Manner { patience: &patience, posix: true }, verb)?;
        done.map_err(|stop| stopped(stop, Errno::EAGAIN, Errno::EMSGSIZE))
    }

    fn at_once<T>(
        &mut self,
        verb: impl FnOnce(&channel::Queue, &Call<'_>) -> Result<T, Stop>,
    ) -> io::Result<T> {
        at_once(&mut self.handle, verb)
    }

    /// What it is like and how many messages are in it (mq_getattr(3)).
    ///
    /// # Errors
    /// ENFILE, EMFILE, EINTR.
    pub fn attributes(&mut self) -> io::Result<Attributes> {
        let nonblocking = is_nonblocking(self.handle.opened.fd());
        let content = self.at_once(|queue, call| queue.look(call, || Ok(queue.content())))?;
        let view = &self.handle.opened.view;
        Ok(Attributes {
            nonblocking,
            max_messages: get(&view.header.limits.count) as usize,
            message_size: view.geometry.max_len,
            messages: content.messages() as usize,
        })
    }

    /// Says whether calls that would wait fail with EAGAIN, the one attribute that can change; what it was like before
    /// (mq_setattr(3)). Clones and forked children share it.
    ///
    /// # Errors
    /// As [`Queue::attributes`].
    pub fn set_nonblocking(&mut self, yes: bool) -> io::Result<Attributes> {
        let before = self.attributes()?;
        self.put_nonblocking(yes)?;
        Ok(before)
    }

    /// Asks to be told, once, when a message comes to the empty queue and nobody waits for it; or takes the request of
    /// this process back (mq_notify(3)). It ends, too, when this process closes any handle on this queue, and when it
    /// dies.
    ///
    /// Unless it is [`Notify::Nothing`], this process has one thread more meanwhile, and the queue one handle more: it
    /// tells if who sent is killed before it could, within some 20 ms.
    ///
    /// # Errors
    /// EBUSY if somebody asked before, EINVAL for a signal that cannot be; EAGAIN if no thread can be made; ENFILE, EMFILE.
    pub fn notify(&mut self, how: Option<Notify>) -> io::Result<()> {
        let pid = std::process::id();
        let (signal, value, then) = match how {
            None => return self.at_once(|queue, call| queue.unwatch(call)),
            Some(Notify::Nothing) => (0, 0, None),
            Some(how) if how.impossible().is_some() => return Err(Errno::EINVAL.into()),
            Some(Notify::Call(then)) => (0, 0, Some(then)),
            // The signal is sent by who tells.
            Some(Notify::Signal { signal, value }) => {
                let nothing: Box<dyn FnOnce() + Send> = Box::new(|| {});
                (signal.unsigned_abs(), value, Some(nothing))
            }
        };
        let mut lookout = self.handle.duplicate();
        if then.is_some() {
            // Takes its seat: what cannot be is said before anything is asked for.
            at_once(&mut lookout, |queue, call| queue.look(call, || Ok(())))?;
        }
        let asked =
            self.at_once(|queue, call| queue.watch(Watch { seat: call.who.me, pid, signal, value }, call))?;
        let turn = asked.ok_or(Errno::EBUSY)?;
        let Some(then) = then else { return Ok(()) };
        let watcher = move || {
            let fulfilled = loop {
                match at_once(&mut lookout, |queue, call| queue.look_out(turn, call)) {
                    Ok(None) => {}
                    Ok(Some(fulfilled)) => break fulfilled,
                    Err(_) => break false,
                }
            };
            // Before it is told: it may close, or ask again, at once.
            drop(lookout);
            if fulfilled {
                then();
            }
        };
        if let Err(error) = in_background("mq_notify", watcher) {
            self.at_once(|queue, call| queue.unwatch(call))?;
            return Err(error);
        }
        Ok(())
    }
}

fn at_once<T>(
    handle: &mut Handle,
    verb: impl FnOnce(&channel::Queue, &Call<'_>) -> Result<T, Stop>,
) -> io::Result<T> {
    let done = handle.call(&Manner { patience: &|| None, posix: true }, verb)?;
    done.map_err(|stop| stopped(stop, Errno::EAGAIN, Errno::EMSGSIZE))
}

impl Clone for Queue {
    /// Another handle on the same open queue, as dup(2).
    fn clone(&self) -> Self {
        Queue { handle: self.handle.duplicate(), access: self.access }
    }
}

impl Drop for Queue {
    /// Closes it (mq_close(3)): a request of this process to be told ends, whichever handle made it.
    fn drop(&mut self) {
        if self.handle.queue.may_watch(std::process::id()) {
            // An error means that there is nobody to take the request back for.
            let _ = self.at_once(|queue, call| queue.unwatch(call));
        }
    }
}

/// The name that `slipring ls` shows for a queue, without what stands before it in shared memory.
#[must_use]
pub fn shown(segment: &str) -> Option<String> {
    segment.strip_prefix('/').and_then(|bare| bare.strip_prefix(PREFIX)).map(|bare| format!("/{bare}"))
}
