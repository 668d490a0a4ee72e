//! Leases: locks on bytes of the segment's own file, which the kernel drops when their holder is dead and keeps while
//! it is stopped. A free lease is the only proof of death here: no pid, no heartbeat, no clock. Taking the lease is
//! also the right to the role.
//!
//! The locks belong to the open file description (fcntl(2), "Open file description locks"), and they end when nothing
//! refers to it any more. So each holder opens one of its own. Nothing is mapped through it, since a mapping refers to
//! it too and a forked child keeps the mapping. The child's copy of the descriptor is taken away by a fork handler,
//! which knows of it from the moment it is open. Else the lease would outlive the parent in the child.
//!
//! Who comes and who goes meet on one more byte. Everybody who has the segment open holds it shared. Whoever leaves
//! gives all its locks back and then tries for the whole range: only the last one can have it, and takes the name away
//! while it keeps newcomers out. A newcomer that was too late finds the name gone, or leading elsewhere, and starts
//! again. Two who leave together cannot both fail: the later attempt finds the earlier one's locks given back.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::layout::WATCHER;
use crate::segment::{self, Segment};
use crate::sync::{at_fork, count_fork, fork_epoch};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Far behind the end of any file; locks need no bytes under them.
const PRESENCE: i64 = 1 << 61;
/// Participant i holds byte `FIRST_PARTY + i`.
const FIRST_PARTY: i64 = PRESENCE + 1;
/// Bytes from `PRESENCE` on that locks of this crate use: presence, all participants, and who asked to be told.
const RANGE: i64 = 2 + WATCHER as i64;

/// One participant's hold on a segment. Dropping it gives everything back and, for the last one out, takes the name of
/// a segment that was not made persistent away.
pub struct Lease {
    own: Description,
    segment: Arc<Segment>,
    persistent: bool,
    epoch: u32,
}

impl Lease {
    /// Marks the segment, of which `fd` is any descriptor, as in use. `None`: someone is just taking the name away;
    /// open again.
    pub fn join(fd: BorrowedFd<'_>, segment: Arc<Segment>, persistent: bool) -> Result<Option<Lease>> {
        let own = Description::new(&segment, fd)?;
        if !lock(&segment, own.fd(), libc::F_RDLCK, PRESENCE, 1)? {
            return Ok(None);
        }
        Ok(Some(Lease { own, segment, persistent, epoch: fork_epoch() }))
    }

    /// Takes the lease of a party, alone; `false` if another holds it or has a share. The kernel turns an own share into
    /// the lease in one step, or leaves it.
    pub fn take(&self, party: usize) -> Result<bool> {
        lock(&self.segment, self.fd(), libc::F_WRLCK, FIRST_PARTY + party as i64, 1)
    }

    /// Takes a share in the lease of a party: nobody holds it, and nobody can take it meanwhile. `false` if another does.
    pub fn share(&self, party: usize) -> Result<bool> {
        lock(&self.segment, self.fd(), libc::F_RDLCK, FIRST_PARTY + party as i64, 1)
    }

    /// Gives the lease of a party back, or the share in it.
    pub fn give_back(&self, party: usize) {
        // An error here means that the kernel refuses to unlock; closing does it as well.
        let _ = lock(&self.segment, self.fd(), libc::F_UNLCK, FIRST_PARTY + party as i64, 1);
    }

    /// Another lease of this process on the same segment, on an open file description of its own.
    pub fn another(&self) -> Result<Lease> {
        let from = match self.segment.base() {
            Some(base) => base,
            None if self.is_own() => self.fd(),
            None => return Err(Error::Forked { name: self.segment.label() }),
        };
        match Lease::join(from, self.segment.clone(), self.persistent)? {
            Some(lease) => Ok(lease),
            None => Err(Error::BeingRemoved { name: self.segment.label() }),
        }
    }

    /// Whether another open file description holds the lease of this party: a live process, even if stopped.
    #[must_use]
    pub fn is_held(&self, party: usize) -> bool {
        is_held(self.fd(), party)
    }

