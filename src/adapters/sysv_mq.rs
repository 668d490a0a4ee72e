//! System V message queues (msgget(2), msgop(2), msgctl(2)): found by a key, messages with types to choose from.
//!
//! The queue is `channel/queue/`, the order `ring/store.rs`: a message's key is its type. Here is what makes it System
//! V's: keys and identifiers, permission bits, what each call checks and in which order, with which errno.
#![forbid(unsafe_code)]

use crate::adapters::queue::{
    DEFAULT_SEATS, Facts, Handle, Manner, Opened, Shape, allowed, now, stopped, view,
};
use crate::adapters::sysv::flags::{IPC_NOWAIT, MSG_COPY, MSG_EXCEPT, MSG_NOERROR};
use crate::adapters::sysv::{self, Object, Obtain, unlink_names};
use crate::channel::queue::{self as channel, Call, Stop};
use crate::layout::KIND_SYSV_MQ;
use crate::ring::store::{Select, get, set};
use crate::segment::Segment;
use crate::sync::Deadline;
use nix::errno::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub use crate::adapters::sysv::{IPC_PRIVATE, flags, ftok};

/// What a new queue is like.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Options {
    message_size: usize,
    bytes: u64,
    max_bytes: u64,
    messages: Option<u64>,
    handles: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options { message_size: 8192, bytes: 16384, max_bytes: 16384, messages: None, handles: DEFAULT_SEATS }
    }
}

impl Options {
    /// Messages of up to 8192 bytes (msgmax), 16384 bytes in all (msgmnb), as Linux has it if nobody says otherwise.
    pub fn new() -> Self {
        Options::default()
    }

    /// Bytes of the longest message (msgmax).
    pub fn message_size(self, bytes: usize) -> Self {
        Options { message_size: bytes, ..self }
    }

    /// Bytes of all messages, and how many messages, at most (msgmnb, `msg_qbytes`).
    pub fn bytes(self, bytes: u64) -> Self {
        Options { bytes, max_bytes: self.max_bytes.max(bytes), ..self }
    }

    /// How far [`Queue::set`] can raise that. Memory for so much is allocated at once.
    pub fn max_bytes(self, bytes: u64) -> Self {
        Options { max_bytes: bytes, ..self }
    }

    /// How many messages there is memory for. By default as many as bytes, as the kernel counts, which takes some 90
    /// bytes for each; a queue of longer messages needs much less.
    pub fn messages(self, count: u64) -> Self {
        Options { messages: Some(count), ..self }
    }

    /// How many handles can have used it at the same time; the next one's first call is ENFILE.
    pub fn handles(self, count: u32) -> Self {
        Options { handles: count.saturating_add(1), ..self }
    }

    fn shape(&self) -> io::Result<Shape> {
        if self.bytes > self.max_bytes || self.max_bytes == 0 {
            return Err(Errno::EINVAL.into());
        }
        let count = self.messages.unwrap_or(self.max_bytes).min(self.max_bytes);
        Ok(Shape {
            kind: KIND_SYSV_MQ,
            max_len: self.message_size,
            most: [count, self.max_bytes],
            limits: [self.bytes.min(count), self.bytes],
            seats: self.handles,
        })
    }
}

/// The queue with this key, or a new one (msgget(2)): `flags` are [`IPC_CREAT`], [`IPC_EXCL`] and nine permission bits.
///
/// # Errors
/// ENOENT, EEXIST, EACCES, EINVAL, ENOSPC; EOPNOTSUPP if it relies on membarrier(2), which this process may not call.
///
/// [`IPC_CREAT`]: super::sysv::flags::IPC_CREAT
/// [`IPC_EXCL`]: super::sysv::flags::IPC_EXCL
pub fn get_queue(key: i32, flags: i32, options: &Options) -> io::Result<Queue> {
    let mode = flags as u32;
    let check = |queue: &Queue| allowed(&queue.handle.opened.view, (mode >> 6 | mode >> 3 | mode) & 0o6);
    sysv::get(key, Obtain::of(flags), check, |place| {
        let made = options.shape()?.create(place, &Facts { key, mode: mode & 0o777 });
        made.map(|(fd, segment, _)| (fd, segment))
    })
}

/// The identifiers of all queues of this user, sorted.
///
/// # Errors
/// /dev/shm cannot be read.
pub fn list() -> io::Result<Vec<i32>> {
    sysv::list::<Queue>()
}

/// What is known of a queue (`struct msqid_ds`). Times are seconds since 1970, 0 for never; processes 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in msgctl(2)")]
pub struct Stat {
    pub key: i32,
    pub id: i32,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub cbytes: u64,
    pub qnum: u64,
    pub qbytes: u64,
    pub lspid: u32,
    pub lrpid: u32,
    pub stime: u64,
    pub rtime: u64,
    pub ctime: u64,
}

/// What [`Queue::set`] changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose it is; only root may give it to another user.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Bytes, and messages, at most.
    pub qbytes: u64,
}

/// A queue open in this process. Clones are further handles, for another thread each. A forked child can use its
/// parent's handles as they are. Dropping one leaves the queue alone: it stays until it is removed.
pub struct Queue {
    handle: Handle,
}

impl Queue {
    /// The queue with this identifier.
    ///
    /// # Errors
    /// EINVAL: there is none.
    pub fn of_id(id: i32) -> io::Result<Queue> {
        sysv::of_id(id)
    }

    /// The identifier.
    #[must_use]
    pub fn id(&self) -> i32 {
        get(&self.handle.opened.view.header.facts.id) as i32
    }

    /// Bytes of the longest message that it takes.
    #[must_use]
    pub fn message_size(&self) -> usize {
        self.handle.opened.view.geometry.max_len
    }

    fn at_once<T>(
        &mut self,
        verb: impl FnOnce(&channel::Queue, &Call<'_>) -> Result<T, Stop>,
    ) -> io::Result<T> {
        self.waiting(IPC_NOWAIT, Errno::EAGAIN, verb)
    }

    fn waiting<T>(
        &mut self,
        flags: i32,
        nothing: Errno,
        verb: impl FnOnce(&channel::Queue, &Call<'_>) -> Result<T, Stop>,
    ) -> io::Result<T> {
        let patience = || (flags & IPC_NOWAIT == 0).then_some(Deadline::NEVER);
        let done = self.handle.call(&Manner { patience: &patience, posix: false }, verb)?;
        done.map_err(|stop| stopped(stop, nothing, Errno::E2BIG))
    }

    /// Sends a message of this type, waiting for room unless `flags` has [`IPC_NOWAIT`] (msgsnd(2)). It may be empty.
    ///
    /// # Errors
    /// EINVAL (type below 1, message too long, queue removed before), EACCES, EAGAIN, EINTR (after any handler), EIDRM
    /// (removed while it waited).
    pub fn send(&mut self, kind: i64, message: &[u8], flags: i32) -> io::Result<()> {
        let view = &self.handle.opened.view;
        if message.len() > view.geometry.max_len || kind < 1 {
            return Err(Errno::EINVAL.into());
        }
        self.there(2)?;
        let key = kind.cast_unsigned();
        self.waiting(flags, Errno::EAGAIN, |queue, call| queue.send(key, message, call))
    }

    /// Receives a message, waiting for it unless `flags` has [`IPC_NOWAIT`]; its length and its type (msgrcv(2)).
    ///
    /// `kind` 0: the oldest; above: the oldest of this type, or with [`MSG_EXCEPT`] of another; below: the oldest of the
    /// lowest type up to `-kind`. With [`MSG_COPY`] it is an index, and the message stays.
    ///
    /// # Errors
    /// E2BIG (`to` is too short, and no [`MSG_NOERROR`]: the message stays), ENOMSG, EINVAL (flags that do not go
    /// together, queue removed before), EACCES, EINTR (after any handler), EIDRM (removed while it waited).
    pub fn receive(&mut self, to: &mut [u8], kind: i64, flags: i32) -> io::Result<(usize, i64)> {
        if flags & MSG_COPY != 0 && (flags & MSG_EXCEPT != 0 || flags & IPC_NOWAIT == 0) {
            return Err(Errno::EINVAL.into());
        }
        self.there(4)?;
        if flags & MSG_COPY != 0 {
            return self.copy(to, kind, flags);
        }
        let least = kind.checked_neg().unwrap_or(i64::MAX).cast_unsigned();
        let select = match kind {
            0 => Select::Any,
            ..0 => Select::Least(least),
            _ if flags & MSG_EXCEPT != 0 => Select::Except(kind.cast_unsigned()),
            _ => Select::Exact(kind.cast_unsigned()),
        };
        let truncates = flags & MSG_NOERROR != 0;
        let got =
            self.waiting(flags, Errno::ENOMSG, |queue, call| queue.receive(select, to, truncates, call))?;
        Ok((got.len, got.key.cast_signed()))
    }

    fn copy(&mut self, to: &mut [u8], index: i64, flags: i32) -> io::Result<(usize, i64)> {
        let index = u64::try_from(index).map_err(|_| Errno::ENOMSG)?;
        let room = to.len();
        let (whole, got) = self.waiting(flags, Errno::ENOMSG, |queue, call| queue.copy(index, to, call))?;
        match whole > room {
            // As the kernel has it: it does not cut what it copies.
            true if flags & MSG_NOERROR != 0 => Err(Errno::EINVAL.into()),
            true => Err(Errno::E2BIG.into()),
            false => Ok((got.len, got.key.cast_signed())),
        }
    }

    /// Whether the queue is there and permits this.
    fn there(&self, wanted: u32) -> io::Result<()> {
        let view = &self.handle.opened.view;
        match get(&view.header.limits.removed) {
            0 => allowed(view, wanted),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// What is known of it (IPC_STAT).
    ///
    /// # Errors
    /// EINVAL (removed), EACCES.
    pub fn stat(&mut self) -> io::Result<Stat> {
        self.there(4)?;
        let view = self.handle.opened.view.clone();
        self.at_once(|queue, call| {
            queue.look(call, || {
                let (facts, limits, content) = (&view.header.facts, &view.header.limits, queue.content());
                Ok(Stat {
                    key: (get(&facts.key) as u32).cast_signed(),
                    id: get(&facts.id) as i32,
                    uid: get(&facts.uid) as u32,
                    gid: get(&facts.gid) as u32,
                    mode: get(&facts.mode) as u32,
                    cbytes: content.bytes,
                    qnum: content.count,
                    qbytes: get(&limits.bytes),
                    lspid: get(&facts.sender) as u32,
                    lrpid: get(&facts.receiver) as u32,
                    stime: get(&facts.sent),
                    rtime: get(&facts.received),
                    ctime: get(&facts.changed),
                })
            })
        })
    }

    /// Changes owner, permissions and limit (IPC_SET). Whoever waits for room may find it.
    ///
    /// # Errors
    /// EPERM (not the owner's, or a limit beyond [`Options::max_bytes`], or another user), EINVAL (removed).
    pub fn set(&mut self, change: &Change) -> io::Result<()> {
        self.there(0)?;
        self.owned()?;
        let view = self.handle.opened.view.clone();
        let own = nix::unistd::geteuid().as_raw();
        let (cells, cell_len) = (view.geometry.cells, view.geometry.cell_len as u64);
        let beyond = change.qbytes > get(&view.header.limits.most) || change.qbytes > cells * cell_len;
        if beyond || own != 0 && change.uid != own {
            return Err(Errno::EPERM.into());
        }
        self.at_once(|queue, call| {
            queue.look(call, || {
                let (facts, limits) = (&view.header.facts, &view.header.limits);
                let count = change.qbytes.min(get(&limits.most_messages));
                for (word, value) in [
                    (&facts.uid, change.uid.into()),
                    (&facts.gid, change.gid.into()),
                    (&facts.mode, (change.mode & 0o777).into()),
                    (&limits.bytes, change.qbytes),
                    (&limits.count, count),
                    (&facts.changed, now()),
                ] {
                    set(word, value);
                }
                Ok(())
            })
        })
    }

    /// Removes it (IPC_RMID): whoever waits gets EIDRM, whoever comes EINVAL; its messages are gone.
    ///
    /// # Errors
    /// EPERM (not the owner's), EINVAL (removed before).
    pub fn remove(&mut self) -> io::Result<()> {
        self.there(0)?;
        self.owned()?;
        let opened = self.handle.opened.clone();
        let key = self.key();
        self.at_once(|queue, call| queue.remove(call, || unlink_names::<Queue>(key, &opened.segment)))
    }

    fn owned(&self) -> io::Result<()> {
        let own = nix::unistd::geteuid().as_raw();
        let its = get(&self.handle.opened.view.header.facts.uid);
        if own == 0 || u64::from(own) == its { Ok(()) } else { Err(Errno::EPERM.into()) }
    }
}

impl Object for Queue {
    const KIND: &'static str = "sysv-mq";

    fn in_segment(fd: OwnedFd, segment: Segment) -> io::Result<Self> {
        let view = view(&segment, KIND_SYSV_MQ)?;
        Ok(Queue { handle: Handle::new(Opened::new(fd.as_fd(), segment, view)?) })
    }

    fn key(&self) -> i32 {
        (get(&self.handle.opened.view.header.facts.key) as u32).cast_signed()
    }

    fn segment(&self) -> &Segment {
        &self.handle.opened.segment
    }

    fn while_there<T>(&mut self, work: impl FnOnce(&Segment, BorrowedFd<'_>) -> T) -> io::Result<T> {
        let opened = self.handle.opened.clone();
        self.at_once(|queue, call| queue.look(call, || Ok(work(&opened.segment, opened.fd()))))
    }

    fn alone(&mut self, work: impl FnOnce(&Segment)) -> io::Result<()> {
        let opened = self.handle.opened.clone();
        self.at_once(|queue, call| queue.alone(call, || work(&opened.segment)))
    }
}

impl Clone for Queue {
    /// Another handle on the same queue.
    fn clone(&self) -> Self {
        Queue { handle: self.handle.duplicate() }
    }
}