    /// The segment.
    #[must_use]
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Whether this is the process that took the lease, and not a child that it forked.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.epoch == fork_epoch()
    }

    /// The descriptor with the locks. Never to be passed on.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.own.fd()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_own() {
            return; // The fork handler has taken the description away from this copy.
        }
        // An error here means that the kernel refuses to unlock; closing does it as well.
        let _ = lock(&self.segment, self.fd(), libc::F_UNLCK, PRESENCE, RANGE);
        if !self.persistent && self.segment.place().path().is_some() {
            let _ = self.own.unlink_if_unused(&self.segment);
        }
    }
}

/// A hold that forked children share: shared locks on an open file description that is passed on as a pipe's is, by
/// fork(2), by SCM_RIGHTS, by dup(2). It ends when the last descriptor of it is closed, in whatever process and in
/// whatever way, so nothing is ever unlocked here. It says that an end of something is open, not who has it.
pub struct Hold(OwnedFd);

impl Hold {
    /// A hold on nothing yet, on a description of its own; `of` is any descriptor of the segment.
    pub fn new(segment: &Segment, of: BorrowedFd<'_>) -> Result<Hold> {
        segment::reopen(segment.place(), of).map(Hold)
    }

    /// The hold that came with this descriptor, from another process.
    #[must_use]
    pub fn received(fd: OwnedFd) -> Hold {
        Hold(fd)
    }

    /// Marks the segment as in use.
    pub fn be_present(&self, segment: &Segment) -> Result<bool> {
        lock(segment, self.fd(), libc::F_RDLCK, PRESENCE, 1)
    }

    /// Holds a party's byte together with others.
    pub fn share(&self, segment: &Segment, party: usize) -> Result<bool> {
        lock(segment, self.fd(), libc::F_RDLCK, FIRST_PARTY + party as i64, 1)
    }

    /// Has a party's byte alone for as long as `work` takes, waiting for it. Such waits end with EINTR as others do.
    pub fn alone_at<T>(&self, segment: &Segment, party: usize, work: impl FnOnce() -> T) -> Result<T> {
        let at = FIRST_PARTY + party as i64;
        fcntl(self.fd(), FcntlArg::F_OFD_SETLKW(&range(libc::F_WRLCK, at, 1))).map_err(|errno| {
            Error::Io { name: segment.label(), call: "fcntl(F_OFD_SETLKW)", source: errno.into() }
        })?;
        let done = work();
        lock(segment, self.fd(), libc::F_UNLCK, at, 1)?;
        Ok(done)
    }

    /// Whether a description other than this one holds a party's byte, alone or with others.
    #[must_use]
    pub fn others_hold(&self, party: usize) -> bool {
        is_locked(self.fd(), libc::F_WRLCK, FIRST_PARTY + party as i64, 1)
    }

    /// The descriptor with the locks: whoever is given it has the same hold.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// An open file description that this process alone refers to, by one descriptor: what is locked on it ends with this
/// process, whoever was forked.
struct Description(OwnedFd);

impl Description {
    fn new(segment: &Segment, of: BorrowedFd<'_>) -> Result<Self> {
        // Waits for a fork under way in another thread, which the handlers would miss: then nothing of ours is open yet. (But
        // for one that just runs another library's handler: see decision 1.)
        at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
        let mut leased = leased();
        if leased.nothing.is_none() {
            let nothing = nix::fcntl::open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
            let io = |e: Errno| Error::Io { name: "/".into(), call: "open with O_PATH", source: e.into() };
            leased.nothing = Some(nothing.map_err(io)?);
        }
        // Opened with the list locked: no fork comes between the descriptor and its entry.
        let fd = segment::reopen(segment.place(), of)?;
        leased.fds.push(fd.as_raw_fd());
        Ok(Description(fd))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Takes the name away if nobody has the segment open; `false` if somebody has. Must hold no lock.
    fn unlink_if_unused(&self, segment: &Segment) -> Result<bool> {
        if !lock(segment, self.fd(), libc::F_WRLCK, PRESENCE, RANGE)? {
            return Ok(false);
        }
        let done = segment.unlink();
        lock(segment, self.fd(), libc::F_UNLCK, PRESENCE, RANGE)?;
        done.map(|()| true)
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // Before the descriptor is closed, lest a fork in between takes a stranger's descriptor for ours.
        let mut leased = leased();
        if let Some(at) = leased.fds.iter().position(|&other| other == self.0.as_raw_fd()) {
            leased.fds.swap_remove(at);
        }
    }
}

/// The descriptors that carry leases in this process, and one that carries nothing.
struct Leased {
    nothing: Option<OwnedFd>,
    fds: Vec<RawFd>,
}

static LEASED: Mutex<Leased> = Mutex::new(Leased { nothing: None, fds: Vec::new() });

fn leased() -> MutexGuard<'static, Leased> {
    LEASED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work` while no thread of this process forks, so that a child finds what it guards whole, and no lock of its held.
/// It must be short, and neither make nor drop a lease.
pub fn while_nobody_forks<T>(work: impl FnOnce() -> T) -> T {
    at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
    let _held = leased();
    work()
}

thread_local! {
    /// Held by the forking thread from before the fork until after it, so that the child finds the list whole.
    static ACROSS_FORK: RefCell<Option<MutexGuard<'static, Leased>>> = const { RefCell::new(None) };
}

extern "C" fn before_fork() {
    // Twice registered, twice called: see `at_fork`.
    ACROSS_FORK.with_borrow_mut(|held| {
        held.get_or_insert_with(leased);
    });
}

extern "C" fn after_fork_in_parent() {
    drop(ACROSS_FORK.take());
}

/// Puts a descriptor of nothing in the place of each lease. Async-signal-safe but for the list, which is locked: the
/// child may have been forked by a process with many threads.
extern "C" fn after_fork_in_child() {
    count_fork();
    if let Some(mut leased) = ACROSS_FORK.take() {
        if let Some(nothing) = &leased.nothing {
            leased.fds.iter().for_each(|&fd| segment::replace(fd, nothing.as_fd()));
        }
        leased.fds.clear();
    }
}

/// Takes the name of the segment, of which `fd` is any descriptor, away if nobody has it open; `false` if somebody has.
pub fn unlink_if_unused(segment: &Segment, fd: BorrowedFd<'_>) -> Result<bool> {
    Description::new(segment, fd)?.unlink_if_unused(segment)
}

/// Whether anybody has the file open as a segment.
#[must_use]
pub fn is_in_use(fd: BorrowedFd<'_>) -> bool {
    is_locked(fd, libc::F_WRLCK, PRESENCE, RANGE)
}

/// Whether another open file description holds the lease of this party: a write lock, which takes the right to write.
/// Whoever may only read the file can lock no more than shared, and does not pass for a participant.
#[must_use]
pub fn is_held(fd: BorrowedFd<'_>, party: usize) -> bool {
    is_locked(fd, libc::F_RDLCK, FIRST_PARTY + party as i64, 1)
}

fn range(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: start, l_len: len, l_pid: 0 }
}

/// One attempt; `false` if somebody else's lock is in the way.
fn lock(segment: &Segment, fd: BorrowedFd<'_>, kind: i32, start: i64, len: i64) -> Result<bool> {
    loop {
        match fcntl(fd, FcntlArg::F_OFD_SETLK(&range(kind, start, len))) {
            Ok(_) => return Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(errno) => {
                return Err(Error::Io {
                    name: segment.label(),
                    call: "fcntl(F_OFD_SETLK)",
                    source: errno.into(),
                });
            }
        }
    }
}

/// Whether somebody else's lock is in the way of one of this kind.
fn is_locked(fd: BorrowedFd<'_>, kind: i32, start: i64, len: i64) -> bool {
    let mut answer = range(kind, start, len);
    // An error is no proof of anything: treat it as held, since only a free lease proves a death.
    fcntl(fd, FcntlArg::F_OFD_GETLK(&mut answer)).is_err() || i32::from(answer.l_type) != libc::F_UNLCK
}
